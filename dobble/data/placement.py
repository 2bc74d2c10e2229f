"""Photos and their boxes as drawn to Pascal VOC records in whole pixels of the upright photo."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dobble.data.annotations import LabelledBox, LabelledPhoto
from dobble.data.bad_rows import BadRows
from dobble.data.orientation import before_turn, turn_boxes
from dobble.data.photo_names import photo_file
from dobble.data.photos import PhotoSize, check_photo
from dobble.data.turned_photos import Undecided, choose_frames, find_frames
from dobble.data.voc import VocObject, VocPhoto
from dobble.errors import PhotoError


class Placed(NamedTuple):
    """A photo whose boxes are certain to lie where they were drawn.

    Attributes:
        photo: as the export says.
        image: its file.
        orientation: EXIF's, by which the boxes were turned.
        annotation: what Pascal VOC says of it.
    """

    photo: LabelledPhoto
    image: Path
    orientation: int
    annotation: VocPhoto


def place_photos(photos: Iterable[tuple[LabelledPhoto, Path]], bad: BadRows) -> Iterator[Placed]:
    """Give photos with their boxes, those last that only can be told from all photos that EXIF turns.

    Photos that are missing, damaged, not what was labelled, or whose boxes lie outside go to `bad`.
    """
    undecided = []
    for photo, image in photos:
        with bad.noted(photo.row, photo.external_id):
            size = check_photo(image)
            frames = find_frames(photo, size)
            if len(frames) > 1:
                undecided.append(Undecided(photo, image, size, frames))
            else:
                yield _placed(photo, image, size, frames[0])
    chosen = choose_frames(undecided, bad)
    for photo, image, size, _ in undecided:
        if photo.external_id in chosen:
            with bad.noted(photo.row, photo.external_id):
                yield _placed(photo, image, size, chosen[photo.external_id])


def voc_photo(photo: LabelledPhoto, filename: str, size: tuple[int, int]) -> VocPhoto:
    """Turn continuous boxes into whole pixels, clipped to an upright photo of `size` (width, height).

    Raises:
        PhotoError: if less than a pixel of a box is inside the photo.
    """
    return VocPhoto(filename, *size, tuple(_voc_object(photo, box, size) for box in photo.boxes))


def _placed(photo: LabelledPhoto, image: Path, size: PhotoSize, orientation: int) -> Placed:
    boxes = turn_boxes(photo.boxes, orientation, before_turn(orientation, size.upright))
    filename = photo_file(photo.external_id, size.suffix)
    return Placed(photo, image, orientation, voc_photo(replace(photo, boxes=boxes), filename, size.upright))


def _voc_object(photo: LabelledPhoto, box: LabelledBox, size: tuple[int, int]) -> VocObject:
    width, height = size
    # Sums of floats stray in the last digits, which must not move a box by a pixel.
    left, right = round(box.left, 3), round(box.left + box.width, 3)
    top, bottom = round(box.top, 3), round(box.top + box.height, 3)
    x1, x2 = max(left, 0.0), min(right, float(width))
    y1, y2 = max(top, 0.0), min(bottom, float(height))
    if x2 - x1 < 1 or y2 - y1 < 1:
        where = f"({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        problem = f"the box of {box.name!r}, {where}, has less than a pixel inside"
        raise PhotoError(photo.external_id, f"{problem} {width} x {height}: draw it again")
    clipped = (x1, y1, x2, y2) != (left, top, right, bottom)
    return VocObject(
        box.name, math.floor(x1) + 1, math.floor(y1) + 1, math.ceil(x2), math.ceil(y2), truncated=clipped
    )
