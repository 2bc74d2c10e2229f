"""A Labelbox export file and a folder of photos to raw data: a stable export beside byte-exact images."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tqdm import tqdm

from dobble.data.annotations import is_skipped, label_order, parse_row, read_rows
from dobble.data.names import PhotoNames
from dobble.data.photos import check_photo
from dobble.data.replacement import labelled_projects, replaced_data
from dobble.errors import ExportError, PhotoError
from dobble.files import copy

JsonDict = dict[str, Any]

_LABEL_KEYS = ("id", "label_kind", "version")
_ANNOTATION_KEYS = ("objects", "classifications", "frames")
_OBJECT_KEYS = (
    "annotation_kind",
    "bounding_box",
    "classifications",
    "feature_id",
    "feature_schema_id",
    "name",
    "value",
)


@dataclass(frozen=True)
class ImportSummary:
    """What an export held; `unlabelled` are the photos without a box."""

    photos: int
    boxes: int
    unlabelled: int


def import_export(
    export: Path, images: Path, out: Path, project: str | None = None, *, replace: bool = False
) -> ImportSummary:
    """Write raw data from an export of either generation into `out`, which appears whole or not at all.

    Args:
        export: v1 JSON array or v2 NDJSON.
        images: folder with the photos, by external id or, where that is unique, by the last part of it.
        out: folder that gets `export.ndjson` and `images/<external id>`.
        project: id of the project whose labels are kept; needed if photos are labelled in more than one.
        replace: whether to replace data that DVC could not bring back, or that are of other projects.

    Raises:
        ReplaceDataError: if `out` holds such data.
        MissingInputError: if there is no such export.
        ExportError: naming the row that cannot be used.
        PhotoError: naming a photo that is missing, damaged, or there more than once.
        OutputError: if `out` cannot be written.
    """
    names, finder = PhotoNames(export), _Finder(images)
    lines: dict[str, str] = {}
    boxes = unlabelled = 0
    projects: set[str] = set()
    coming = labelled_projects(export) if project is None else {project}
    with replaced_data(out, coming, replace=replace) as side:
        for number, row in tqdm(read_rows(export), desc="import", unit="photo", disable=None):
            photo = parse_row(export, number, row, "first", project)
            names.add(photo.external_id, number)
            image = finder.find(photo.external_id)
            check_photo(image)
            target = side / "images" / photo.external_id
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(image, target)  # never a link: the photo is somebody's own
            lines[photo.external_id] = export_line(canonical_row(row, project))
            boxes += len(photo.boxes)
            unlabelled += not photo.boxes
            projects |= (row.get("projects") or {}).keys()
        if project is not None and project not in projects:
            known = ", ".join(sorted(projects)) or "none"
            raise ExportError(export, None, f"no row is of project {project!r} (projects: {known})")
        text = "".join(lines[external_id] for external_id in sorted(lines))
        (side / "export.ndjson").write_text(text, encoding="utf-8", newline="\n")
    return ImportSummary(len(lines), boxes, unlabelled)


def export_line(row: JsonDict) -> str:
    """Give the line of a row in `export.ndjson`."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def canonical_row(row: JsonDict, project: str | None = None) -> JsonDict:
    """Keep of a v2 row what two exports of the same labels have in common.

    What goes: times, signatures of addresses, people, reviews, the workflow's history, skipped labels. Labels
    come with the benchmark's reference first, then from old to new.

    Args:
        row: a row that `parse_row` accepts.
        project: if given, the only project that is kept.
    """
    data_row = row["data_row"]
    kept: JsonDict = {
        "data_row": {
            "id": data_row.get("id"),
            "external_id": data_row.get("external_id") or data_row.get("global_key"),
            "global_key": data_row.get("global_key"),
            "row_data": _unsigned(data_row.get("row_data")),
        },
        "media_attributes": row.get("media_attributes"),
        "metadata_fields": row.get("metadata_fields"),
        "projects": {
            key: _canonical_project(value or {})
            for key, value in (row.get("projects") or {}).items()
            if project in (None, key)
        },
    }
    kept["data_row"] = {key: value for key, value in kept["data_row"].items() if value is not None}
    return {key: value for key, value in kept.items() if value}


def _canonical_project(project: JsonDict) -> JsonDict:
    labels = [label for label in project.get("labels") or [] if not is_skipped(label)]
    kept = {"labels": [_canonical_label(label) for label in sorted(labels, key=_stable_order)]}
    return {"name": project["name"], **kept} if project.get("name") else kept


def _canonical_label(label: JsonDict) -> JsonDict:
    annotations = label.get("annotations") or {}
    kept = {key: label[key] for key in _LABEL_KEYS if key in label}
    if (label.get("label_details") or {}).get("is_benchmark_reference"):
        kept["label_details"] = {"is_benchmark_reference": True}
    kept["annotations"] = {key: annotations[key] for key in _ANNOTATION_KEYS if annotations.get(key)}
    if "objects" in kept["annotations"]:
        kept["annotations"]["objects"] = [
            {key: item[key] for key in _OBJECT_KEYS if item.get(key) not in (None, [])}
            for item in annotations["objects"]
        ]
    return kept


def _stable_order(label: JsonDict) -> tuple[tuple[bool, str], str]:
    return label_order(label), str(label.get("id"))


def _unsigned(address: object) -> str | None:
    """Drop what signs an address: its query, fragment, and user."""
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _Finder:
    """Finds photos in a folder, at their external id or anywhere below it by their name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, external_id: str) -> Path:
        path = self._folder / external_id
        if path.is_file():
            return path
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for found in sorted(self._folder.rglob("*")):
                if found.is_file():
                    self._by_name[found.name].append(found)
        candidates = self._by_name.get(path.name, [])
        if len(candidates) > 1:
            places = " and ".join(str(found) for found in candidates[:2])
            raise PhotoError(external_id, f"could be {places}: put the right one at {path}")
        if not candidates:
            raise PhotoError(external_id, f"is nowhere in {self._folder}: put the photo at {path}")
        return candidates[0]
