"""A labelled Labelbox project to raw data: a stable export beside byte-exact images."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dobble.data.bad_rows import BadRows
from dobble.data.placement import place_photos
from dobble.errors import ExportError, PhotoError
from dobble.files import link_or_copy
from dobble.sources.download import Asset, PhotoStore, download
from dobble.sources.import_export import (
    LabelledRow,
    RawSummary,
    canonical_row,
    count_labels,
    read_labelled,
    write_export,
)
from dobble.sources.labelbox import LabelboxSettings, connect, export_rows
from dobble.sources.replacement import replaced_data

JsonDict = dict[str, Any]


@dataclass(frozen=True)
class FetchSummary(RawSummary):
    """What a project held; `downloaded` photos were new."""

    downloaded: int


def fetch(
    project_id: str,
    out: Path,
    settings: LabelboxSettings | None = None,
    *,
    replace: bool = False,
    skip_bad: bool = False,
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
        skip_bad: whether to leave out rows that cannot be used.

    Raises:
        ReplaceDataError: if `out` holds such data.
        ApiKeyError, ProjectNotFoundError, EmptyProjectError, ExportFailedError, ExportUnfinishedError: if
            there is no export.
        BadRowsError: naming all rows that cannot be used, also for a photo that is gone, or no whole picture.
        UnreachableError: if Labelbox or the photos' store does not answer.
        OutputError: if `out` cannot be written.
    """
    settings = settings or LabelboxSettings.from_environment()
    client = connect(settings)
    with PhotoStore(out) as store:
        with replaced_data(out, {project_id}, replace=replace) as side:
            bad, rows, assets = _download(client, project_id, out, store, settings)
            here = {name: found for name, asset in assets.items() if (found := store.find(asset)) is not None}
            placed = place_photos(((rows[name].photo, path) for name, path in here.items()), bad)
            usable = sorted(photo.photo.external_id for photo in placed)
            left_out = bad.settle(skip=skip_bad)
            if not usable:
                raise ExportError(_source(project_id), None, f"has no row that can be used: see {bad.listed}")
            for name in usable:
                copy = side / "images" / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(here[name], copy)
            write_export(side / "export.ndjson", [rows[name] for name in usable], project_id)
        store.settle([assets[name] for name in usable])
    counts = count_labels([rows[name].photo for name in usable])
    return FetchSummary(**counts, left_out=left_out, downloaded=store.downloaded)


def _source(project_id: str) -> str:
    return f"export of project {project_id}"


def _download(
    client: Any, project_id: str, out: Path, store: PhotoStore, settings: LabelboxSettings
) -> tuple[BadRows, dict[str, LabelledRow], dict[str, Asset]]:
    """Export a project, and again where addresses expire, until the store has all photos that can be had."""
    source = _source(project_id)
    for _ in range(settings.exports):
        bad = BadRows(source, out, "mend them in Labelbox, or leave them out: --skip-bad")
        rows, assets = _read(export_rows(client, project_id, settings), source, project_id, bad)
        done = download(list(assets.values()), store, settings)
        if done.expired is None:
            for error in done.failed:
                bad.add(error, rows[str(error.photo)].photo.row, str(error.photo))
            return bad, rows, assets
        expired = done.expired
    host = expired.place.split("/")[2]
    cure = "check in Labelbox that the photo can be seen"
    problem = f"{host} refuses it, although its address comes from a new export: {cure}"
    raise PhotoError(expired.name, problem)


def _read(
    exported: list[JsonDict], source: str, project_id: str, bad: BadRows
) -> tuple[dict[str, LabelledRow], dict[str, Asset]]:
    """Give the rows that can be used, and where their photos can be had, by their external ids."""
    rows = read_labelled(source, _v2_rows(exported, source, bad), project_id, bad)
    assets = {}
    for name in sorted(rows):
        stable, address = (
            canonical_row(rows[name].raw, project_id),
            rows[name].raw["data_row"].get("row_data"),
        )
        place, identity = stable["data_row"].get("row_data", ""), str(stable["data_row"].get("id"))
        if place.startswith(("http://", "https://")):
            attributes = json.dumps(stable.get("media_attributes"), sort_keys=True)
            assets[name] = Asset(name, identity, place, attributes, address)
        else:
            problem = "has no http address to download it from: upload it to Labelbox again"
            bad.add(ExportError(source, rows[name].photo.row, problem, name))
    return rows, assets


def _v2_rows(exported: list[JsonDict], source: str, bad: BadRows) -> Iterator[tuple[int, JsonDict]]:
    for number, row in enumerate(exported, start=1):
        if isinstance(row, dict) and isinstance(row.get("data_row"), dict):
            yield number, row
        else:
            problem = "is no v2 row of a Labelbox export: update the package labelbox"
            bad.add(ExportError(source, number, problem))
