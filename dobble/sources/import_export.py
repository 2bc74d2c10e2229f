"""A Labelbox export file and a folder of photos to raw data: a stable export beside byte-exact images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from tqdm import tqdm

from dobble.data.annotations import LabelledPhoto, counting_labels, label_order, parse_row
from dobble.data.bad_rows import BadRows, shown
from dobble.data.export_rows import export_line, joined_rows, read_rows
from dobble.data.photo_names import PhotoNames
from dobble.data.placement import place_photos
from dobble.errors import ExportError, ReplaceDataError, RowProblem
from dobble.files import copy, link_or_copy
from dobble.sources.photo_files import PhotoFiles
from dobble.sources.replacement import replaced_data

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
class RawSummary:
    """What an export or a project held.

    Attributes:
        photos: that are in the raw data now.
        boxes: on them.
        negatives: photos of which a label says that they show no symbol.
        unlabelled: photos without a label that counts.
        rejected: labels that do not count, because a reviewer has rejected them.
        left_out: rows that could not be used.
    """

    photos: int
    boxes: int
    negatives: int
    unlabelled: int
    rejected: int
    left_out: tuple[RowProblem, ...]

    @property
    def notes(self) -> list[str]:
        """Lines about what is not as one might think."""
        return [f"{len(self.left_out)} rows left out:", *shown(self.left_out)] if self.left_out else []

    @property
    def held(self) -> str:
        """Boxes and labels in a few words."""
        rest = f"{self.negatives} photos without symbols, {self.unlabelled} rows without labels"
        return f"{self.boxes} boxes, {rest}" + (f", {self.rejected} labels rejected" if self.rejected else "")


@dataclass(frozen=True)
class ImportSummary(RawSummary):
    """What an export held; `elsewhere` has the files of photos that did not lie at their external id."""

    elsewhere: dict[str, Path]

    @property
    def notes(self) -> list[str]:
        """Lines about what is not as one might think."""
        if not self.elsewhere:
            return super().notes
        name, place = next(iter(self.elsewhere.items()))
        found = f"{len(self.elsewhere)} photos found by the end of their path only, such as {name}: {place}"
        return [*super().notes, found]


def import_export(
    export: Path,
    images: Path,
    out: Path,
    project: str | None = None,
    *,
    add: bool = False,
    replace: bool = False,
    skip_bad: bool = False,
) -> ImportSummary:
    """Write raw data from an export of either generation into `out`, which appears whole or not at all.

    Args:
        export: v1 JSON array or v2 NDJSON, packed by gzip or not.
        images: folder with the photos, by external id or by as much of its end as tells them apart.
        out: folder that gets `export.ndjson` and `images/<external id>`.
        project: id of the project whose labels are kept; needed if photos are labelled in more than one.
        add: whether the photos that are in `out` stay, of whichever projects they are.
        replace: whether to replace data that DVC could not bring back, or that are of other projects.
        skip_bad: whether to leave out rows that cannot be used.

    Raises:
        ReplaceDataError: if `out` holds such data.
        MissingInputError: if there is no such export, or nothing to add to.
        ExportError: if it cannot be read, or has no row of the project.
        BadRowsError: naming all rows that cannot be used, their photos included.
        OutputError: if `out` cannot be written.
    """
    bad = BadRows(export, out, "mend labels and photos, or leave these out: --skip-bad")
    joined = joined_rows(export, read_rows(export, bad.add), bad.add)
    known = {key for _, row in joined if isinstance(row.get("projects"), dict) for key in row["projects"]}
    if project is not None and project not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ExportError(export, None, f"no row is of project {project!r} (projects: {names})")
    kept = _held_rows(out) if add else {}
    with replaced_data(out, known if project is None else {project}, replace=replace, adding=add) as side:
        rows = read_labelled(export, joined, project, bad, kept)
        files = PhotoFiles(images, rows)
        found: dict[str, Path] = {}
        for name, row in rows.items():
            with bad.noted(row.photo.row, name):
                found[name] = files.find(name)
        pairs = [(rows[name].photo, path) for name, path in found.items()]
        bar = tqdm(pairs, desc="import", unit="photo", disable=None)
        usable = sorted(placed.photo.external_id for placed in place_photos(bar, bad))
        left_out = bad.settle(skip=skip_bad)
        if not usable:
            raise ExportError(export, None, f"has no row that can be used: see {bad.listed}")
        for name in usable:
            copy(found[name], _made(side / "images" / name))  # never a link: the photo is somebody's own
        for name in kept:
            link_or_copy(out / "images" / name, _made(side / "images" / name))
        new = {name: rows[name]._replace(raw=canonical_row(rows[name].raw, project)) for name in usable}
        everything = dict(sorted((kept | new).items()))
        write_export(side / "export.ndjson", everything.values())
    return ImportSummary(
        **count_labels([row.photo for row in everything.values()]),
        left_out=left_out,
        elsewhere={name: files.elsewhere[name] for name in usable if name in files.elsewhere},
    )


def _held_rows(data: Path) -> dict[str, "LabelledRow"]:
    """Give the rows of raw data by their external ids; other files in the folder would not stay."""
    export = data / "export.ndjson"
    bad = BadRows(export, data, "import them again without --add")
    rows = read_labelled(export, read_rows(export), None, bad)
    bad.settle(skip=False)
    others = {path for path in data.rglob("*") if path.is_file()} - {data / "images" / name for name in rows}
    if others > {export}:
        raise ReplaceDataError(data, str(min(others - {export})), "no row names it", "move it away first")
    return rows


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class LabelledRow(NamedTuple):
    """A row of an export, as it came in the form of v2, and what it says."""

    raw: JsonDict
    photo: LabelledPhoto


def read_labelled(
    source: Path | str,
    rows: Iterable[tuple[int, JsonDict]],
    project: str | None,
    bad: BadRows,
    held: Iterable[str] = (),
) -> dict[str, LabelledRow]:
    """Give usable rows by their external ids; the others, and those of photos held already, go to `bad`."""
    names, found = PhotoNames(source, held), {}
    for number, row in rows:
        with bad.noted(number):
            photo = parse_row(source, number, row, "first", project)
            names.add(photo.external_id, number)
            found[photo.external_id] = LabelledRow(row, photo)
    return found


def count_labels(photos: Sequence[LabelledPhoto]) -> dict[str, int]:
    """Count photos, boxes, negatives, unlabelled photos and rejected labels, by the names of summaries."""
    return {
        "photos": len(photos),
        "boxes": sum(len(photo.boxes) for photo in photos),
        "negatives": sum(photo.labelled and not photo.boxes for photo in photos),
        "unlabelled": sum(not photo.labelled for photo in photos),
        "rejected": sum(photo.rejected for photo in photos),
    }


def write_export(path: Path, rows: Iterable[LabelledRow], project: str | None = None) -> None:
    """Write one line a row, the same for every export of the same labels in the same order."""
    lines = (export_line(canonical_row(row.raw, project)) for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def canonical_row(row: JsonDict, project: str | None = None) -> JsonDict:
    """Keep of a v2 row what two exports of the same labels have in common.

    What goes: times, signatures of addresses, people, reviews, the workflow's history, labels that were
    skipped or rejected. Labels come with the benchmark's reference first, then from old to new.

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
    labels = sorted(counting_labels(project), key=_stable_order)
    kept = {"labels": [_canonical_label(label) for label in labels]}
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
