"""Labelbox exports of both generations (v1 JSON array, v2 NDJSON) to one record for each photo."""

import codecs
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from dobble.data.names import PhotoNames, class_name, external_id
from dobble.data.upgrade import is_v1, upgraded
from dobble.errors import ExportError, MissingInputError

JsonDict = dict[str, Any]
SeveralLabels = Literal["refuse", "first"]

_BOX_KIND = "ImageBoundingBox"


@dataclass(frozen=True)
class LabelledBox:
    """A symbol where the labeller drew it, in pixels of the upright photo, from its upper left corner."""

    name: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class LabelledPhoto:
    """What one row of an export says; no boxes if nobody has labelled the photo or it was skipped."""

    external_id: str
    width: int | None
    height: int | None
    boxes: tuple[LabelledBox, ...]
    row: int


def read_photos(
    export: Path, several_labels: SeveralLabels = "refuse", project: str | None = None
) -> Iterator[LabelledPhoto]:
    """Read an export row by row; NDJSON of any length needs the memory of one row.

    Args:
        export: v1 JSON array or v2 NDJSON; the content tells which, not the file's name.
        several_labels: whether a photo labelled more than once is an error, or its first label counts.
        project: id of the project whose labels count; needed if a row has labels of more than one.

    Raises:
        MissingInputError: if there is no such file.
        ExportError: naming the file, the row (the line of NDJSON, the item of an array, from 1), the photo
            and what is wrong with it.
    """
    names = PhotoNames(export)
    for number, row in read_rows(export):
        photo = parse_row(export, number, row, several_labels, project)
        names.add(photo.external_id, number)
        yield photo


def read_rows(export: Path) -> Iterator[tuple[int, JsonDict]]:
    """Read the data rows of an export, each with its number; v1 rows are given in the form of v2.

    Raises:
        MissingInputError: if there is no such file.
        ExportError: if the file is empty, cut short, not UTF-8, or no export of Labelbox.
    """
    if not export.is_file():
        raise MissingInputError(export, "name a Labelbox export, or fetch the data first")
    empty = True
    with export.open("rb") as stream:
        for number, item in _items(export, stream):
            empty = False
            if is_v1(item):
                yield number, upgraded(export, number, item)
            elif isinstance(item, dict) and isinstance(item.get("data_row"), dict):
                yield number, item
            else:
                raise ExportError(export, number, "is neither a v1 nor a v2 row of a Labelbox export")
    if empty:
        raise ExportError(export, None, "has no rows: label photos and export again")


def parse_row(
    export: Path,
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


def is_skipped(label: JsonDict) -> bool:
    """Say whether the labeller skipped the photo; what such a label holds does not count."""
    return bool(_detail(label, "performance_details", "skipped"))


def _detail(label: JsonDict, part: str, key: str) -> object:
    details = label.get(part)
    return details.get(key) if isinstance(details, dict) else None


def _items(export: Path, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Give the items of a JSON array, or the lines of NDJSON, each with its number from 1."""
    numbered = enumerate(stream, start=1)
    for number, raw in numbered:
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if line.lstrip().startswith(b"["):
            rows = _parsed(export, number, b"\n" * (number - 1) + line + stream.read())
            yield from enumerate(rows, start=1)
            return
        if line.strip():
            lines = chain([(number, line)], numbered)
            yield from ((n, _parsed(export, n, text)) for n, text in lines if text.strip())
            return


def _parsed(export: Path, number: int, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ExportError(export, number, "is not UTF-8: save the export as UTF-8") from error
    except json.JSONDecodeError as error:
        problem = f"is cut short or no JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        raise ExportError(export, number, f"{problem}: export again") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(export, number, f"is no usable JSON: {error}") from error


@dataclass(frozen=True)
class _Row:
    """Where the reader is, so that each error can name it."""

    export: Path
    number: int
    photo_id: str

    def error(self, problem: str) -> ExportError:
        return ExportError(self.export, self.number, f"photo {self.photo_id!r}: {problem}")

    def photo(self, row: JsonDict, several_labels: SeveralLabels, project: str | None) -> LabelledPhoto:
        media = self.child(row, "media_attributes", dict)
        labels = [label for label in self.labels(row, project) if not is_skipped(label)]
        if len(labels) > 1 and several_labels == "refuse":
            cure = "keep one in Labelbox, or set convert.several_labels to first"
            raise self.error(f"has {len(labels)} labels: {cure}")
        boxes = self.boxes(min(labels, key=label_order)) if labels else ()
        width, height = self.size(media, "width"), self.size(media, "height")
        return LabelledPhoto(self.photo_id, width, height, boxes, self.number)

    def labels(self, row: JsonDict, project: str | None) -> list[JsonDict]:
        projects = self.child(row, "projects", dict)
        chosen = {key: self.child(projects, key, dict) for key in projects if project in (None, key)}
        labels = {key: self.child(value, "labels", list) for key, value in chosen.items()}
        labelled = [key for key, value in labels.items() if value]
        if len(labelled) > 1:
            raise self.error(f"is labelled in the projects {', '.join(sorted(labelled))}: choose one of them")
        found = labels[labelled[0]] if labelled else []
        if not all(isinstance(label, dict) for label in found):
            raise self.error("labels holds something that is no label")
        for label in found:
            self.child(label, "label_details", dict)
            self.objects(label)
        return found

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
