"""Raw data (an export and its photos) to Pascal VOC, with every photo's bytes as they came."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from dobble.data.annotations import LabelledPhoto, read_photos
from dobble.data.bad_rows import BadRows
from dobble.data.made_up_decks import MADE_UP
from dobble.data.orientation import UPRIGHT
from dobble.data.photo_names import look_alike
from dobble.data.placement import place_photos
from dobble.data.voc import VOC_SUMMARY, write_annotation, write_lines
from dobble.errors import ExportError, MissingInputError
from dobble.files import link_or_copy, replaced_folder
from dobble.params import ConvertParams


@dataclass(frozen=True)
class ConvertSummary:
    """What became of the photos.

    Attributes:
        photos: in Pascal VOC, negatives included.
        negatives: of which a label says that they show no symbol; their annotations have no objects.
        boxes: on the photos.
        clipped: boxes cut off at the border of a photo.
        left_out: photos without a label.
        classes: boxes of each class.
        turned: orientation of each photo, by its id, whose boxes were drawn before EXIF turns it.
        made_up: ids of rendered photos whose deck is made up.
    """

    photos: int
    negatives: int
    boxes: int
    clipped: int
    left_out: int
    classes: dict[str, int]
    turned: dict[str, int]
    made_up: list[str]


def convert(raw: Path, out: Path, params: ConvertParams) -> ConvertSummary:
    """Write the labelled photos of `raw` as Pascal VOC into `out`, which appears whole or not at all.

    Args:
        raw: folder with `export.ndjson` and `images/<external id>`.
        out: folder that gets `JPEGImages`, `Annotations`, `labels.txt` and `summary.json`.
        params: how to treat photos with several labels, and labels that look alike.

    Raises:
        MissingInputError: if there are no raw data.
        ExportError: if the export cannot be read, nothing is labelled, or labels look alike.
        BadRowsError: naming all rows that cannot be used, their photos included.
        OutputError: if `out` cannot be written.
    """
    export = raw / "export.ndjson"
    if not export.is_file():
        raise MissingInputError(export, "make the sample deck, import an export, or pull the data")
    bad = BadRows(export, out, "mend them in Labelbox and get the data anew; import and fetch can --skip-bad")
    survey = _survey(export, params)
    names = _class_names(export, survey.boxes, params)
    classes: Counter[str] = Counter()
    photos = negatives = clipped = 0
    turned, made_up = {}, []
    with replaced_folder(out) as side:
        (side / "JPEGImages").mkdir()
        (side / "Annotations").mkdir()
        for placed in place_photos(_labelled(raw, export, names, params, bad), bad):
            annotation = placed.annotation
            write_annotation(side / "Annotations" / f"{annotation.photo_id}.xml", annotation)
            link_or_copy(placed.image, side / "JPEGImages" / annotation.filename)
            photos += 1
            negatives += not annotation.objects
            clipped += sum(entry.truncated for entry in annotation.objects)
            classes.update(annotation.names)
            if placed.orientation != UPRIGHT and annotation.objects:
                turned[annotation.photo_id] = placed.orientation
            if placed.photo.project == MADE_UP:
                made_up.append(annotation.photo_id)
        bad.settle(skip=False)
        if not classes:
            problem = f"none of the {survey.photos} photos has a box: label some first"
            raise ExportError(export, None, problem)
        write_lines(side / "labels.txt", sorted(classes))
        summary = ConvertSummary(
            photos,
            negatives,
            classes.total(),
            clipped,
            survey.unlabelled,
            dict(sorted(classes.items())),
            dict(sorted(turned.items())),
            sorted(made_up),
        )
        text = json.dumps(asdict(summary), indent=2, ensure_ascii=False)
        (side / VOC_SUMMARY).write_text(text + "\n", encoding="utf-8")
    return summary


class _Survey(NamedTuple):
    """Photos of an export, those without a label, and the boxes of each class."""

    photos: int
    unlabelled: int
    boxes: Counter[str]


def _survey(export: Path, params: ConvertParams) -> _Survey:
    photos = unlabelled = 0
    boxes: Counter[str] = Counter()
    for photo in read_photos(export, params.several_labels, report=_pass_over):
        photos += 1
        unlabelled += not photo.labelled
        boxes.update(box.name for box in photo.boxes)
    return _Survey(photos, unlabelled, boxes)


def _pass_over(error: ExportError) -> None:
    """Say nothing: it is said when the photos are placed."""


def _class_names(export: Path, boxes: Counter[str], params: ConvertParams) -> dict[str, str]:
    """Give the class of each name: of names that look alike the most frequent, if they may be merged."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(boxes, key=lambda name: (-boxes[name], name)):
        alike[look_alike(name)].append(name)
    several = [names for names in alike.values() if len(names) > 1]
    if several and params.similar_labels == "refuse":
        counted = [" and ".join(f"{name!a} ({boxes[name]})" for name in names) for names in several]
        cure = "rename them in Labelbox, or set convert.similar_labels to merge"
        raise ExportError(export, None, f"has labels that look alike: {'; '.join(counted)}: {cure}")
    return {name: names[0] for names in alike.values() for name in names}


def _labelled(
    raw: Path, export: Path, names: dict[str, str], params: ConvertParams, bad: BadRows
) -> Iterator[tuple[LabelledPhoto, Path]]:
    photos = read_photos(export, params.several_labels, report=bad.add)
    for photo in tqdm(photos, desc="convert", unit="photo", disable=None):
        if photo.labelled:
            boxes = tuple(replace(box, name=names[box.name]) for box in photo.boxes)
            yield replace(photo, boxes=boxes), raw / "images" / photo.external_id
