"""Data rows of Labelbox exports to one record for each photo."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dobble.data.export_rows import Report, read_rows, stop
from dobble.data.photo_names import PhotoNames, class_name, external_id
from dobble.errors import ExportError

JsonDict = dict[str, Any]
SeveralLabels = Literal["refuse", "first"]

_BOX_KIND = "ImageBoundingBox"
_REWORK = "IN_REWORK"


@dataclass(frozen=True)
class LabelledBox:
    """A symbol where the labeller drew it, in pixels from the upper left corner.

    Labelbox counts the pixels of the file as they are stored; `dobble.data.orientation` turns them upright.
    """

    name: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class LabelledPhoto:
    """What one row of an export says.

    Attributes:
        external_id: of the photo.
        width: in pixels, as labelled; None if the row does not say it.
        height: as `width`.
        boxes: none if nobody has labelled the photo, or somebody found nothing on it.
        row: number of the row, from 1.
        labelled: whether a label counts; one without boxes says that the photo shows no symbol.
        exif_rotation: the EXIF orientation (1 to 8) of the labelled file, if the row says it.
        rejected: labels that a reviewer has rejected, which do not count.
        project: id of the project whose labels these are; None without a label.
    """

    external_id: str
    width: int | None
    height: int | None
    boxes: tuple[LabelledBox, ...]
    row: int
    labelled: bool = True
    exif_rotation: int | None = None
    rejected: int = 0
    project: str | None = None


def read_photos(
    export: Path,
    several_labels: SeveralLabels = "refuse",
    project: str | None = None,
    report: Report = stop,
) -> Iterator[LabelledPhoto]:
    """Read an export row by row; rows a line of any number need the memory of one row.

    Args:
        export: of either generation, one row for each photo.
        several_labels: whether a photo labelled more than once is an error, or its first label counts.
        project: id of the project whose labels count; needed if a row has labels of more than one.
        report: is told of rows that cannot be used, which are then left out.

    Raises:
        MissingInputError: if there is no such file.
        ExportError: naming the file and what is wrong with it; by default also the first row (the line of
            NDJSON, the item of an array, from 1) that cannot be used, its photo, and why.
    """
    names = PhotoNames(export)
    for number, row in read_rows(export, report):
        try:
            photo = parse_row(export, number, row, several_labels, project)
            names.add(photo.external_id, number)
        except ExportError as error:
            report(error)
        else:
            yield photo


def parse_row(
    export: Path | str,
    number: int,
    row: JsonDict,
    several_labels: SeveralLabels = "refuse",
    project: str | None = None,
) -> LabelledPhoto:
    """Turn one v2 row into a record; arguments and errors are those of `read_photos`."""
    photo_id = external_id(export, number, row["data_row"])
    return _Row(export, number, photo_id).photo(row, several_labels, project)


def label_order(label: JsonDict) -> tuple[bool, str]:
    """Sort key that puts the benchmark's reference label first, then the oldest."""
    reference = _detail(label, "label_details", "is_benchmark_reference")
    return not reference, str(_detail(label, "label_details", "created_at"))


def counting_labels(project: JsonDict) -> list[JsonDict]:
    """Give the labels of a row's project that were neither skipped nor rejected."""
    return [label for label in _done_labels(project) if not _is_rejected(project, label)]


def _done_labels(project: JsonDict) -> list[JsonDict]:
    labels = project.get("labels") or []
    return [label for label in labels if not _detail(label, "performance_details", "skipped")]


def _is_rejected(project: JsonDict, label: JsonDict) -> bool:
    if _detail(project, "project_details", "workflow_status") == _REWORK:
        return True
    reviews = _detail(label, "label_details", "reviews") or []
    scores = [review.get("score") for review in reviews if isinstance(review, dict)]
    return sum(score for score in scores if isinstance(score, int | float)) < 0


def _detail(parent: JsonDict, part: str, key: str) -> Any:
    details = parent.get(part)
    return details.get(key) if isinstance(details, dict) else None


@dataclass(frozen=True)
class _Row:
    """Where the reader is, so that each error can name it."""

    export: Path | str
    number: int
    photo_id: str

    def error(self, problem: str) -> ExportError:
        return ExportError(self.export, self.number, problem, self.photo_id)

    def photo(self, row: JsonDict, several_labels: SeveralLabels, project: str | None) -> LabelledPhoto:
        if row.get("experiments") and not row.get("projects"):
            raise self.error("has predictions of a model run only: export the project, not the model run")
        media = self.child(row, "media_attributes", dict)
        project, labelled = self.project(row, project)
        labels = counting_labels(labelled)
        if len(labels) > 1 and several_labels == "refuse":
            cure = "keep one in Labelbox, or set convert.several_labels to first"
            raise self.error(f"has {len(labels)} labels: {cure}")
        return LabelledPhoto(
            self.photo_id,
            self.size(media, "width"),
            self.size(media, "height"),
            self.boxes(min(labels, key=label_order)) if labels else (),
            self.number,
            labelled=bool(labels),
            exif_rotation=_orientation(media.get("exif_rotation")),
            rejected=len(_done_labels(labelled)) - len(labels),
            project=project if labels else None,
        )

    def project(self, row: JsonDict, project: str | None) -> tuple[str | None, JsonDict]:
        projects = self.child(row, "projects", dict)
        chosen = {key: self.child(projects, key, dict) for key in projects if project in (None, key)}
        labelled = [key for key, value in chosen.items() if self.child(value, "labels", list)]
        if len(labelled) > 1:
            raise self.error(f"is labelled in the projects {', '.join(sorted(labelled))}: choose one of them")
        found_in = labelled[0] if labelled else None
        found: JsonDict = {} if found_in is None else chosen[found_in]
        for label in found.get("labels", []):
            if not isinstance(label, dict):
                raise self.error("labels holds something that is no label")
            details = self.child(label, "label_details", dict)
            self.child(details, "reviews", list)
            self.objects(label)
        return found_in, found

    def objects(self, label: JsonDict) -> list[JsonDict]:
        found: list[JsonDict] = self.child(self.child(label, "annotations", dict), "objects", list)
        if not all(isinstance(item, dict) for item in found):
            raise self.error("objects holds something that is no object")
        return found

    def boxes(self, label: JsonDict) -> tuple[LabelledBox, ...]:
        if label.get("label_kind", "Default") != "Default":
            raise self.error(f"has a label of kind {label['label_kind']!r}: only pictures can be read")
        return tuple(self.box(item) for item in self.objects(label))

    def box(self, item: JsonDict) -> LabelledBox:
        try:
            name = class_name(item)
        except ValueError as error:
            raise self.error(str(error)) from error
        kind, box = item.get("annotation_kind"), item.get("bounding_box")
        if kind != _BOX_KIND:
            raise self.error(
                f"object {name!r} is an annotation of kind {kind!r}: draw a bounding box instead"
            )
        if not isinstance(box, dict):
            raise self.error(f"object {name!r} has no bounding_box")
        left, top, width, height = (
            self.number_of(box, key, name) for key in ("left", "top", "width", "height")
        )
        if width <= 0 or height <= 0:
            raise self.error(f"object {name!r} has a box of {width:g} x {height:g} pixels: draw it again")
        return LabelledBox(name, left, top, width, height)

    def number_of(self, box: JsonDict, key: str, name: str) -> float:
        value = box.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"object {name!r} has the {key} {value!r}, which is no number")
        if not math.isfinite(value) or abs(value) > 1e9:
            raise self.error(f"object {name!r} has the {key} {value:g}, which is no place in a photo")
        return float(value)

    def size(self, media: JsonDict, key: str) -> int | None:
        value = media.get(key)
        if value is None:
            return None
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if not whole or not float(value).is_integer():
            raise self.error(f"media_attributes.{key} is {value!r}, which is no size in pixels")
        return int(value)

    def child(self, parent: JsonDict, key: str, kind: type) -> Any:
        """Give a part of the row, empty where the export leaves it out."""
        value = parent.get(key)
        if value is None:
            return kind()
        if not isinstance(value, kind):
            shape = "an object" if kind is dict else "a list"
            raise self.error(f"{key} is {value!r:.60}, which is not {shape}")
        return value


def _orientation(value: object) -> int | None:
    """Give an EXIF orientation, None for anything else."""
    return int(value) if isinstance(value, int | str) and str(value) in set("12345678") else None
