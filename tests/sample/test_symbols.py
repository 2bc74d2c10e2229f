from pathlib import Path

import cv2
import numpy as np
import pytest

from dobble.errors import SymbolError
from dobble.sample.symbols import Floats, Pixels, Symbol, project, read_scan, read_symbols, sample_symbols

REAL = Path(__file__).parents[3] / "shared" / "real-symbols"


def ellipse(colour: tuple[int, ...], axes: tuple[int, int] = (60, 30), side: int = 200) -> Pixels:
    """A filled ellipse on a background of zeros (transparent) or, without alpha, of white."""
    image = np.full((side, side, len(colour)), 255 if len(colour) == 3 else 0, np.uint8)
    cv2.ellipse(image, (100, 90), axes, 30, 0, 360, colour, -1)
    return image


def save(path: Path, image: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def view(scale: float = 70, angle: float = 0.7) -> Floats:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    shift = np.array([[1, 0, 120.3], [0, 1, 118.8], [0, 0, 1]])
    return shift @ np.array([[c, -s, 0], [s, c, 0], [0.1, -0.05, 1]])


def ink_box(canvas: Pixels) -> Floats:
    ink = 255 - canvas.min(2).astype(int)
    ys, xs = np.nonzero(ink > 0.4 * ink.max())
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


# cards are painted twice as fine as the photo: two pixels here are one of the photo
def painted(symbol: Symbol, transform: Floats) -> tuple[Pixels, Floats]:
    canvas = np.full((240, 240, 3), 255, np.uint8)
    symbol.paint(canvas, transform)
    points = project(transform, symbol.outline) + 0.5  # pixel centres are whole numbers for painting
    return canvas, np.array([*points.min(0), *points.max(0)])


def test_sample_deck_has_57_different_drawings() -> None:
    symbols = sample_symbols()
    canvases = {painted(drawing, view())[0].tobytes() for (drawing,) in symbols.values()}
    assert len(symbols) == len(canvases) == 57
    assert len({drawing.colour for (drawing,) in symbols.values()}) == 57  # type: ignore[attr-defined]


@pytest.mark.parametrize("scale", [70, 20])
def test_every_drawing_fills_the_box_of_its_outline(scale: float) -> None:
    for name, (drawing,) in sample_symbols().items():
        canvas, box = painted(drawing, view(scale))
        assert np.abs(ink_box(canvas) - box).max() <= 2, name
        assert np.hypot(*drawing.outline.T).max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("scale", [70, 20])
def test_a_scan_fills_the_box_of_its_outline(tmp_path: Path, suffix: str, scale: float) -> None:
    scan = read_scan(save(tmp_path / f"red.{suffix}", ellipse((30, 20, 220))))
    canvas, box = painted(scan, view(scale))
    assert np.abs(ink_box(canvas) - box).max() <= 2
    assert np.abs(canvas[119, 120].astype(int) - (30, 20, 220)).max() <= 12


def test_white_and_transparent_backgrounds_give_the_same_symbol(tmp_path: Path) -> None:
    on_white = read_scan(save(tmp_path / "white.png", ellipse((30, 20, 220))))
    with_alpha = read_scan(save(tmp_path / "alpha.png", ellipse((30, 20, 220, 255))))
    first, first_box = painted(on_white, view())
    second, second_box = painted(with_alpha, view())
    assert np.abs(first.astype(int) - second).max() <= 2
    assert first_box == pytest.approx(second_box)


def test_paper_shows_through_the_background_of_a_scan(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / "grey.png", np.minimum(ellipse((30, 20, 220)), 236)))
    canvas = np.full((240, 240, 3), (200, 210, 220), np.uint8)
    scan.paint(canvas, view())
    xs, ys = np.meshgrid(*[np.arange(240)] * 2)
    outline = project(view(), scan.outline).astype(np.float32)
    far = np.array(
        [
            cv2.pointPolygonTest(outline, (float(x), float(y)), True) < -3
            for x, y in zip(xs.flat, ys.flat, strict=True)
        ]
    )
    assert (canvas.reshape(-1, 3)[far] == (200, 210, 220)).all()


def test_opaque_white_of_a_cut_out_stays_white(tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / "egg.png", ellipse((255, 255, 255, 255))))
    canvas = np.zeros((240, 240, 3), np.uint8)
    scan.paint(canvas, view())
    assert (canvas[119, 120] == 255).all()


def test_dust_on_the_scan_does_not_widen_the_box(tmp_path: Path) -> None:
    image = ellipse((30, 20, 220))
    clean = read_scan(save(tmp_path / "clean.png", image))
    image[3:5, 195:197] = 0
    dusty = read_scan(save(tmp_path / "dusty.png", image))
    assert painted(dusty, view())[1] == pytest.approx(painted(clean, view())[1])


def test_large_grey_and_16_bit_pictures_are_read(tmp_path: Path) -> None:
    large = cv2.resize(ellipse((40, 40, 40)), (1800, 1800), interpolation=cv2.INTER_NEAREST)
    expected = painted(read_scan(save(tmp_path / "small.png", ellipse((40, 40, 40)))), view())[1]
    for name, image in {
        "large": large,
        "grey": cv2.cvtColor(large, cv2.COLOR_BGR2GRAY),
        "deep": ellipse((40, 40, 40)).astype(np.uint16) * 257,
    }.items():
        box = painted(read_scan(save(tmp_path / f"{name}.png", image)), view())[1]
        assert box == pytest.approx(expected, abs=1.0), name


def test_a_shrunk_scan_keeps_the_mean_of_fine_lines(tmp_path: Path) -> None:
    image = np.full((400, 400, 3), 255, np.uint8)
    image[40:360, 40:360:2] = 0
    scan = read_scan(save(tmp_path / "lines.png", image))
    canvas, _ = painted(scan, view(scale=15, angle=0))
    assert np.abs(canvas[115:123, 116:124].astype(int) - 127).max() <= 30


def test_files_and_folders_name_the_symbols(tmp_path: Path) -> None:
    save(tmp_path / "sun.png", ellipse((0, 200, 250)))
    save(tmp_path / "moon" / "2.jpg", ellipse((90, 90, 90), (50, 50)))
    save(tmp_path / "moon" / "1.png", ellipse((90, 90, 90), (60, 20)))
    (tmp_path / "README.md").write_text("no picture")
    (tmp_path / ".thumbnails").mkdir()
    symbols = read_symbols(tmp_path)
    assert {name: len(scans) for name, scans in symbols.items()} == {"moon": 2, "sun": 1}
    assert list(symbols) == ["moon", "sun"]
    first, second = (np.ptp(scan.outline, axis=0) for scan in symbols["moon"])
    assert first[1] < first[0]
    assert second[0] == pytest.approx(second[1], abs=0.05)


def test_unusable_pictures_are_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG torn")
    (tmp_path / "empty.png").touch()
    (tmp_path / "sun.svg").write_text("<svg/>")
    save(tmp_path / "white.png", np.full((50, 50, 3), 255, np.uint8))
    save(tmp_path / "glass.png", np.zeros((50, 50, 4), np.uint8))
    save(tmp_path / "table.png", np.full((50, 50, 3), 120, np.uint8))
    for name, problem in {
        "torn": "cannot be read: save it again as PNG",
        "empty": "cannot be read: save it again as PNG",
        "white": "shows no ink.*scan the symbol again",
        "glass": "shows no ink.*scan the symbol again",
        "table": "has no white or transparent background: cut the symbol out",
    }.items():
        with pytest.raises(SymbolError, match=f"{name}.png {problem}"):
            read_scan(tmp_path / f"{name}.png")
    with pytest.raises(SymbolError, match=r"sun.svg is of a kind that is not read: save it as PNG"):
        read_symbols(tmp_path)


def test_unusable_folders_are_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(SymbolError, match="nowhere is no folder"):
        read_symbols(tmp_path / "nowhere")
    save(tmp_path / "one" / "sun.png", ellipse((0, 200, 250)))
    save(tmp_path / "one" / "sun" / "1.png", ellipse((0, 200, 250)))
    with pytest.raises(SymbolError, match=r"sun.png names the symbol sun again: put all"):
        read_symbols(tmp_path / "one")
    (tmp_path / "two" / "star").mkdir(parents=True)
    with pytest.raises(SymbolError, match="star has no picture: put a PNG"):
        read_symbols(tmp_path / "two")


@pytest.mark.skipif(not REAL.is_dir(), reason="scans of a real deck are not here")
def test_scans_of_a_real_deck_fill_their_boxes() -> None:
    for folder in sorted(path for path in REAL.iterdir() if path.is_dir())[::7]:
        canvas, box = painted(read_scan(min(folder.glob("*.png"))), view())
        assert np.abs(ink_box(canvas) - box).max() <= 2, folder.name
