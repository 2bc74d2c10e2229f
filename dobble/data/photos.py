"""A photo's file to its size, once it is certain that the whole picture can be read."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from dobble.errors import PhotoError

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
OTHER_PICTURES = (
    *(".arw", ".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".nef", ".orf"),
    *(".raf", ".rw2"),
)
"""What cameras and programs write too, and nothing here reads."""

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B"})
_HEIF_BRANDS = frozenset({b"avif", b"heic", b"heim", b"heis", b"heix", b"hevc", b"mif1", b"msf1"})
_DARK = 1 << 14  # of 16 bits: where no value is above it, a photo is shown nearly black
_PNG_DEPTH = 24  # the place of the bits a colour in a PNG file
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
_TURNED = ("JPEG", "MPO", "PNG")
_PNG_END = b"IEND\xaeB`\x82"
_MOST_PIXELS = 80_000_000
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class PhotoSize:
    """Sizes of a photo, and how the one becomes the other.

    Attributes:
        stored: width and height of the pixels in the file.
        upright: the same once EXIF has turned the photo, as OpenCV shows it.
        orientation: EXIF's, 1 (upright as stored) to 8.
        suffix: of files in the photo's format.
    """

    stored: tuple[int, int]
    upright: tuple[int, int]
    orientation: int
    suffix: str


def check_photo(path: Path) -> PhotoSize:
    """Decode a whole photo, as coarsely as its format allows, and give its size.

    Raises:
        PhotoError: if the file is missing, no picture, cut short, or too large to decode on a small device;
            also if programs would show it differently: see-through parts, values of no 8 or 16 bits, or of
            fewer bits than the 16 they are kept in.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata and about sizes; sizes have a limit of their own here.
            warnings.simplefilter("ignore")
            return _decoded(path)
    except FileNotFoundError as error:
        raise PhotoError(path, "is missing: put the photo there, or pull the data again") from error
    except UnidentifiedImageError as error:
        if is_heif(path):
            raise PhotoError(
                path, "is a HEIC or AVIF picture, whatever its name says: save it as JPEG"
            ) from error
        raise PhotoError(path, "is no JPEG, PNG, WebP, BMP or TIFF picture, or is damaged") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(path, _too_large(None)) from error
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise PhotoError(path, f"cannot be read: {error.strerror}") from error
        raise PhotoError(path, f"is cut short or damaged ({error}): put the whole photo there") from error


def is_heif(path: Path) -> bool:
    """Say whether a file is a HEIC or AVIF picture by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _decoded(path: Path) -> PhotoSize:
    with Image.open(path, formats=_FORMATS) as image:
        stored = image.size
        if stored[0] * stored[1] > _MOST_PIXELS:
            raise PhotoError(path, _too_large(stored))
        noted = image.getexif().get(ExifTags.Base.Orientation, 1)
        orientation = int(noted) if noted in range(1, 9) else 1
        if orientation != 1 and not (image.format in _TURNED and _turned_by_opencv(path, orientation)):
            problem = "has an EXIF or XMP orientation that not all programs heed"
            raise PhotoError(path, f"{problem}: turn the pixels upright and remove it")
        # A JPEG at 1/8 is still read to its last byte, in half the time.
        image.draft("RGB", (1, 1))
        image.load()
        content = path.read_bytes() if image.format in ("PNG", "TIFF") else b""
        if image.format == "PNG" and _PNG_END not in content:
            # Pillow is content once it has all pixels; OpenCV wants the end of the file too.
            raise PhotoError(path, "is cut short or damaged (no end): put the whole photo there")
        _check_colours(path, image)
        if image.format == "TIFF" or content[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10":
            _check_depth(path, content)
    upright = stored[::-1] if orientation in range(5, 9) else stored
    return PhotoSize(stored, upright, orientation, _SUFFIXES[str(image.format)])


def _turned_by_opencv(path: Path, orientation: int) -> bool:
    """Say whether OpenCV, which reads the photo later, turns it as Pillow would."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    shown = cv2.imdecode(content, cv2.IMREAD_REDUCED_COLOR_8)
    turned = cv2.imdecode(content, cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION)
    if shown is None or turned is None:
        return True  # What is damaged is said by whoever decodes it whole.
    if orientation in (5, 6, 7, 8):
        turned = turned.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.array_equal(shown, turned)


def _check_colours(path: Path, image: Image.Image) -> None:
    """Refuse pixels that people who label, training and the device would not all see alike."""
    if image.mode not in _MODES:
        problem = f"has pixels that are no colours of 8 or 16 bits ({image.format} mode {image.mode})"
        raise PhotoError(path, f"{problem}: save it as JPEG or 8-bit PNG")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        problem = "has see-through parts, in which each program shows another colour"
        raise PhotoError(path, f"{problem}: save it without transparency")


def _check_depth(path: Path, content: bytes) -> None:
    """Refuse 10, 12 or 14 bits in 16: all programs show the upper 8 of the 16."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if pixels is None:
        raise PhotoError(path, "is no picture that OpenCV can decode: save it as JPEG or 8-bit PNG")
    if pixels.dtype == np.uint16 and pixels.max() < _DARK:
        problem = f"has 16 bits a colour and no value above {pixels.max()}, which is nearly black"
        raise PhotoError(path, f"{problem}: scale it to the whole range, or save it with 8 bits")


def _too_large(size: tuple[int, int] | None) -> str:
    shown = f"of {size[0]} x {size[1]} pixels " if size else ""
    return f"is a picture {shown}with more than {_MOST_PIXELS // 1_000_000} megapixels: scale it down"
