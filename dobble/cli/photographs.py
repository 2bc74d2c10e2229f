"""The verbs for photographs whose cards are known: an exam on them, and labels for them."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dobble.errors import ParameterError
from dobble.paths import BUNDLE, EXAM

app = typer.Typer()


@app.command(rich_help_panel="Use")
def exam(
    folder: Annotated[Path, typer.Argument(help="Photographs with tables.json, cards.json or both.")],
    *,
    bundle: Annotated[Path, typer.Option(help="Bundle to examine.")] = BUNDLE,
    deck: Annotated[Path | None, typer.Option(help="Deck to play with as well: CSV or JSON.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the page and the failures.")] = EXAM,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Play photographs with known answers; tell what was found, right, wrong and left open."""
    from dobble.deck.deck_file import class_ids, read_deck_file
    from dobble.evaluation.answers import read_answers
    from dobble.evaluation.exam import AS_PLAYED, NO_DECK, Deck, take_exam
    from dobble.evaluation.exam_page import check_replaceable, describe, summarise, write_exam
    from jetson.play.bundle import load_bundle
    from jetson.runners import open_runner

    check_replaceable(out)
    answers = read_answers(folder)
    loaded = load_bundle(str(bundle))
    decks: dict[str, Deck] = {AS_PLAYED: loaded.deck, NO_DECK: None}
    if deck is not None:
        decks[f"with {deck.name}"] = class_ids(read_deck_file(deck), loaded.labels, deck)
    with open_runner("onnxruntime-cpu", loaded) as runner:
        result = take_exam(loaded, runner, answers, decks)
    about = {"photographs": str(folder), "bundle": str(bundle), "model": loaded.model_sha256}
    page = write_exam(out, result, loaded.labels, about)
    counted = summarise(result)
    sys.stdout.write(json.dumps(counted, indent=1) + "\n" if as_json else describe(counted))
    if not as_json:
        sys.stdout.write(f"page: {page}\n")


@app.command(rich_help_panel="Sources of data/")
def label(
    folder: Annotated[Path, typer.Argument(help="Photos of one card each, with cards.json.")],
    *,
    bundle: Annotated[Path, typer.Option(help="Bundle to place the symbols with.")] = BUNDLE,
    out: Annotated[Path, typer.Option(help="Export to write, NDJSON.")] = Path("labels.ndjson"),
    min_sureness: Annotated[
        float,
        typer.Option(help="Of the least sure symbol; below it a person should look.", min=0, max=1),
    ] = 0.5,
) -> None:
    """Place the symbols of cards that are known, as a Labelbox export; list the photos that are not sure."""
    from dobble.evaluation.answers import CARDS, read_answers
    from dobble.sources.label import label_photos

    photos = read_answers(folder).photos
    if not photos:
        raise ParameterError(f"{folder / CARDS} does not exist: it names the symbols on each photo")
    done = label_photos(folder, photos, bundle, out, min_sureness)
    print(f"{out}: {done.sure} photos with boxes; {len(done.unsure)} not sure, in {done.list}")
    print(f"next: dobble import {out} {folder}")
