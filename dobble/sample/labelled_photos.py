"""Symbols into a labelled data set: photos of cards or of whole tables, in the form that Labelbox exports."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from dobble.data.export_rows import data_row, export_line
from dobble.data.made_up_decks import MADE_UP
from dobble.deck.deck_file import read_deck_file
from dobble.deck.mathematics import Deck, make_deck
from dobble.errors import DeckError, OutputError, ParameterError, SymbolError
from dobble.processes import end_with_parent
from dobble.sample.render import photo_of_card, photo_of_table
from dobble.sample.symbols import Pixels, Symbol, read_symbols, sample_symbols
from dobble.sources.replacement import replaced_data

Json = dict[str, Any]
_Taken = TypeVar("_Taken")

_PRINTED, _TABLES_PROJECT = "printed-deck", "sample-tables"
_JPEG_QUALITY = 92
_TABLES = 1_000_000  # in the place of a deck's number, so that no frame shares its seed with a photo


@dataclass(frozen=True)
class SampleSummary:
    """What was rendered, and where."""

    folder: Path
    photos: int
    boxes: int
    symbols: int


@dataclass(frozen=True)
class _Studio:
    """All that a worker needs to take any photo."""

    project: str
    deck: Deck
    symbols: dict[str, list[Symbol]]
    decks: int
    size: int
    seed: int
    out: Path
    images: Path


def render_photos(
    out: Path,
    *,
    symbols: Path | None = None,
    deck: Path | None = None,
    decks: int = 10,
    size: int = 480,
    seed: int = 0,
    workers: int | None = None,
    replace: bool = False,
) -> SampleSummary:
    """Render every card of a deck once for each of `decks` photo sessions.

    `out` then holds export.ndjson (a Labelbox v2 data row a line) and images/deckNN_cardNN.jpg. Equal
    arguments give equal bytes on equal machines, with any number of workers.

    Args:
        out: folder to write; it is replaced as a whole when all photos are done.
        symbols: folder of own symbols (see `read_symbols`); None takes the sample deck. Where a symbol has
            several pictures, session d takes number d * pictures // decks, so that the last sessions show
            pictures that the first ones do not.
        deck: file of the real cards (see `read_deck_file`); None makes a deck up.
        decks: number of photo sessions.
        size: width and height of the photos in pixels.
        seed: another seed gives other photos.
        workers: processes; None takes one for each core.
        replace: whether to replace data that DVC could not bring back, or that are not rendered.

    Raises:
        ReplaceDataError: if `out` holds such data.
        ParameterError: if a number is too small.
        SymbolError: if the symbols cannot be used.
        DeckError, MissingInputError: if the deck cannot be used, or names a symbol without a picture.
        OutputError: if `out` cannot be written.
    """
    _check(decks=(decks, 1), size=(size, 64), seed=(seed, 0), workers=(workers or 1, 1))
    cards, pictures = _deck(symbols, deck)
    with replaced_data(out, {MADE_UP, _PRINTED}, replace=replace) as folder:
        project = MADE_UP if deck is None else _PRINTED
        studio = _Studio(project, cards, pictures, decks, size, seed, out, folder / "images")
        jobs = [(session, card) for session in range(decks) for card in range(len(cards.cards))]
        rows = _run(_take_photo, studio, jobs, workers)
        _write_rows(folder, rows)
    return SampleSummary(out, len(rows), sum(map(_box_count, rows)), len(cards.symbols))


def render_tables(
    out: Path,
    *,
    symbols: Path | None = None,
    deck: Path | None = None,
    frames: int = 60,
    seed: int = 0,
    workers: int | None = None,
    replace: bool = False,
) -> SampleSummary:
    """Render frames of 1280x720 pixels with two, sometimes three or four cards on one table.

    `out` then holds export.ndjson, images/tableNNN.jpg and tables.json: for each frame its cards (index in
    the deck, sorted symbols, box xyxy in pixels) and, where it shows two cards, the symbol that they share,
    else null. Own symbols are shown by their last picture, the one that the fewest photos of cards show.

    Raises:
        ReplaceDataError: if `out` holds something and `replace` is not set.
        ParameterError: if a number is too small.
        SymbolError: if the symbols cannot be used.
        DeckError, MissingInputError: if the deck cannot be used, or names a symbol without a picture.
        OutputError: if `out` cannot be written.
    """
    _check(frames=(frames, 1), seed=(seed, 0), workers=(workers or 1, 1))
    cards, pictures = _deck(symbols, deck)
    with replaced_data(out, {_TABLES_PROJECT}, replace=replace) as folder:
        studio = _Studio(_TABLES_PROJECT, cards, pictures, 1, 0, seed, out, folder / "images")
        taken = _run(_take_table, studio, [(frame,) for frame in range(frames)], workers)
        rows = [row for row, _ in taken]
        _write_rows(folder, rows)
        tables = {row["data_row"]["external_id"]: table for row, table in taken}
        (folder / "tables.json").write_text(
            json.dumps(tables, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
    return SampleSummary(out, len(rows), sum(map(_box_count, rows)), len(cards.symbols))


def _check(**least: tuple[int, int]) -> None:
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise ParameterError(f"{name} must be at least {smallest}, not {value}")


def _deck(folder: Path | None, cards: Path | None) -> tuple[Deck, dict[str, list[Symbol]]]:
    symbols = sample_symbols() if folder is None else read_symbols(folder)
    if cards is not None:
        deck = read_deck_file(cards)
        if undrawn := [name for name in deck.symbols if name not in symbols]:
            where = "the sample deck" if folder is None else folder
            raise DeckError(f"{cards}: {undrawn[0]} has no picture in {where}: name it alike in both")
        return deck, symbols
    try:
        return make_deck(list(symbols)), symbols
    except DeckError as error:
        raise SymbolError(f"{folder}: {error}") from error


def _take_photo(studio: _Studio, session: int, card: int) -> Json:
    names = studio.deck.cards[card]
    shown = [studio.symbols[name][session * len(studio.symbols[name]) // studio.decks] for name in names]
    rng = np.random.default_rng([studio.seed, session, card])
    photo = photo_of_card(shown, rng, studio.size)
    file = f"deck{session:02d}_card{card:02d}.jpg"
    _write_jpeg(studio.images / file, photo.image)
    return data_row(file, photo.image, names, photo.boxes[0], studio.project)


def _take_table(studio: _Studio, frame: int) -> tuple[Json, Json]:
    rng = np.random.default_rng([studio.seed, _TABLES, frame])
    deck = studio.deck
    number = min(int(rng.choice([2, 3, 4], p=[0.7, 0.2, 0.1])), len(deck.cards))
    chosen = rng.choice(len(deck.cards), number, replace=False).tolist()
    photo = photo_of_table([[studio.symbols[name][-1] for name in deck.cards[card]] for card in chosen], rng)
    file = f"table{frame:03d}.jpg"
    _write_jpeg(studio.images / file, photo.image)
    names = [name for card in chosen for name in deck.cards[card]]
    table = {
        "cards": [
            {"box": [round(edge, 2) for edge in box], "card": card, "symbols": sorted(deck.cards[card])}
            for card, box in zip(chosen, photo.cards.tolist(), strict=True)
        ],
        "shared": deck.shared(*chosen) if number == 2 else None,
    }
    return data_row(file, photo.image, names, np.concatenate(photo.boxes), studio.project), table


def _run(
    take: Callable[..., _Taken], studio: _Studio, jobs: Sequence[tuple[int, ...]], workers: int | None
) -> list[_Taken]:
    """Do the jobs in processes of their own; results in the order of the jobs."""
    studio.images.mkdir()
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    progress = tqdm(total=len(jobs), unit="photo", disable=None)
    if workers == 1:
        with progress:
            return [_counted(take(studio, *job), progress) for job in jobs]
    # a fresh process, not a fork: OpenCV's and torch's threads do not survive a fork
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (take, studio))
    try:
        with progress:
            return [_counted(taken, progress) for taken in pool.map(_work, jobs, chunksize=4)]
    except BrokenProcessPool as error:
        problem = "the system ended a worker, perhaps for want of memory: use fewer workers"
        raise OutputError(studio.out, problem) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _counted(taken: _Taken, progress: "tqdm[Any]") -> _Taken:
    progress.update()
    return taken


_job: Callable[..., Any]


def _start_worker(take: Callable[..., Any], studio: _Studio) -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone answers it, by ending the pool
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    cv2.setNumThreads(1)
    global _job  # noqa: PLW0603 - the one way to give a worker of a pool its state once
    _job = partial(take, studio)


def _work(job: tuple[int, ...]) -> Any:
    return _job(*job)


def _write_jpeg(path: Path, image: Pixels) -> None:
    path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())


def _write_rows(folder: Path, rows: Sequence[Json]) -> None:
    lines = [export_line(row) for row in sorted(rows, key=lambda row: str(row["data_row"]["external_id"]))]
    (folder / "export.ndjson").write_text("".join(lines), encoding="utf-8", newline="\n")


def _box_count(row: Json) -> int:
    return sum(len(project["labels"][0]["annotations"]["objects"]) for project in row["projects"].values())
