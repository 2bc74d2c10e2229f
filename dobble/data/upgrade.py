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
    objects = None if item.get("Skipped") else _objects(export, number, item.get("Label"))
    label = {
        "id": item.get("ID") or _stable_id("label", project, name),
        "label_kind": "Default",
        "label_details": _details(item),
        "annotations": {"objects": [_upgraded_object(entry) for entry in objects or []]},
    }
    return {
        "data_row": {
            "id": item.get("DataRow ID") or (_stable_id("row", project, name) if name else None),
            "external_id": name,
            "global_key": item.get("Global Key"),
            "row_data": item.get("Labeled Data"),
        },
        "projects": {
            _stable_id("project", project): {"name": project, "labels": [] if objects is None else [label]},
        },
    }


def _objects(export: Path, number: int, label: object) -> list[Any] | None:
    """Give what is drawn: an empty list if somebody found nothing to draw, None if nobody has looked."""
    if label in (None, "Skip", {}):
        return None
    if isinstance(label, dict):
        objects = label.get("objects")
        if isinstance(objects, list):
            return objects
        if objects is None and "classifications" in label:
            return None
    raise ExportError(export, number, f"Label is {label!r:.60}, in which no objects can be found")


def _details(item: dict[str, Any]) -> dict[str, Any]:
    reference = bool(item.get("Is Benchmark")) or item.get("Benchmark ID") in {item.get("ID")} - {None}
    reviews = item.get("Reviews")
    return {
        "created_at": item.get("Created At"),
        "is_benchmark_reference": reference,
        "reviews": reviews if isinstance(reviews, list) else [],
    }


def _upgraded_object(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return {
        "feature_id": entry.get("featureId"),
        "feature_schema_id": entry.get("schemaId"),
        "name": entry.get("title") or entry.get("value"),
        "annotation_kind": next((kind for key, kind in _KINDS.items() if key in entry), None),
        "bounding_box": entry.get("bbox"),
    }


def _stable_id(*parts: object) -> str:
    return "v1-" + hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
