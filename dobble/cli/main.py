"""The command line: each stage as a verb, the sources of data, and playing."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dobble.cli.command_line import run
from dobble.cli.device import app as device_app
from dobble.cli.models import app as models_app
from dobble.cli.photographs import app as photographs_app
from dobble.cli.remote import app as remote_app
from dobble.env import torchrun_place
from dobble.errors import MissingInputError, OutputError, ParameterError
from dobble.paths import (
    BUNDLE,
    CHECKPOINT,
    DATA,
    EVALUATION,
    HISTORY,
    METRICS,
    REPORT,
    SPLITS,
    TRAINED,
    VALIDATION,
    VOC,
)
from dobble.pipeline.output_lock import held_output

app = typer.Typer(
    help="Learns to play Dobble from labelled photos: data, training, evaluation and play.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, by name.")]
SOURCES, STAGES, USE = "Sources of data/", "Stages (run by `dvc repro`)", "Use"
_Replace = Annotated[
    bool, typer.Option("--replace", help="Replace what the folder holds, even what DVC cannot bring back.")
]


@app.command(rich_help_panel=SOURCES)
def sample(
    *,
    out: Annotated[Path | None, typer.Option(help="Folder to write; data, or tables with --table.")] = None,
    symbols: Annotated[
        Path | None, typer.Option(help="Your own symbols: a picture or a folder of pictures for each.")
    ] = None,
    deck: Annotated[
        Path | None, typer.Option(help="The real cards, CSV or JSON; without it a deck is made up.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Frames with several cards on one table.")] = False,
    decks: Annotated[int, typer.Option(help="Photo sessions, each with every card once.")] = 10,
    frames: Annotated[int, typer.Option(help="Frames to render with --table.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed gives other photos.")] = 0,
    replace: _Replace = False,
) -> None:
    """Render labelled photos of a sample deck, or of a deck with your own symbols."""
    from dobble.sample.labelled_photos import render_photos, render_tables

    if table:
        target = out or Path("tables")
        done = render_tables(target, symbols=symbols, deck=deck, frames=frames, seed=seed, replace=replace)
    else:
        target = out or DATA
        done = render_photos(target, symbols=symbols, deck=deck, decks=decks, seed=seed, replace=replace)
    print(f"{target}: {done.photos} photos, {done.boxes} boxes, {done.symbols} symbols")


@app.command("import", rich_help_panel=SOURCES)
def import_(
    export: Annotated[Path, typer.Argument(help="Labelbox export: NDJSON (v2) or JSON (v1).")],
    images: Annotated[Path, typer.Argument(help="Folder with the photos, named by their external ids.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = DATA,
    project: Annotated[str | None, typer.Option(help="Project id, if rows carry labels of several.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Keep the photos that the folder holds.")] = False,
    replace: _Replace = False,
    skip_bad: _SkipBad = False,
) -> None:
    """Take an existing Labelbox export and its photos as data/."""
    from dobble.sources.import_export import import_export

    if add and replace:
        raise ParameterError("--add keeps what the folder holds and --replace does not: give one of them")
    done = import_export(export, images, out, project=project, add=add, replace=replace, skip_bad=skip_bad)
    print("\n".join([*done.notes, f"{out}: {done.photos} photos, {done.held}"]))


@app.command(rich_help_panel=SOURCES)
def fetch(
    *,
    project: Annotated[str, typer.Option(help="Project id, from its address in Labelbox.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = DATA,
    replace: _Replace = False,
    skip_bad: _SkipBad = False,
) -> None:
    """Take a labelled Labelbox project as data/; the key comes from LABELBOX_API_KEY."""
    from dobble.sources.fetch import fetch as run

    done = run(project, out, replace=replace, skip_bad=skip_bad)
    print("\n".join([*done.notes, f"{out}: {done.photos} photos ({done.downloaded} new), {done.held}"]))


@app.command(rich_help_panel=SOURCES)
def upload(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; their paths become external ids.")],
    *,
    project: Annotated[str, typer.Option(help="Name of the Labelbox project to make or to go on with.")],
    labels: Annotated[Path | None, typer.Option(help="Symbols of the deck, one a line.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle whose detections are suggested as boxes.")
    ] = None,
    only: Annotated[Path | None, typer.Option(help="List of the photos to take, one a line.")] = None,
) -> None:
    """Make a Labelbox project of a folder of photos, with the model's boxes to correct."""
    from dobble.sources.upload import upload as run

    done = run(photos, project, labels, bundle, only=only)
    print(f"{done.address}: {done.photos} photos ({done.uploaded} new), {done.suggested} suggested boxes")
    if done.others:
        print(f"passed over: {done.others} files that are no photos")
    print(f"when labelled: dobble fetch --project {done.project}")


@app.command(rich_help_panel=STAGES)
@held_output(VOC)
def convert() -> None:
    """Turn data/ into Pascal VOC in build/voc."""
    from dobble.data.convert import convert as run
    from dobble.params import load_params

    params = load_params().convert
    if not DATA.is_dir():
        raise MissingInputError(DATA, "run `dobble sample`, `dobble import` or `dvc pull`")
    done = run(DATA, VOC, params)
    print(
        f"{VOC}: {done.photos} photos, {done.boxes} boxes of {len(done.classes)} symbols;"
        f" {done.clipped} boxes clipped, {done.negatives} photos without symbols,"
        f" {done.left_out} rows without a label left out"
    )


@app.command(rich_help_panel=STAGES)
@held_output(SPLITS)
def split() -> None:
    """Share the photos out to train, val and test by whole groups in build/splits."""
    from dobble.data.split import split as run
    from dobble.params import load_params

    params = load_params().split
    done = run(VOC, SPLITS, params)
    shares = ", ".join(
        f"{name} {done.photos[name]} photos of {done.groups[name]} {params.group_by}s" for name in done.photos
    )
    print(f"{SPLITS}: {shares}")


@app.command(rich_help_panel=STAGES)
@held_output(VALIDATION)
def validate() -> None:
    """Look in labels, photos and splits for mistakes; build/validation tells and shows them."""
    from dobble.params import load_params

    params = load_params()
    from dobble.validation.validate import validate as run

    done = run(VOC, SPLITS, DATA, VALIDATION, params.validation, params.split)
    print(
        f"{VALIDATION}: {done.photos} photos, {done.severities['error']} errors,"
        f" {done.severities['warning']} warnings on {done.flagged} photos"
    )


@app.command(rich_help_panel=STAGES)
@held_output(TRAINED)
def train() -> None:
    """Train the detector; build/train holds the best checkpoint and the history."""
    from dobble.params import load_params

    params = load_params().train
    from dobble.detector.ranks import launch, process_count
    from dobble.detector.train import train as run

    processes = process_count(params)
    if processes > 1:
        launch(processes, ["-m", "dobble", "train"])
        return
    done = run(VOC, SPLITS, TRAINED, params)
    place = torchrun_place()
    if place is not None and place.rank > 0:
        return
    print(
        f"{TRAINED}: best epoch {done.best.epoch} of {done.epochs}, val mAP {done.best.mAP:.3f};"
        f" {done.photos_per_second:.1f} photos/s, waiting for data {done.waiting_share:.1%} of the time"
    )


@app.command(rich_help_panel=STAGES)
@held_output(BUNDLE)
def export() -> None:
    """Export the checkpoint to build/bundle, which is all that a device needs."""
    from dobble.params import load_params

    params = load_params().export
    from dobble.detector.export import export as run

    done = run(CHECKPOINT, VOC, SPLITS, BUNDLE, params)
    deck = "deck unknown"
    if done.deck is not None:
        deck = f"deck of {len(done.deck.deck.cards)} cards ({done.deck.source})"
    print(
        f"{BUNDLE}: {done.bytes / 1e6:.1f} MB, {done.anchors} anchors, {deck}, calibration {done.calibration}"
    )


@app.command(rich_help_panel=STAGES)
@held_output(EVALUATION)
def evaluate() -> None:
    """Measure the bundle on the test photos in build/evaluation."""
    from dobble.params import load_params

    params = load_params().evaluate
    from dobble.evaluation.evaluate import evaluate as run

    done = run(BUNDLE, CHECKPOINT, VOC, SPLITS, HISTORY, EVALUATION, params)
    print(f"{EVALUATION}: {done.photos} photos, {json.dumps(done.metrics)}")


@app.command(rich_help_panel=USE)
def play(
    pictures: Annotated[list[Path], typer.Argument(help="Two photos of one card each, or one of a table.")],
    *,
    out: Annotated[Path, typer.Option(help="Picture to write, with the symbol marked.")] = Path("match.jpg"),
    bundle: Annotated[Path, typer.Option(help="Bundle to play with.")] = BUNDLE,
) -> None:
    """Name the symbol that two cards share."""
    if len(pictures) > 2:
        raise ParameterError(f"play takes one picture of a table or two of a card each, not {len(pictures)}")
    if out.resolve() in [picture.resolve() for picture in pictures]:
        raise OutputError(out, "it is a picture that is played: name another")
    from dobble.evaluation.play import play_pictures, write_picture

    outcome = play_pictures(bundle, pictures)
    try:
        write_picture(out, outcome.picture)
    except ValueError as error:
        raise ParameterError(str(error)) from error
    print("\n".join([*outcome.lines, f"picture: {out}"]))


@app.command(rich_help_panel=USE)
def summary() -> None:
    """Print the metrics of the last evaluation and where its report is."""
    if not METRICS.is_file():
        raise MissingInputError(METRICS, "run `dvc repro`")
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    game = metrics["game"]
    rows = [
        ("mAP", f"{metrics['mAP']:.3f}"),
        ("mAP50", f"{metrics['mAP50']:.3f}"),
        ("accuracy", f"{metrics['accuracy']:.1%}"),
        ("mean IoU", f"{metrics['mean_iou']:.3f}"),
        ("game, naive rule", f"{game['simple']:.1%}"),
        ("game, joint evidence", f"{game['joint']:.1%}"),
        ("game, deck known", f"{game['deck']:.1%}" if "deck" in game else "deck unknown"),
        ("one card", f"{metrics['latency_ms']:.1f} ms"),
    ]
    for name, value in rows:
        print(f"{name:<22}{value:>8}")
    print(f"report: {REPORT}")


app.add_typer(remote_app)
app.add_typer(models_app)
app.add_typer(device_app)
app.add_typer(photographs_app)


def main() -> None:
    """Run the command line; a failure is one line and exit code 1, or 75 (EX_TEMPFAIL) if it may pass."""
    run(app)
