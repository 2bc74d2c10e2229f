"""A labelled Labelbox project to raw data: a stable export beside byte-exact images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dobble.data.annotations import parse_row
from dobble.data.download import Asset, PhotoStore, download
from dobble.data.labelbox import LabelboxSettings, connect, export_rows
from dobble.data.names import PhotoNames
from dobble.data.raw import canonical_row, export_line
from dobble.data.replacement import replaced_data
from dobble.errors import ExportError, PhotoError
from dobble.files import link_or_copy

JsonDict = dict[str, Any]


@dataclass(frozen=True)
class FetchSummary:
    """What a project held; `unlabelled` are the photos without a box, `downloaded` those that were new."""

    photos: int
    boxes: int
    unlabelled: int
    downloaded: int


def fetch(
    project_id: str, out: Path, settings: LabelboxSettings | None = None, *, replace: bool = False
) -> FetchSummary:
    """Write a project's raw data into `out`, which appears whole or not at all.

    The same labels give the same bytes, in whatever order they come. Photos that an earlier fetch brought,
    finished or not, are taken from disk if size and hash are those they came with; a side folder
    `.<out>.fetch` beside `out` keeps account.

    Args:
        project_id: as in the project's address in Labelbox.
        out: folder that gets `export.ndjson` and `images/<external id>`.
        settings: by default those of the environment.
        replace: whether to replace data that DVC could not bring back, or that are of another project.

    Raises:
        ReplaceDataError: if `out` holds such data.
        ApiKeyError, ProjectNotFoundError, EmptyProjectError, ExportFailedError, ExportUnfinishedError: if
            there is no export.
        ExportError: naming a row that cannot be used.
        PhotoError: naming a photo that cannot be had, or is no whole picture.
        UnreachableError: if Labelbox or the photos' store does not answer.
        OutputError: if `out` cannot be written.
    """
    settings = settings or LabelboxSettings.from_environment()
    client = connect(settings)
    with PhotoStore(out) as store:
        with replaced_data(out, {project_id}, replace=replace) as side:
            project = _download(client, project_id, store, settings)
            for asset in project.assets:
                found, copy = store.find(asset), side / "images" / asset.name
                if found is None:
                    raise PhotoError(asset.name, "has gone from disk during the fetch: fetch again")
                copy.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(found, copy)
            (side / "export.ndjson").write_text(project.export, encoding="utf-8", newline="\n")
        store.settle(project.assets)
    return FetchSummary(len(project.assets), project.boxes, project.unlabelled, store.downloaded)


@dataclass(frozen=True)
class _Project:
    export: str
    assets: list[Asset]
    boxes: int
    unlabelled: int


def _download(client: Any, project_id: str, store: PhotoStore, settings: LabelboxSettings) -> _Project:
    """Export a project, and again where addresses expire, until the store has all its photos."""
    exports = 0
    while True:
        project = _read(export_rows(client, project_id, settings), project_id)
        expired = download(project.assets, store, settings)
        if expired is None:
            return project
        exports += 1
        if exports == settings.exports:
            host = expired.place.split("/")[2]
            cure = "check in Labelbox that the photo can be seen"
            problem = f"{host} refuses it, although its address comes from a new export: {cure}"
            raise PhotoError(expired.name, problem)


def _read(rows: list[JsonDict], project_id: str) -> _Project:
    source = Path(f"export of project {project_id}")
    names, lines, assets = PhotoNames(source), {}, []
    boxes = unlabelled = 0
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get("data_row"), dict):
            raise ExportError(
                source, number, "is no v2 row of a Labelbox export: update the package labelbox"
            )
        photo = parse_row(source, number, row, "first", project_id)
        names.add(photo.external_id, number)
        stable = canonical_row(row, project_id)
        place, address = stable["data_row"].get("row_data", ""), row["data_row"].get("row_data")
        if not place.startswith(("http://", "https://")):
            problem = f"photo {photo.external_id!r} has no http address to download it from"
            raise ExportError(source, number, f"{problem}: upload it to Labelbox again")
        lines[photo.external_id] = export_line(stable)
        attributes = json.dumps(stable.get("media_attributes"), sort_keys=True)
        identity = str(stable["data_row"].get("id"))
        assets.append(Asset(photo.external_id, identity, place, attributes, address))
        boxes += len(photo.boxes)
        unlabelled += not photo.boxes
    export = "".join(lines[name] for name in sorted(lines))
    return _Project(export, sorted(assets, key=lambda asset: asset.name), boxes, unlabelled)
