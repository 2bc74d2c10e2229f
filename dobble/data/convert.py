"""Raw data (an export and its photos) to Pascal VOC, with every photo's bytes as they came."""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from dobble.data.annotations import LabelledBox, LabelledPhoto, read_photos
from dobble.data.names import photo_file
from dobble.data.photos import check_photo
from dobble.data.voc import VocObject, VocPhoto, write_annotation, write_lines
from dobble.errors import ExportError, MissingInputError, PhotoError
from dobble.files import link_or_copy, replaced_folder
from dobble.params import ConvertParams


@dataclass(frozen=True)
class ConvertSummary:
    """What became of the photos; `left_out` are those without a label."""

    photos: int
    boxes: int
    clipped: int
    left_out: int
    classes: dict[str, int]


def convert(raw: Path, out: Path, params: ConvertParams) -> ConvertSummary:
    """Write the labelled photos of `raw` as Pascal VOC into `out`, which appears whole or not at all.

    Args:
        raw: folder with `export.ndjson` and `images/<external id>`.
        out: folder that gets `JPEGImages`, `Annotations`, `labels.txt` and `summary.json`.
        params: how to treat photos with several labels.

    Raises:
        MissingInputError: if there are no raw data.
        ExportError: naming the row that cannot be used.
        PhotoError: naming a photo that is missing, damaged, or does not fit its labels.
        OutputError: if `out` cannot be written.
    """
    export = raw / "export.ndjson"
    if not export.is_file():
        raise MissingInputError(export, "make the sample deck, import an export, or pull the data")
    classes: Counter[str] = Counter()
    photos = clipped = left_out = 0
    with replaced_folder(out) as side:
        (side / "JPEGImages").mkdir()
        (side / "Annotations").mkdir()
        labelled = read_photos(export, params.several_labels)
        for photo in tqdm(labelled, desc="convert", unit="photo", disable=None):
            if not photo.boxes:
                left_out += 1
                continue
            image = raw / "images" / photo.external_id
            annotation = voc_photo(photo, _size(image, photo))
            write_annotation(side / "Annotations" / f"{annotation.photo_id}.xml", annotation)
            link_or_copy(image, side / "JPEGImages" / annotation.filename)
            photos += 1
            clipped += sum(entry.truncated for entry in annotation.objects)
            classes.update(annotation.names)
        if not photos:
            raise ExportError(export, None, f"none of the {left_out} photos is labelled: label some first")
        write_lines(side / "labels.txt", sorted(classes))
        summary = ConvertSummary(photos, classes.total(), clipped, left_out, dict(sorted(classes.items())))
        text = json.dumps(asdict(summary), indent=2, ensure_ascii=False)
        (side / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def voc_photo(photo: LabelledPhoto, size: tuple[int, int]) -> VocPhoto:
    """Turn continuous boxes into whole pixels, clipped to an upright photo of `size` (width, height).

    Raises:
        PhotoError: if less than a pixel of a box is inside the photo.
    """
    objects = tuple(_voc_object(photo, box, size) for box in photo.boxes)
    return VocPhoto(photo_file(photo.external_id), *size, objects)


def _voc_object(photo: LabelledPhoto, box: LabelledBox, size: tuple[int, int]) -> VocObject:
    width, height = size
    # Sums of floats stray in the last digits, which must not move a box by a pixel.
    left, right = round(box.left, 3), round(box.left + box.width, 3)
    top, bottom = round(box.top, 3), round(box.top + box.height, 3)
    x1, x2 = max(left, 0.0), min(right, float(width))
    y1, y2 = max(top, 0.0), min(bottom, float(height))
    if x2 - x1 < 1 or y2 - y1 < 1:
        where = f"({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        problem = f"row {photo.row}: the box of {box.name!r}, {where}, has less than a pixel inside"
        raise PhotoError(photo.external_id, f"{problem} {width} x {height}: draw it again")
    clipped = (x1, y1, x2, y2) != (left, top, right, bottom)
    return VocObject(
        box.name, math.floor(x1) + 1, math.floor(y1) + 1, math.ceil(x2), math.ceil(y2), truncated=clipped
    )


def _size(image: Path, photo: LabelledPhoto) -> tuple[int, int]:
    """Give the upright size of a photo once it is certain that its labels mean the same picture."""
    size = check_photo(image)
    said = (photo.width or size.upright[0], photo.height or size.upright[1])
    if said == size.upright:
        return size.upright
    shown = f"labelled as {said[0]} x {said[1]} pixels (row {photo.row})"
    actual = f"{size.upright[0]} x {size.upright[1]}"
    if said == size.stored:
        cure = "remove the EXIF orientation, or label the upright photo"
        raise PhotoError(image, f"{shown} before EXIF turns it upright to {actual}: {cure}")
    raise PhotoError(image, f"{shown} but has {actual}: put the photo that was labelled there")
