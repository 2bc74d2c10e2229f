"""Photos with findings to pages of pictures: each photo with its boxes, and below it what is wrong."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dobble.data.voc import VocPhoto
from dobble.errors import PhotoError
from dobble.validation.findings import Finding

INDEX = "index.html"
COLUMNS, ROWS = 3, 3
MOST_PHOTOS = 450  # 50 pages: more take minutes to draw, and nobody looks at them
TILE = 480
_MARGIN, _TEXT, _LINE = 20, 15, 20
_LINES = 6
_CHARACTERS = 58
_PAPER, _INK, _FAINT = (246, 247, 249), (31, 41, 51), (107, 119, 133)
_COLOURS = {"error": (200, 30, 30), "warning": (180, 83, 9)}
_QUALITY = 85


class Flagged(NamedTuple):
    """A photo with its file, its boxes, and everything found about it.

    `beside` is the file of another photo to compare with, if a finding names one.
    """

    path: Path
    photo: VocPhoto
    findings: Sequence[Finding]
    beside: Path | None = None


def write_sheets(folder: Path, flagged: Sequence[Flagged]) -> list[Path]:
    """Write `sheet01.jpg`, … with nine photos each, in the given order, and `index.html` that shows them all.

    The index is there even if nothing is flagged; after the first 450 it only counts them.

    Raises:
        PhotoError: if a photo cannot be decoded.
    """
    pages = []
    per_page = COLUMNS * ROWS
    drawn = flagged[:MOST_PHOTOS]
    for number, start in enumerate(range(0, len(drawn), per_page), start=1):
        page = folder / f"sheet{number:02d}.jpg"
        _page([_tile(entry) for entry in drawn[start : start + per_page]]).save(page, quality=_QUALITY)
        pages.append(page)
    shown = [f'<p><img src="{page.name}" alt="{page.name}">' for page in pages]
    if len(flagged) > len(drawn):
        shown.append(f"<p>{len(flagged) - len(drawn)} more flagged photos are in findings.csv.")
    body = "\n".join(shown or ["<p>No photo is flagged."])
    (folder / INDEX).write_text(f"<!doctype html><title>Flagged photos</title>\n{body}\n", encoding="utf-8")
    return pages


def group_findings(
    findings: Sequence[Finding], photos: Mapping[str, VocPhoto], folder: Path
) -> list[Flagged]:
    """Gather the findings of each photo, in the order of the first one.

    Args:
        findings: those without a photo are left out.
        photos: by photo id.
        folder: of the pictures.
    """
    grouped: dict[str, list[Finding]] = {}
    for found in findings:
        if found.photo:
            grouped.setdefault(found.photo, []).append(found)
    flagged = []
    for photo, entries in grouped.items():
        other = next((found.other for found in entries if found.other), None)
        beside = folder / photos[other].filename if other else None
        flagged.append(Flagged(folder / photos[photo].filename, photos[photo], entries, beside))
    return flagged


def _page(tiles: Sequence[Image.Image]) -> Image.Image:
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    size = COLUMNS * width + (COLUMNS + 1) * _MARGIN, rows * height + (rows + 1) * _MARGIN
    page = Image.new("RGB", size, _PAPER)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, COLUMNS)
        page.paste(tile, (_MARGIN + column * (width + _MARGIN), _MARGIN + row * (height + _MARGIN)))
    return page


def _tile(entry: Flagged) -> Image.Image:
    """The photo, beside it the one to compare with, and the findings below."""
    tile = Image.new("RGB", (TILE, TILE + (_LINES + 1) * _LINE + 8), _PAPER)
    width = TILE if entry.beside is None else (TILE - 4) // 2
    marked = {label for found in entry.findings for label in found.labels}
    tile.paste(_picture(entry.path, width, entry.photo, marked), (0, 0))
    if entry.beside is not None:
        tile.paste(_picture(entry.beside, width), (width + 4, 0))
    draw, font = ImageDraw.Draw(tile), _font(_TEXT)
    draw.text((0, TILE + 4), entry.photo.photo_id, fill=_FAINT, font=font)
    lines = [
        (line, colour)
        for found in entry.findings
        for text, colour in ((found.finding, _COLOURS[found.severity]), (found.suggestion, _INK))
        for line in textwrap.wrap(text, _CHARACTERS)
    ]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], ("… (more in findings.csv)", _FAINT)]
    for number, (line, colour) in enumerate(lines, start=1):
        draw.text((0, TILE + 4 + number * _LINE), line, fill=colour, font=font)
    return tile


def _picture(
    path: Path, side: int, photo: VocPhoto | None = None, marked: Collection[str] = ()
) -> Image.Image:
    """A photo within a square, with the boxes of its labels: those in doubt thick and red."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if image is None:
        raise PhotoError(path, "is no picture that OpenCV can decode")
    scale = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    rgb = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    if photo is not None:
        _mark(ImageDraw.Draw(picture), photo.names, photo.boxes * scale, marked)
    return picture


def _mark(
    draw: ImageDraw.ImageDraw, names: Sequence[str], boxes: NDArray[np.float32], marked: Collection[str]
) -> None:
    font = _font(_TEXT - 3)
    for name, box in sorted(zip(names, boxes.tolist(), strict=True), key=lambda entry: entry[0] in marked):
        colour = _COLOURS["error"] if name in marked else _FAINT
        draw.rectangle(box, outline=colour, width=3 if name in marked else 1)
        corner = (box[0] + 2, max(box[1] - _TEXT, 0))
        plate = draw.textbbox(corner, name, font=font)
        draw.rectangle((plate[0] - 2, plate[1] - 1, plate[2] + 2, plate[3] + 1), fill=colour)
        draw.text(corner, name, fill=(255, 255, 255), font=font)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), size)
