"""Where `data/` comes from, as typed parameters of flows, and the tasks that bring it and pin it."""

from pathlib import Path
from typing import Annotated, Literal

from prefect import get_run_logger, task
from pydantic import BaseModel, ConfigDict, Field

from dobble.paths import DATA, DATA_PIN
from dobble.storage.pins import outputs
from dobble.storage.pins import pin as pin_data
from flows.stages import PATIENT


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pinned(_Source):
    """What `data.dvc` pins, as it is here or in the remote; nothing is fetched, nothing replaced."""

    kind: Literal["pinned"] = "pinned"


class _New(_Source):
    replace: Annotated[
        bool, Field(description="Replace data/ even if DVC could not bring it back, or is of another source.")
    ] = False


class Sample(_New):
    """The rendered sample deck, or a deck of your own symbols."""

    kind: Literal["sample"] = "sample"
    symbols: Annotated[str | None, Field(description="Folder with a picture or a folder for each.")] = None
    deck: Annotated[str | None, Field(description="The real cards, CSV or JSON; else made up.")] = None
    decks: Annotated[int, Field(ge=1, description="Photo sessions.")] = 10
    seed: Annotated[int, Field(ge=0, description="Another seed gives other photos.")] = 0


class Labelbox(_New):
    """A labelled Labelbox project; the key comes from LABELBOX_API_KEY of the worker."""

    kind: Literal["labelbox"] = "labelbox"
    project: Annotated[str, Field(min_length=1, description="Project id, from its address in Labelbox.")]
    skip_bad: Annotated[bool, Field(description="Leave out rows that cannot be used.")] = False


class Export(_New):
    """An existing Labelbox export and its photos."""

    kind: Literal["export"] = "export"
    file: Annotated[str, Field(min_length=1, description="NDJSON (v2) or JSON (v1).")]
    images: Annotated[str, Field(min_length=1, description="Folder with the photos.")]
    project: Annotated[str | None, Field(description="If rows carry labels of several projects.")] = None
    skip_bad: Annotated[bool, Field(description="Leave out rows that cannot be used.")] = False


Source = Pinned | Sample | Labelbox | Export
PINNED = Pinned()


@task(task_run_name="fetch {source.kind}", **PATIENT)
def fetch(source: Sample | Labelbox | Export) -> None:
    """Bring `data/` from its source; it changes whole or not at all.

    Raises:
        ReplaceDataError: if data would be lost, or others take their place, and `source` does not say so.
    """
    out = DATA
    if isinstance(source, Labelbox):
        from dobble.sources.fetch import fetch as fetch_project  # noqa: PLC0415 - takes seconds

        fetched = fetch_project(source.project, out, replace=source.replace, skip_bad=source.skip_bad)
        said = "\n".join(
            [f"{fetched.photos} photos ({fetched.downloaded} new), {fetched.held}", *fetched.notes]
        )
    elif isinstance(source, Export):
        from dobble.sources.import_export import import_export  # noqa: PLC0415

        export, images = Path(source.file), Path(source.images)
        imported = import_export(
            export, images, out, source.project, replace=source.replace, skip_bad=source.skip_bad
        )
        said = "\n".join([f"{imported.photos} photos, {imported.held}", *imported.notes])
    else:
        from dobble.sample.labelled_photos import render_photos  # noqa: PLC0415

        symbols, deck = (None if name is None else Path(name) for name in (source.symbols, source.deck))
        rendered = render_photos(
            out, symbols=symbols, deck=deck, decks=source.decks, seed=source.seed, replace=source.replace
        )
        said = f"{rendered.photos} photos, {rendered.boxes} boxes, {rendered.symbols} symbols"
    get_run_logger().info("%s: %s", out, said)


@task(task_run_name="pin", **PATIENT)
def pin() -> None:
    """Pin what was fetched in `data.dvc`, and say whether it is other data than before."""
    before = {output.name for output in outputs() if output.path == str(DATA)}
    after = pin_data().name
    change = "the same data as before" if after in before else f"new data, before {before or 'none'}"
    get_run_logger().info("%s pins %s: %s", DATA_PIN, after, change)
