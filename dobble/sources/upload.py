"""A folder of photos to a Labelbox project that is ready to be labelled, with a model's boxes to correct."""

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dobble.data.photo_names import PHOTO_SUFFIXES, PhotoNames, class_name, external_id, look_alike
from dobble.data.photos import OTHER_PICTURES, check_photo, is_heif
from dobble.errors import AnnotationError, ExportError, MissingInputError, ParameterError, PhotoError
from dobble.sources.errors import EmptyProjectError, LabelboxError
from dobble.sources.labelbox import LabelboxSettings, connect, export_rows, named_errors, wait_for
from dobble.sources.prelabels import digest, parts, suggest
from jetson.play.bundle import BACKGROUND, Bundle, load_bundle

JsonDict = dict[str, Any]


@dataclass(frozen=True)
class UploadSummary:
    """What a project has now.

    Attributes:
        project: its id, for `fetch`.
        address: where people label.
        photos: how many the folder holds.
        others: how many of its files are no photos and were passed over.
        uploaded: how many of them were new.
        suggested: boxes that the model suggests.
    """

    project: str
    address: str
    photos: int
    others: int
    uploaded: int
    suggested: int


def upload(
    folder: Path,
    name: str,
    labels: Path | None = None,
    bundle: Path | None = None,
    settings: LabelboxSettings | None = None,
    *,
    only: Path | None = None,
) -> UploadSummary:
    """Make a Labelbox project and data set of a folder's photos, with a box tool for each symbol.

    Run again after a failure, or with more photos, it goes on: project and data set are found by their name,
    photos by the global key `<project>/<external id>`, and photos that somebody has labelled are left alone.

    Args:
        folder: photos at any depth; the paths below it become external ids. Hidden files do not count.
        name: of project and data set.
        labels: the symbols, one a line; by default those of the bundle.
        bundle: if given, its model's detections are sent as pre-labels, which a person corrects.
        settings: by default those of the environment.
        only: names the photos that count, by their paths in the folder, one a line.

    Raises:
        MissingInputError, PhotoError: if there are no photos, or one is missing, damaged or misnamed.
        ParameterError, AnnotationError: if the name is empty, or the symbols are not known or no classes.
        jetson.errors.BundleError: if the bundle is damaged.
        ApiKeyError, LabelboxError, UnreachableError: if Labelbox does not do what is asked.
    """
    if not name.strip():
        raise ParameterError("the project's name is empty: give it one")
    settings = settings or LabelboxSettings.from_environment()
    model = load_bundle(str(bundle)) if bundle else None
    symbols = _symbols(labels, model)
    photos, others = _photos(folder, only)
    keys = {photo: f"{name}/{photo}" for photo in photos}
    client = connect(settings)
    with named_errors(settings):
        project, is_new = _project(client, name, symbols)
        labelled = {} if is_new else _labelled(client, project.uid, settings)
        missing = _unknown(client, list(keys.values()))
        new = [photo for photo in photos if keys[photo] in missing]
        if new:
            _add_rows(client, _dataset(client, name), folder, {photo: keys[photo] for photo in new}, settings)
        for part in parts([key for key in keys.values() if key not in labelled]):
            batch = project.create_batch(f"dobble {digest(part)}", global_keys=part)
            refused = list(batch.failed_data_row_ids)
            if refused:
                problem = f"Labelbox does not take {len(refused)} photos into project {name!r}"
                raise LabelboxError(f"{problem}: run again")
        open_photos = {photo: key for photo, key in keys.items() if not labelled.get(key)}
        suggested = suggest(client, project, model, folder, open_photos, settings) if model else 0
    address = f"{client.app_url}/projects/{project.uid}/overview"
    return UploadSummary(project.uid, address, len(photos), others, len(new), suggested)


def _symbols(labels: Path | None, model: Bundle | None) -> list[str]:
    if labels is None:
        if model is None:
            raise ParameterError(
                "the symbols of the deck are not known: give --labels, or --bundle for its own"
            )
        return list(model.labels)
    try:
        lines = labels.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingInputError(labels, "write a file with one symbol a line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(labels, f"cannot be read as UTF-8 text ({type(error).__name__})") from error
    try:
        names = [class_name({"name": line}) for line in lines if line.strip() and line.strip() != BACKGROUND]
    except ValueError as error:
        raise AnnotationError(labels, str(error)) from error
    if not names:
        raise AnnotationError(labels, "names no symbol: write one a line")
    seen: dict[str, str] = {}
    for symbol in names:
        if (twin := seen.setdefault(look_alike(symbol), symbol)) != symbol or names.count(symbol) > 1:
            problem = "twice" if twin == symbol else f"and {twin!a}, which looks like it"
            raise AnnotationError(labels, f"names {symbol!a} {problem}: leave one out")
    strange = sorted(set(model.labels) - set(names)) if model else []
    if strange:
        cure = "add them, or leave the bundle out"
        raise AnnotationError(
            labels, f"lacks symbols that the bundle suggests ({', '.join(strange)}): {cure}"
        )
    return names


def _photos(folder: Path, only: Path | None) -> tuple[list[str], int]:
    """Give the photos below a folder by their paths in it, and how many other files there are."""
    if not folder.is_dir():
        raise MissingInputError(folder, "name a folder of photos")
    files = sorted(_files(folder)) if only is None else _listed(only, folder)
    unreadable = [
        path
        for path in files
        if path.suffix.lower() in OTHER_PICTURES
        or (path.suffix.lower() not in PHOTO_SUFFIXES and is_heif(folder / path))
    ]
    if unreadable:
        more = f", nor can {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        suffixes = " ".join(sorted({path.suffix for path in unreadable}))
        cure = "save them as JPEG, or move them out of the folder"
        problem = f"cannot be used here{more} ({suffixes or 'HEIC'}): {cure}"
        raise PhotoError(folder / unreadable[0], problem)
    photos = [path.as_posix() for path in files if path.suffix.lower() in PHOTO_SUFFIXES]
    if not photos:
        raise PhotoError(folder, f"has no photos ({' '.join(PHOTO_SUFFIXES)})")
    names = PhotoNames(folder)
    for number, photo in enumerate(tqdm(photos, desc="check", unit="photo", disable=None), start=1):
        try:
            names.add(external_id(folder, number, {"external_id": photo}), number)
        except ExportError as error:
            raise PhotoError(folder / photo, error.problem.removesuffix(" in Labelbox")) from error
        check_photo(folder / photo)
    return photos, len(files) - len(photos)


def _listed(source: Path, folder: Path) -> list[Path]:
    """Give the files that a list names, one a line."""
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingInputError(source, "`dobble label` writes such a list") from error
    names = sorted({Path(line.strip()) for line in lines if line.strip()})
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise PhotoError(folder / missing, f"is not there: {source} names it")
    if not names:
        raise PhotoError(source, "names no photo: there is nothing to upload")
    return names


def _files(folder: Path) -> Iterator[Path]:
    """Give the files below a folder by their paths in it, also behind links to folders, no hidden ones."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        visible = [] if real in seen else [name for name in folders if not name.startswith(".")]
        folders[:] = visible
        if real not in seen:
            yield from (Path(place, name).relative_to(folder) for name in names if not name.startswith("."))
        seen.add(real)


def _project(client: Any, name: str, symbols: Sequence[str]) -> tuple[Any, bool]:
    """Find or make the project, and give it the ontology if it has none."""
    import labelbox  # type: ignore[import-untyped]  # noqa: PLC0415 (is loaded by now)

    found = _only(client.get_projects(where=labelbox.Project.name == name), f"projects are called {name!r}")
    # One label for each photo; the SDK's default asks for several people's.
    once = {labelbox.schema.quality_mode.QualityMode.Benchmark}
    image = labelbox.MediaType.Image
    project = found or client.create_project(name=name, media_type=image, quality_modes=once)
    ontology = project.ontology() if found else None
    if ontology is None:
        tools = [labelbox.Tool(tool=labelbox.Tool.Type.BBOX, name=symbol) for symbol in symbols]
        payload = labelbox.OntologyBuilder(tools=tools).asdict()
        ontology = client.create_ontology(name, payload, media_type=image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            project.connect_ontology(ontology)
    known = {tool["name"] for tool in ontology.normalized["tools"] if tool["tool"] == "rectangle"}
    lacking = sorted(set(symbols) - known)
    if lacking:
        cure = "add it in Labelbox, or choose another project name"
        raise LabelboxError(f"project {name!r} has no box tool for {lacking[0]!r}: {cure}")
    return project, found is None


def _dataset(client: Any, name: str) -> Any:
    import labelbox  # noqa: PLC0415

    found = _only(client.get_datasets(where=labelbox.Dataset.name == name), f"data sets are called {name!r}")
    return found or client.create_dataset(name=name)


def _only(found: Any, named: str) -> Any:
    items = list(found)
    if len(items) > 1:
        raise LabelboxError(f"{len(items)} {named}: rename all but one in Labelbox, or choose another name")
    return items[0] if items else None


def _labelled(client: Any, project: str, settings: LabelboxSettings) -> dict[str, bool]:
    """Give the global keys of a project's photos, and whether each has a label."""
    try:
        rows = export_rows(client, project, settings)
    except EmptyProjectError:
        return {}
    return {
        row["data_row"].get("global_key"): any(part.get("labels") for part in row["projects"].values())
        for row in rows
    }


def _unknown(client: Any, keys: list[str]) -> set[str]:
    """Give those of the global keys that no data row has yet."""
    unknown: set[str] = set()
    for part in parts(keys):
        for failure in client.get_data_row_ids_for_global_keys(part)["errors"]:
            if "not found" not in failure["error"]:
                problem = f"the photo {failure['global_key']!r} is in a data set that the key may not use"
                raise LabelboxError(f"{problem}: choose another project name")
            unknown.add(failure["global_key"])
    return unknown


def _add_rows(
    client: Any, dataset: Any, folder: Path, keys: dict[str, str], settings: LabelboxSettings
) -> None:
    """Send photos and make their data rows, part by part, so that little is lost if it breaks off."""
    bar = tqdm(total=len(keys), desc="upload", unit="photo", disable=None)
    stop = threading.Event()

    def send(photo: str) -> JsonDict | None:
        if stop.is_set():
            return None
        row = {"external_id": photo, "global_key": keys[photo]}
        return row | {"row_data": client.upload_file(str(folder / photo))}

    with bar, ThreadPoolExecutor(settings.connections) as pool:
        try:
            for part in parts(list(keys)):
                rows = [row for row in pool.map(send, part) if row is not None]
                bar.update(len(part))
                task = dataset.create_data_rows(rows)
                wait_for(task, "status", "IN_PROGRESS", settings)
                failures = task.failed_data_rows or []
                if failures or task.status != "COMPLETE":
                    first = failures[0]["message"] if failures else f"the task ended as {task.status}"
                    count = len(failures) or len(rows)
                    raise LabelboxError(f"Labelbox could not take {count} photos ({first}): run again")
        finally:
            stop.set()
