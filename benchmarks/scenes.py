"""Plays rendered tables with one kind of trouble each: cards found, false cards, answers right and wrong."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from machine import machine, print_table

from dobble.evaluation.answers import Answers, KnownCard, KnownTable
from dobble.evaluation.exam import AS_PLAYED, NO_DECK, TABLES, Result, take_exam
from dobble.evaluation.exam_page import summarise
from dobble.sample.scenes import TROUBLES, photo_of_scene
from dobble.sample.symbols import read_symbols, sample_symbols
from jetson.errors import JetsonError
from jetson.play.bundle import Bundle, load_bundle
from jetson.runners import open_runner

SCENES, SEED = 12, 1
QUALITY = 92  # of the JPEGs
BARS = {"found": 0.95, "false": 0.01, "right": 0.97, "wrong": 0.005}


def main() -> None:
    """Print a row for each kind; exit with 1 if a bar is missed over all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--symbols", type=Path, help="pictures of the bundle's symbols (the sample deck's)")
    parser.add_argument("--scenes", type=int, default=SCENES, help="of each kind")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    try:
        bundle = load_bundle(str(arguments.bundle))
    except JetsonError as error:
        sys.exit(f"error: {error}")
    if bundle.deck is None:
        sys.exit(f"error: {arguments.bundle} knows no deck, from which scenes could be laid")
    print(machine())
    rows, whole = [], np.zeros(8, int)
    with tempfile.TemporaryDirectory() as folder, open_runner("onnxruntime-cpu", bundle) as runner:
        for trouble in TROUBLES:
            tables = tuple(render(trouble, bundle, arguments, Path(folder)))
            result = take_exam(bundle, runner, Answers(tables, ()), {AS_PLAYED: bundle.deck, NO_DECK: None})
            numbers = count(result)
            whole += numbers
            rows.append([trouble, *(str(number) for number in numbers)])
    rows.append(["all", *(str(number) for number in whole)])
    heads = ["", "cards", "found", "false", "pairs", "right", "wrong", "right, no deck", "wrong, no deck"]
    print_table(heads, rows)
    cards, found, false, pairs, right, wrong = whole[:6].tolist()
    missed = [
        name
        for name, failed in {
            "found": found < BARS["found"] * cards,
            "false": false > BARS["false"] * cards,
            "right": right < BARS["right"] * pairs,
            "wrong": wrong > BARS["wrong"] * pairs,
        }.items()
        if failed
    ]
    if missed:
        sys.exit(f"missed: {', '.join(missed)}, of {BARS}")


def render(trouble: str, bundle: Bundle, arguments: argparse.Namespace, folder: Path) -> Iterator[KnownTable]:
    """Lay cards of the bundle's deck and take the photos into a folder."""
    symbols = sample_symbols() if arguments.symbols is None else read_symbols(arguments.symbols)
    deck = [[bundle.labels[symbol] for symbol in card] for card in bundle.deck or ()]
    fewest, most = TROUBLES[trouble].cards
    for number in range(arguments.scenes):
        rng = np.random.default_rng([arguments.seed, sorted(TROUBLES).index(trouble), number])
        laid = [deck[place] for place in rng.choice(len(deck), rng.integers(fewest, most + 1), replace=False)]
        photo = photo_of_scene(trouble, [[symbols[name][-1] for name in card] for card in laid], rng)
        path = folder / f"{trouble.replace(' ', '_')}{number:03d}.jpg"
        cv2.imwrite(str(path), photo.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        cards = tuple(
            KnownCard(frozenset(card), box=tuple(box))
            for card, box in zip(laid, photo.cards.tolist(), strict=True)
        )
        matches = tuple(
            (first, second, min(set(laid[first]) & set(laid[second])))
            for first, second in combinations(range(len(laid)), 2)
        )
        yield KnownTable(path, cards, matches)


def count(result: Result) -> list[int]:
    """Cards, those found, false ones; pairs, right and wrong answers with the deck, and without."""
    counted = summarise(result)
    rules = [counted["answers"][TABLES][rule] for rule in (AS_PLAYED, NO_DECK)]
    answered = [rule[mark] for rule in rules for mark in ("right", "wrong")]
    return [*(counted["cards"][name] for name in ("known", "found", "false")), rules[0]["pairs"], *answered]


if __name__ == "__main__":
    main()
