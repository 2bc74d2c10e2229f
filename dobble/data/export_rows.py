"""A Labelbox export, of whichever generation and however packed, to data rows in the form of v2, and back."""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dobble.data.photo_names import photo_id
from dobble.data.upgrade import is_v1, upgraded
from dobble.errors import ExportError, MissingInputError

JsonDict = dict[str, Any]
Report = Callable[[ExportError], None]

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_MAX_HEAD = 4
# A comma before a closing bracket, outside of texts: what some editors leave when a row is taken out.
_TRAILING_COMMA = re.compile(rb'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')


def stop(error: ExportError) -> None:
    """Report a row that cannot be used by stopping there."""
    raise error


def read_rows(export: Path, report: Report = stop) -> Iterator[tuple[int, JsonDict]]:
    """Read the data rows of an export, each with its number; v1 rows are given in the form of v2.

    The content tells what the file is, not its name: an array or a row a line; UTF-8, UTF-16 or UTF-32; as it
    is or compressed by gzip. Rows a line need the memory of one row, whatever their number.

    Args:
        export: the file.
        report: is told of rows that are none, which are then left out.

    Raises:
        MissingInputError: if there is no such file.
        ExportError: if the file is empty, cut short, in another encoding, or no export of Labelbox.
    """
    if not export.is_file():
        raise MissingInputError(export, "name a Labelbox export, or fetch the data first")
    empty = True
    with export.open("rb") as file:
        try:
            for number, item in _items(export, _unpacked(export, file)):
                empty = False
                row = item if isinstance(item, ExportError) else _v2(export, number, item)
                if isinstance(row, ExportError):
                    report(row)
                else:
                    yield number, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ExportError(export, None, f"is cut short or damaged ({error}): copy it again") from error
        except UnicodeError as error:
            raise ExportError(
                export, None, f"is cut short or not what it begins as ({error}): save it as UTF-8"
            ) from error
    if empty:
        raise ExportError(export, None, "has no rows: label photos and export again")


def joined_rows(
    export: Path, rows: Iterable[tuple[int, JsonDict]], report: Report = stop
) -> list[tuple[int, JsonDict]]:
    """Join the rows of one data row: v1 has a row for each label, and exports can be put together.

    Args:
        export: where they are from.
        rows: rows with their numbers.
        report: is told of rows that have the id of another photo, which are then left out.

    Returns:
        One row for each data row, with the number of the first and the labels of all, none of them twice.
    """
    found: dict[str, tuple[int, JsonDict]] = {}
    for number, row in rows:
        key = str(row["data_row"].get("id") or f"row {number}")
        first, known = found.setdefault(key, (number, row))
        if first == number:
            continue
        here, there = (part["data_row"].get("external_id") for part in (row, known))
        if here != there:
            problem = f"has the data row id {key!r} of row {first}, which is of {there!r}: export again"
            report(ExportError(export, number, problem, here if isinstance(here, str) else None))
        else:
            found[key] = first, _joined(known, row)
    return list(found.values())


def export_line(row: JsonDict) -> str:
    """Give the line of a row in `export.ndjson`."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def data_row(
    file: str, image: NDArray[np.uint8], names: Sequence[str], boxes: NDArray[np.floating[Any]], project: str
) -> JsonDict:
    """Return a Labelbox v2 data row with one label, in the form that `canonical_row` leaves it.

    Args:
        file: external id; the photo's id is the stem of all other ids.
        image: [H,W,3], for its size.
        names: the symbol of each box.
        boxes: [N,4] xyxy in pixels.
        project: id of the project.
    """
    stem = photo_id(file)
    objects = [
        {
            "annotation_kind": "ImageBoundingBox",
            "bounding_box": _bounding_box(box),
            "feature_id": f"{stem}-{index}",
            "feature_schema_id": f"symbol-{name}",
            "name": name,
            "value": name,
        }
        for index, (name, box) in enumerate(zip(names, boxes.tolist(), strict=True))
    ]
    label = {
        "annotations": {"objects": objects},
        "id": f"label-{stem}",
        "label_kind": "Default",
        "version": "1.0.0",
    }
    return {
        "data_row": {
            "external_id": file,
            "global_key": file,
            "id": f"row-{stem}",
            "row_data": f"images/{file}",
        },
        "media_attributes": {"height": image.shape[0], "mime_type": "image/jpeg", "width": image.shape[1]},
        "projects": {project: {"labels": [label], "name": project}},
    }


def _joined(row: JsonDict, other: JsonDict) -> JsonDict:
    projects = {key: value for part in (row, other) for key, value in _projects(part).items()}
    for key, project in projects.items():
        sides = [_projects(part).get(key) for part in (row, other)]
        labels = [label for side in sides if isinstance(side, dict) for label in side.get("labels") or []]
        if isinstance(project, dict):
            projects[key] = {**project, "labels": _without_copies(labels)}
    return {**other, **row, "projects": projects}


def _projects(row: JsonDict) -> JsonDict:
    projects = row.get("projects")
    return projects if isinstance(projects, dict) else {}


def _without_copies(labels: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for label in labels:
        if label not in kept:
            kept.append(label)
    return kept


def _v2(export: Path, number: int, item: object) -> JsonDict | ExportError:
    if isinstance(item, dict) and is_v1(item):
        try:
            return upgraded(export, number, item)
        except ExportError as error:
            return error
    if isinstance(item, dict) and isinstance(item.get("data_row"), dict):
        return item
    return ExportError(export, number, "is neither a v1 nor a v2 row of a Labelbox export")


def _unpacked(export: Path, file: BinaryIO) -> Iterable[bytes]:
    """Give the lines of a file as UTF-8."""
    head = file.read(_MAX_HEAD)
    file.seek(0)
    if head.startswith(_ZIP):
        raise ExportError(export, None, "is a zip file: unpack it, and name the export that it holds")
    stream: Any = file
    if head.startswith(_GZIP):
        stream = gzip.GzipFile(fileobj=file)
        head = stream.read(_MAX_HEAD)
        stream.seek(0)
    encoding = json.detect_encoding(head)
    if encoding in ("utf-8", "utf-8-sig"):
        return stream  # type: ignore[no-any-return]
    return (line.encode("utf-8", "surrogatepass") for line in io.TextIOWrapper(stream, encoding))


def _items(export: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Give the items of a JSON array, or the lines of NDJSON or what is wrong with them, numbered from 1."""
    numbered = enumerate(lines, start=1)
    for number, raw in numbered:
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if line.lstrip().startswith(b"["):
            rest = b"".join(text for _, text in numbered)
            rows = _parsed(export, number, b"\n" * (number - 1) + line + rest)
            yield from enumerate(rows, start=1)
            return
        if line.strip():
            for place, text in chain([(number, line)], numbered):
                if not text.strip():
                    continue
                try:
                    yield place, _parsed(export, place, text.strip().removesuffix(b","))
                except ExportError as error:
                    yield place, error
            return


def _parsed(export: Path, number: int, text: bytes) -> Any:
    try:
        try:
            return json.loads(text.decode("utf-8"))
        except json.JSONDecodeError:
            return json.loads(_TRAILING_COMMA.sub(rb"\1", text).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ExportError(export, number, "is not UTF-8: save the export as UTF-8") from error
    except json.JSONDecodeError as error:
        problem = f"is cut short or no JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        raise ExportError(export, number, f"{problem}: export again") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(export, number, f"is no usable JSON: {error}") from error


def _bounding_box(box: Sequence[float]) -> dict[str, float]:
    left, top, right, bottom = (round(edge, 2) for edge in box)
    return {"height": round(bottom - top, 2), "left": left, "top": top, "width": round(right - left, 2)}
