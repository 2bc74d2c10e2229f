"""Turns a file with the symbols of each card into a checked deck."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dobble.deck.mathematics import Deck, read_deck, violations
from dobble.errors import DeckError, MissingInputError


def read_deck_file(path: Path) -> Deck:
    """Read a deck from CSV, one card a line, or from JSON, a list of cards or an object of them by name.

    In JSON the cards may stand under `cards`. The printed game leaves out two of the 57 possible cards: as
    many may be missing. Cards keep the order of the file, and those that it lacks come last.

    Raises:
        MissingInputError: if there is no such file.
        DeckError: naming the file, the card and the rule that is broken.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingInputError(path, "name a CSV or JSON file with one card a line") from None
    except UnicodeDecodeError as error:
        raise DeckError(f"{path}: is no text in UTF-8: save it as UTF-8") from error
    cards = _of_json(path, text) if path.suffix.lower() == ".json" else _of_csv(text)
    if len(cards) < 2:
        raise DeckError(f"{path}: lists {len(cards)} cards: write one card a line, its symbols with commas")
    broken = violations(cards)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise DeckError(f"{path}: {broken[0]}{more}: any two cards of a deck share exactly one symbol")
    deck = read_deck(cards)
    if deck is None:
        symbols = len({symbol for card in cards.values() for symbol in card})
        problem = (
            f"{len(cards)} cards are too few for a deck of {symbols} symbols: two at most may be missing"
        )
        raise DeckError(f"{path}: {problem}")
    order = {frozenset(card): place for place, card in enumerate(cards.values())}
    return Deck(
        deck.symbols, tuple(sorted(deck.cards, key=lambda card: order.get(frozenset(card), len(order))))
    )


def class_ids(deck: Deck, labels: Sequence[str], source: Path) -> tuple[tuple[int, ...], ...]:
    """Return each card's class ids in ascending order, as a bundle holds them.

    Raises:
        DeckError: if `labels` lack a symbol of the deck.
    """
    places = {label: place for place, label in enumerate(labels)}
    unknown = [symbol for symbol in deck.symbols if symbol not in places]
    if unknown:
        raise DeckError(f"{source}: {unknown[0]} is no symbol of the labels: use their names, {labels[0]} …")
    return tuple(tuple(sorted(places[symbol] for symbol in card)) for card in deck.cards)


def _of_csv(text: str) -> dict[str, list[str]]:
    dialect = ";" if text.count(";") > text.count(",") else ","
    rows = csv.reader(text.splitlines(), delimiter=dialect)
    cells = ([cell.strip() for cell in row] for row in rows)
    return {
        f"line {number}": [cell for cell in row if cell] for number, row in enumerate(cells, 1) if any(row)
    }


def _of_json(path: Path, text: str) -> dict[str, list[str]]:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise DeckError(f"{path}: is no JSON: {error}") from error
    if isinstance(content, dict):
        content = content.get("cards", content)
    if isinstance(content, list):
        content = dict(enumerate(content, 1))
    if not isinstance(content, dict):
        raise DeckError(f"{path}: is no list of cards, nor an object of them by name")
    for name, card in content.items():
        if not isinstance(card, list) or not all(isinstance(symbol, str) for symbol in card):
            raise DeckError(f"{path}: card {name} is no list of symbols")
    return {f"card {name}": card for name, card in content.items()}
