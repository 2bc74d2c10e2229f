"""Runs flows from the command line: `python -m flows --help`."""

import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from dobble.cli.command_line import run
from dobble.errors import ParameterError

app = typer.Typer(
    help="Runs a flow here and now; it shows in the pages of `make ui` if they are up.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Kind(StrEnum):
    PINNED = "pinned"
    SAMPLE = "sample"
    LABELBOX = "labelbox"
    EXPORT = "export"


_Source = Annotated[_Kind, typer.Option("--source", help="Where data/ comes from.")]
_Project = Annotated[str | None, typer.Option(help="Labelbox project id.")]
_Export = Annotated[Path | None, typer.Option(help="Labelbox export file.")]
_Images = Annotated[Path | None, typer.Option(help="Folder with the export's photos.")]
_Symbols = Annotated[Path | None, typer.Option(help="Folder with your own symbols, for --source sample.")]
_Deck = Annotated[Path | None, typer.Option(help="File of the real cards, for --source sample.")]
_Replace = Annotated[
    bool | None, typer.Option("--replace", help="Replace data/ even if DVC could not bring it back.")
]
_Decks = Annotated[int | None, typer.Option(help="Photo sessions to render, for --source sample.")]


def _with_source(name: str, says: str) -> None:
    """Add the command of a flow whose parameter is the source of the photos."""

    @app.command(name, help=says)
    def run(
        *,
        source: _Source = _Kind.PINNED,
        project: _Project = None,
        export: _Export = None,
        images: _Images = None,
        symbols: _Symbols = None,
        deck: _Deck = None,
        decks: _Decks = None,
        replace: _Replace = None,
    ) -> None:
        paths = {"file": export, "images": images, "symbols": symbols, "deck": deck}
        given: dict[str, object] = {name: str(path) for name, path in paths.items() if path is not None}
        given |= {"project": project, "decks": decks, "replace": replace}
        _run(name, _checked(source, {key: value for key, value in given.items() if value is not None}))


_with_source("data", "Fetch and pin, or take what is pinned; run every stage before training; push.")
_with_source("pipeline", "Run data, then training.")
_with_source("nightly", "Fetch, and train only if the data is new.")


@app.command()
def training(
    *,
    train_on: Annotated[str | None, typer.Option(help="Work pool whose worker trains.")] = None,
    worker_minutes: Annotated[float, typer.Option(help="How long to wait for it to begin.", min=0)] = 15.0,
) -> None:
    """Pull, run every stage that is not up to date, judge, register, push."""
    _run("training", train_on, worker_minutes)


@app.command()
def ui(
    *,
    prefect_port: Annotated[int, typer.Option(help="Taken: another one is found.", min=0)] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Taken: another one is found.", min=0)] = 5000,
) -> None:
    """Start Prefect, a worker and MLflow, deploy the flows, and say where they are."""
    from flows.server.ui import start_ui  # noqa: PLC0415

    found = start_ui(prefect_port, mlflow_port)
    sys.stdout.write(f"Prefect: {found.prefect}\nMLflow:  {found.mlflow}\nworker:  {found.worker}/health\n")


@app.command("ui-stop")
def ui_stop() -> None:
    """End what `ui` started."""
    from flows.server.ui import stop_ui  # noqa: PLC0415

    sys.stdout.write(f"ended: {', '.join(stop_ui()) or 'nothing was running'}\n")


def _checked(kind: _Kind, given: dict[str, object]) -> object:
    from pydantic import BaseModel, ValidationError  # noqa: PLC0415

    from flows.sources import Export, Labelbox, Pinned, Sample  # noqa: PLC0415 - takes seconds

    models: dict[_Kind, type[BaseModel]] = {
        _Kind.PINNED: Pinned,
        _Kind.SAMPLE: Sample,
        _Kind.LABELBOX: Labelbox,
        _Kind.EXPORT: Export,
    }
    try:
        return models[kind].model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "export" if first["loc"][0] == "file" else first["loc"][0]
        raise ParameterError(f"--{option} with --source {kind.value}: {first['msg']}") from error


def _run(name: str, *arguments: object) -> None:
    from flows.server.local_run import run_flow  # noqa: PLC0415 - takes seconds

    run_flow(getattr(import_module(f"flows.{name}"), name), *arguments)


def main() -> None:
    """Run the command line."""
    run(app)


if __name__ == "__main__":
    main()
