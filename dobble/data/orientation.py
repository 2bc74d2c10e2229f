"""Boxes in the pixels that a file stores to boxes on the photo as EXIF turns it, and back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dobble.data.annotations import LabelledBox
from dobble.data.voc import VOC_SUMMARY

UPRIGHT = 1
_TRANSPOSED, _MIRRORED, _UPSIDE_DOWN = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
_BACK = {6: 8, 8: 6}


def turn_boxes(
    boxes: Sequence[LabelledBox], orientation: int, size: tuple[int, int]
) -> tuple[LabelledBox, ...]:
    """Turn boxes as a viewer turns the photo that they are drawn on.

    Args:
        boxes: in pixels of the photo before it is turned.
        orientation: EXIF's, 1 to 8.
        size: width and height of the photo before it is turned.

    Example:
    >>> turn_boxes([LabelledBox("tree", 0, 0, 10, 20)], 6, (400, 300))
    (LabelledBox(name='tree', left=280, top=0, width=20, height=10),)
    """
    return tuple(_turned(box, orientation, size) for box in boxes)


def before_turn(orientation: int, upright: tuple[int, int]) -> tuple[int, int]:
    """Give width and height of what has the size `upright` once it is turned."""
    return upright[::-1] if orientation in _TRANSPOSED else upright


def turn_back(orientation: int) -> int:
    """Give the orientation that undoes another."""
    return _BACK.get(orientation, orientation)


def read_turned(voc: Path) -> dict[str, int]:
    """Read which photos have boxes that were turned upright, by their ids, and by which orientation."""
    source = voc / VOC_SUMMARY
    if not source.is_file():
        return {}
    turned: dict[str, int] = json.loads(source.read_text(encoding="utf-8")).get("turned", {})
    return turned


def _turned(box: LabelledBox, orientation: int, size: tuple[int, int]) -> LabelledBox:
    left, top, width, height = box.left, box.top, box.width, box.height
    if orientation in _TRANSPOSED:
        left, top, width, height, size = top, left, height, width, size[::-1]
    if orientation in _MIRRORED:
        left = size[0] - left - width
    if orientation in _UPSIDE_DOWN:
        top = size[1] - top - height
    return replace(box, left=left, top=top, width=width, height=height)
