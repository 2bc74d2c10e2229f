"""Photos that programs show differently, and those that all show alike."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dobble.data.photos import check_photo
from dobble.errors import PhotoError

WHOLE = (40, 30)


def deep(brightest: int, channels: int = 3) -> np.ndarray:
    """16 bits a colour, from 0 to the brightest."""
    ramp = np.linspace(0, brightest, 40 * 30).reshape(30, 40).astype(np.uint16)
    return np.repeat(ramp[..., None], channels, axis=2)


def shades(mode: str) -> Image.Image:
    ramp = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)
    return Image.fromarray(ramp).convert("RGB").convert(mode)


def see_through(alpha: int) -> Image.Image:
    picture = shades("RGBA")
    picture.putpixel((5, 5), (255, 0, 0, alpha))
    return picture


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_16_are_refused_because_they_would_be_nearly_black(
    tmp_path: Path, suffix: str, channels: int, bits: int
) -> None:
    path, brightest = tmp_path / f"photo{suffix}", 2**bits - 1
    cv2.imwrite(str(path), deep(brightest, channels))
    with pytest.raises(PhotoError, match=f"has 16 bits a colour and no value above {brightest}, which is"):
        check_photo(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_whole_range_of_16_bits_passes(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(path), deep(65535, channels))
    assert check_photo(path).stored == WHOLE


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_values_that_are_no_colours_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.tif"
    picture = Image.new(mode, (40, 30)) if mode == "LAB" else shades("L").convert(mode)
    picture.save(path)
    with pytest.raises(PhotoError, match=rf"no colours of 8 or 16 bits \(TIFF mode {mode}\): save"):
        check_photo(path)


def save_palette(path: Path) -> None:
    palette = shades("P")
    palette.save(path, transparency=palette.getpixel((5, 5)))


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("photo.png", lambda path: see_through(254).save(path)),
        ("photo.webp", lambda path: see_through(0).save(path, lossless=True, exact=True)),
        ("photo.tif", lambda path: see_through(0).save(path)),
        ("palette.png", save_palette),
    ],
)
def test_see_through_parts_are_refused(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    save(tmp_path / name)
    with pytest.raises(PhotoError, match=r"has see-through parts, .*: save it without transparency"):
        check_photo(tmp_path / name)


@pytest.mark.parametrize("name", ["photo.png", "photo.webp", "photo.tif"])
def test_alpha_that_hides_nothing_passes(tmp_path: Path, name: str) -> None:
    see_through(255).save(tmp_path / name)
    assert check_photo(tmp_path / name).stored == WHOLE


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_heic_with_the_name_of_a_jpeg_is_told_as_what_it_is(tmp_path: Path, brand: bytes) -> None:
    path = tmp_path / "IMG_0001.jpg"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(100))
    with pytest.raises(
        PhotoError, match="is a HEIC or AVIF picture, whatever its name says: save it as JPEG"
    ):
        check_photo(path)
