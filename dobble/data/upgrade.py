"""Rows of the first generation of Labelbox exports (v1) to rows of the second (v2)."""

import hashlib
from pathlib import Path
from typing import Any

from dobble.errors import ExportError

_KINDS = {
    "bbox": "ImageBoundingBox",
    "polygon": "ImagePolygon",
    "line": "ImagePolyline",
    "point": "ImagePoint",
    "instanceURI": "ImageSegmentationMask",
}


def is_v1(item: object) -> bool:
    """Say whether this is a row of a v1 export."""
    return isinstance(item, dict) and "data_row" not in item and bool({"External ID", "Label"} & item.keys())


def upgraded(export: Path, number: int, item: dict[str, Any]) -> dict[str, Any]:
    """Turn a v1 row into the v2 row that says the same; ids that v1 does not give are made from its names.

    Raises:
        ExportError: naming the row, if its label has none of the forms of v1.
    """
    name = item.get("External ID")
    project = str(item.get("Project Name") or "")
    objects = [] if item.get("Skipped") else _objects(export, number, item.get("Label"))
    label = {
        "id": item.get("ID") or _stable_id("label", project, name),
        "label_kind": "Default",
        "annotations": {"objects": [_upgraded_object(entry) for entry in objects]},
    }
    return {
        "data_row": {
            "id": item.get("DataRow ID") or _stable_id("row", project, name),
            "external_id": name,
            "row_data": item.get("Labeled Data"),
        },
        "projects": {
            _stable_id("project", project): {"name": project, "labels": [label] if objects else []},
        },
    }


def _objects(export: Path, number: int, label: object) -> list[Any]:
    if label in (None, "Skip", {}):
        return []
    if isinstance(label, dict):
        objects = label.get("objects", [] if "classifications" in label else None)
        if isinstance(objects, list):
            return objects
    raise ExportError(export, number, f"Label is {label!r:.60}, in which no objects can be found")


def _upgraded_object(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return {
        "feature_id": entry.get("featureId"),
        "feature_schema_id": entry.get("schemaId"),
        "name": entry.get("value") or entry.get("title"),
        "annotation_kind": next((kind for key, kind in _KINDS.items() if key in entry), None),
        "bounding_box": entry.get("bbox"),
    }


def _stable_id(*parts: object) -> str:
    return "v1-" + hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
