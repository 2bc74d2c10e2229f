"""Reads what is known of photographs: the cards on tables, their symbols, and the right answers."""

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dobble.errors import AnswersError, MissingInputError

TABLES, CARDS = "tables.json", "cards.json"

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class KnownCard:
    """A card that lies on a photographed table.

    Attributes:
        symbols: those that can be seen on it.
        at: its rough centre, x and y as shares of the upright picture; None where `box` says it.
        box: its outline, xyxy in pixels of the upright picture, if that is known.
    """

    symbols: frozenset[str]
    at: Point | None = None
    box: Box | None = None

    def centre(self, width: int, height: int) -> Point:
        """Return its rough centre, x and y in pixels of a picture of that size."""
        if self.box is not None:
            left, top, right, bottom = self.box
            return (left + right) / 2, (top + bottom) / 2
        x, y = self.at or (0.5, 0.5)
        return x * width, y * height


@dataclass(frozen=True)
class KnownTable:
    """A photograph of a table: its cards, and for pairs of them (by index) the symbol that they share."""

    path: Path
    cards: tuple[KnownCard, ...]
    matches: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class KnownPhoto:
    """A photograph of one card; photos of one session were taken with one camera in one light."""

    path: Path
    session: str
    symbols: frozenset[str]


@dataclass(frozen=True)
class Answers:
    """All that is known of a folder of photographs."""

    tables: tuple[KnownTable, ...]
    photos: tuple[KnownPhoto, ...]

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that stands on a card."""
        on_tables = (card.symbols for table in self.tables for card in table.cards)
        return frozenset().union(*on_tables, *(photo.symbols for photo in self.photos))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_Symbols = Annotated[frozenset[str], Field(min_length=1)]


_Model = TypeVar("_Model", bound=_Entry)


class _Card(_Entry):
    symbols: _Symbols
    at: Point | None = None
    box: Box | None = None


class _Table(_Entry):
    cards: tuple[_Card, ...]
    matches: tuple[tuple[int, int, str], ...] | None = None


class _Photo(_Entry):
    symbols: _Symbols
    session: str | None = None


def read_answers(folder: Path) -> Answers:
    """Read `tables.json`, `cards.json` or both.

    `tables.json` maps each picture to its `cards` (`symbols`, and `at` or `box`) and, if need be, `matches`
    (`[card, card, symbol]`); without them every pair of cards that share exactly one of their symbols is a
    match. The form that `dobble sample --table` writes is one of these. `cards.json` maps pictures of single
    cards to their `symbols` and, if need be, `session`; without it, the name up to its last underscore is the
    session. In both files the map may stand under `photos` or `files`. Pictures lie in the folder, or in its
    folder `images`.

    Raises:
        MissingInputError: if the folder, both files, or a picture is missing.
        AnswersError: naming file, picture and what is wrong.
    """
    if not folder.is_dir():
        raise MissingInputError(folder, f"name a folder with {TABLES} or {CARDS}")
    if not any((folder / name).is_file() for name in (TABLES, CARDS)):
        raise MissingInputError(folder / TABLES, f"an exam needs it, or {CARDS}: docs/exam.md shows both")
    tables = [_known_table(folder, name, entry) for name, entry in _entries(folder / TABLES, _Table)]
    photos = [
        KnownPhoto(_picture(folder, CARDS, name), entry.session or _session(name), entry.symbols)
        for name, entry in _entries(folder / CARDS, _Photo)
    ]
    if not tables and not photos:
        raise AnswersError(folder, "names no picture")
    return Answers(tuple(tables), tuple(photos))


def _entries(source: Path, model: type[_Model]) -> list[tuple[str, _Model]]:
    if not source.is_file():
        return []
    try:
        content: Any = json.loads(source.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise AnswersError(source, f"is no JSON: {error}") from error
    if isinstance(content, dict):
        content = content.get("photos", content.get("files", content))
    try:
        return list(TypeAdapter(dict[str, model]).validate_python(content).items())  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join(str(part) for part in first["loc"])
        raise AnswersError(source, f"{where}: {first['msg'].lower()}" if where else first["msg"]) from error


def _known_table(folder: Path, name: str, entry: _Table) -> KnownTable:
    source = folder / TABLES
    cards = tuple(KnownCard(card.symbols, card.at, card.box) for card in entry.cards)
    for number, card in enumerate(cards):
        if card.at is None and card.box is None:
            raise AnswersError(source, f"{name}: card {number} needs `at` or `box`")
    matches = entry.matches
    if matches is None:
        matches = tuple(
            (first, second, next(iter(shared)))
            for first, second in combinations(range(len(cards)), 2)
            if len(shared := cards[first].symbols & cards[second].symbols) == 1
        )
    for first, second, symbol in matches:
        if not (0 <= first < len(cards) and 0 <= second < len(cards)) or first == second:
            raise AnswersError(source, f"{name}: match {first}, {second} is of no two of its cards")
        if symbol not in cards[first].symbols & cards[second].symbols:
            raise AnswersError(source, f"{name}: {symbol} is not on both cards {first} and {second}")
    return KnownTable(_picture(folder, TABLES, name), cards, matches)


def _picture(folder: Path, source: str, name: str) -> Path:
    for path in (folder / name, folder / "images" / name):
        if path.is_file():
            return path
    raise MissingInputError(folder / name, f"{source} names it: put it there, or take it out")


def _session(name: str) -> str:
    return Path(name).stem.rpartition("_")[0] or Path(name).stem
