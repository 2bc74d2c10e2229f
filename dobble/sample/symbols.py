"""Glyph outlines, or a folder of scans, into symbols that can be painted on a card at any size and angle."""

import colorsys
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dobble.errors import SymbolError

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

GLYPHS = {
    "sun": 0x2600, "cloud": 0x2601, "umbrella": 0x2602, "snowman": 0x2603, "comet": 0x2604, "star": 0x2605,
    "telephone": 0x260E, "coffee": 0x2615, "shamrock": 0x2618, "pointing-hand": 0x261D, "skull": 0x2620,
    "radiation": 0x2622, "biohazard": 0x2623, "ankh": 0x2625, "peace": 0x262E, "yin-yang": 0x262F,
    "ship-wheel": 0x2638, "smiley": 0x263A, "moon": 0x263D, "trident": 0x2646, "lion": 0x264C, "fish": 0x2653,
    "king": 0x265A, "queen": 0x265B, "rook": 0x265C, "knight": 0x265E, "spade": 0x2660, "club": 0x2663,
    "heart": 0x2665, "diamond": 0x2666, "hot-spring": 0x2668, "music": 0x266B, "recycling": 0x267B,
    "wheelchair": 0x267F, "die": 0x2685, "flag": 0x2691, "hammers": 0x2692, "anchor": 0x2693,
    "swords": 0x2694, "scales": 0x2696, "alembic": 0x2697, "flower": 0x2698, "gear": 0x2699, "atom": 0x269B,
    "turtle": 0x269C, "warning": 0x26A0, "lightning": 0x26A1, "scissors": 0x2702, "plane": 0x2708,
    "envelope": 0x2709, "victory": 0x270C, "pencil": 0x270E, "check-mark": 0x2714, "cross": 0x2720,
    "blossom": 0x2740, "snowflake": 0x2744, "ivy": 0x2766,
}  # fmt: skip

_READ = {".png", ".jpg", ".jpeg", ".webp"}
_INK = 24  # of 255: what is paler is the paper's grain, or a halo that JPEG left around the ink
_SPECK = 0.001  # of the ink's area: dust on the scanner's glass
_LARGEST = 512  # pixels: no card shows a symbol larger


class Symbol(Protocol):
    """What can be painted on a card."""

    @property
    def outline(self) -> Floats:
        """Points [N,2] inside the unit circle whose convex hull is that of the ink."""

    def paint(self, canvas: Pixels, transform: Floats) -> None:
        """Paint on the canvas [H,W,3].

        Args:
            canvas: BGR, changed in place.
            transform: homography [3,3] from the unit circle to canvas pixels (whole at their centres).
        """


@dataclass(frozen=True)
class Drawing:
    """A symbol of filled outlines [N,2] (even-odd rule) in one BGR colour."""

    outlines: tuple[Floats, ...]
    colour: tuple[int, int, int]

    @property
    def outline(self) -> Floats:
        """All points of all outlines."""
        return np.concatenate(self.outlines)

    def paint(self, canvas: Pixels, transform: Floats) -> None:
        """Fill the outlines."""
        shapes = [np.round(project(transform, points) * 16).astype(np.int32) for points in self.outlines]
        cv2.fillPoly(canvas, shapes, self.colour, cv2.LINE_AA, 4)


@dataclass(frozen=True)
class Scan:
    """A symbol of pixels: premultiplied BGRA [H,W,4] at full, half, quarter ... size."""

    levels: tuple[Pixels, ...]
    outline: Floats
    place: Floats = field(repr=False)  # homography from pixels of the full size to the unit circle

    def paint(self, canvas: Pixels, transform: Floats) -> None:
        """Lay the picture over the canvas, from the smallest level that loses nothing."""
        corners = project(transform, self.outline)
        low = np.maximum(np.floor(corners.min(0)).astype(int) - 2, 0)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + 3, canvas.shape[1::-1])
        if (low >= high).any():
            return
        extent = np.ptp(self.outline, axis=0).max() / self.place[0, 0]
        shrink = extent / max(float(np.ptp(corners, axis=0).max()), 1.0)
        level = self.levels[min(max(int(np.log2(max(shrink, 1.0))), 0), len(self.levels) - 1)]
        full = self.levels[0].shape
        ratio = np.array([full[1] / level.shape[1], full[0] / level.shape[0]])
        enlarge = np.diag([*ratio, 1.0])
        enlarge[:2, 2] = ratio / 2 - 0.5
        move = np.eye(3)
        move[:2, 2] = -low
        width, height = (high - low).tolist()
        laid = cv2.warpPerspective(level, move @ transform @ self.place @ enlarge, (width, height))
        below = canvas[low[1] : high[1], low[0] : high[0]]
        through = cv2.merge([255 - laid[..., 3]] * 3)
        below[:] = cv2.add(cv2.multiply(below, through, scale=1 / 255), laid[..., :3])


def project(transform: Floats, points: Floats) -> Floats:
    """Apply a homography [3,3] to points [N,2]."""
    moved = points @ transform[:, :2].T + transform[:, 2]
    projected: Floats = moved[:, :2] / moved[:, 2:]
    return projected


def sample_symbols() -> dict[str, list[Symbol]]:
    """Return the 57 symbols of the sample deck, one drawing each, from the DejaVu Sans font in matplotlib."""
    # matplotlib takes half a second to load, and own symbols do without it
    from matplotlib import get_data_path  # noqa: PLC0415
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from matplotlib.textpath import TextPath  # noqa: PLC0415

    font = FontProperties(fname=f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf")
    symbols: dict[str, list[Symbol]] = {}
    for index, (name, code) in enumerate(GLYPHS.items()):
        path = TextPath((0, 0), chr(code), size=100, prop=font)
        outlines = [np.asarray(polygon) * [1, -1] for polygon in path.to_polygons(closed_only=True)]
        centre, radius = _enclosing_circle(np.concatenate(outlines))
        symbols[name] = [Drawing(tuple((points - centre) / radius for points in outlines), _colour(index))]
    return symbols


def read_symbols(folder: Path) -> dict[str, list[Symbol]]:
    """Read a folder with one picture, or one sub-folder of pictures, for each symbol.

    The symbol is named by the file or sub-folder. Pictures (PNG, JPEG, WebP; any size) show the symbol alone
    on a transparent or white background, which becomes transparent. Files that are no pictures are ignored.

    Returns:
        The scans of every symbol, in the order of their file names; symbols in the order of their names.

    Raises:
        SymbolError: naming the folder or the picture that cannot be used, and what to do.
    """
    if not folder.is_dir():
        raise SymbolError(f"{folder} is no folder: name one with a picture or a sub-folder for each symbol")
    sources: dict[str, list[Path]] = {}
    for entry in _visible(folder):
        name = entry.name if entry.is_dir() else entry.stem
        pictures = [file for file in _visible(entry) if _is_picture(file)] if entry.is_dir() else [entry]
        if not entry.is_dir() and not _is_picture(entry):
            continue
        if not pictures:
            raise SymbolError(
                f"{entry} has no picture: put a PNG, JPEG or WebP picture of the symbol in, or remove it"
            )
        if name in sources:
            raise SymbolError(
                f"{entry} names the symbol {name} again: put all its pictures into one sub-folder"
            )
        sources[name] = pictures
    return {name: [read_scan(picture) for picture in sources[name]] for name in sorted(sources)}


def read_scan(picture: Path) -> Scan:
    """Read one picture of a symbol.

    Raises:
        SymbolError: if it cannot be read, is empty paper, or has no white or transparent background.
    """
    image = cv2.imdecode(np.frombuffer(picture.read_bytes() or b"\0", np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SymbolError(f"{picture} cannot be read: save it again as PNG, JPEG or WebP")
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    image = _reduced(np.atleast_3d(image), max(image.shape[:2]) / _LARGEST)
    keyed = _premultiplied(image) if image.shape[2] == 4 and image[..., 3].min() < 255 else _unpapered(image)
    ink = _without_specks(np.asarray(keyed[..., 3] >= _INK, np.uint8))
    if not ink.any():
        raise SymbolError(
            f"{picture} shows no ink, only background: scan the symbol again or remove the picture"
        )
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    if border.all() and ink.mean() > 0.98:
        raise SymbolError(
            f"{picture} has no white or transparent background: cut the symbol out, or leave a margin"
        )
    ys, xs = np.nonzero(ink)
    keyed = keyed * ink[..., None]
    keyed = keyed[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    # a transparent edge keeps the reduced levels from smearing the outermost ink outwards
    keyed = np.pad(keyed, ((2, 2), (2, 2), (0, 0)))
    ys, xs = np.nonzero(keyed[..., 3])
    corners = np.concatenate([np.stack([xs + dx, ys + dy], 1) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)])
    hull = cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)
    centre, radius = _enclosing_circle(hull)
    place = np.array([[1 / radius, 0, -centre[0] / radius], [0, 1 / radius, -centre[1] / radius], [0, 0, 1]])
    return Scan(_halved(keyed), (hull - centre) / radius, place)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _is_picture(file: Path) -> bool:
    if file.suffix.lower() in _READ:
        return True
    if (mimetypes.guess_type(file.name)[0] or "").startswith("image/"):
        raise SymbolError(f"{file} is of a kind that is not read: save it as PNG, JPEG or WebP")
    return False


def _premultiplied(image: Pixels) -> Pixels:
    seen = np.rint(image[..., :3] * (image[..., 3:] / 255)).astype(np.uint8)
    return np.concatenate([seen, image[..., 3:]], axis=2)


def _unpapered(image: Pixels) -> Pixels:
    """Colours on white paper as the least ink that gives them: what is white inside a symbol is paper too."""
    colours = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.shape[2] == 1 else image[..., :3]
    bright = colours[colours.min(2) >= 200]
    paper = np.percentile(bright, 80, axis=0) if len(bright) else np.full(3, 255.0)
    relative = np.minimum(colours / paper, 1)
    alpha = 1 - relative.min(2, keepdims=True)
    keyed: Pixels = np.rint(np.concatenate([relative - (1 - alpha), alpha], axis=2) * 255).astype(np.uint8)
    return keyed


def _without_specks(ink: Pixels) -> Pixels:
    _, parts, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] > _SPECK * ink.sum()
    large[0] = False
    kept: Pixels = large[parts].astype(np.uint8)
    return kept


def _reduced(image: Pixels, factor: float) -> Pixels:
    if factor <= 1:
        return image
    height, width = (max(round(side / factor), 1) for side in image.shape[:2])
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.atleast_3d(np.asarray(smaller, np.uint8))


def _halved(picture: Pixels) -> tuple[Pixels, ...]:
    levels = [picture]
    while min(levels[-1].shape[:2]) > 16:
        levels.append(_reduced(levels[-1], 2))
    return tuple(levels)


def _enclosing_circle(points: Floats) -> tuple[Floats, float]:
    centre, radius = cv2.minEnclosingCircle(points.astype(np.float32))
    return np.array(centre), radius


def _colour(index: int) -> tuple[int, int, int]:
    # the golden angle keeps neighbours apart in hue; three values and two saturations tell the rest apart
    hue = index * 0.61803398875 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.95, 0.8)[index // 3 % 2], (0.85, 0.62, 0.42)[index % 3])
    return round(255 * blue), round(255 * green), round(255 * red)
