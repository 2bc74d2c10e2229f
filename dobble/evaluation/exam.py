"""Plays photographs with known answers: cards found, answers right, wrong and withheld, by rule."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from tqdm import tqdm

from dobble.detector.dataset import read_photo
from dobble.errors import AnswersError
from dobble.evaluation.answers import Answers, KnownCard, KnownPhoto, KnownTable
from jetson.play.bundle import Bundle
from jetson.play.cards import Card
from jetson.play.detect import CardReading, Detector
from jetson.play.game import Match, play
from jetson.play.table import play_table, read_photo_of_card
from jetson.runners.runner import Runner

Deck = tuple[tuple[int, ...], ...] | None
Mark = Literal["right", "wrong", "unanswered", "card not found"]
TABLES = "tables"
AS_PLAYED, NO_DECK = "as the bundle plays", "without a deck"
_NEAR = 0.8  # of a found card's radius: the known centre is a rough one
_CONFIDENCE = 1.96  # standard deviations: 95 of 100 intervals hold the true share


@dataclass(frozen=True)
class Answer:
    """What was said of a pair of cards.

    Attributes:
        group: `tables`, or the session of two photos of one card each.
        paths: the table's picture, or those of the two cards.
        rule: by which it was played.
        symbol: the right one.
        said: the match, None where a card was not found.
        named: the symbol that was most probable, told or withheld; None where a card was not found.
        mark: how that is judged.
    """

    group: str
    paths: tuple[Path, ...]
    rule: str
    symbol: str
    said: Match | None
    named: str | None
    mark: Mark


@dataclass(frozen=True)
class TableSeen:
    """The cards of a table that were found: `matched` maps known cards to found ones, the rest is false."""

    known: KnownTable
    found: tuple[Card, ...]
    matched: dict[int, int]

    @property
    def missed(self) -> list[int]:
        """Indices of the known cards that were not found."""
        return [place for place in range(len(self.known.cards)) if place not in self.matched]

    @property
    def false(self) -> list[int]:
        """Indices of the found cards that are none."""
        right = set(self.matched.values())
        return [place for place in range(len(self.found)) if place not in right]


@dataclass(frozen=True)
class Result:
    """All that an exam saw and judged; `rules` in the order in which they were asked for."""

    rules: tuple[str, ...]
    tables: tuple[TableSeen, ...]
    answers: tuple[Answer, ...]

    @property
    def known(self) -> int:
        """How many cards lie on the tables."""
        return sum(len(seen.known.cards) for seen in self.tables)

    @property
    def found(self) -> int:
        """How many of them were found."""
        return sum(len(seen.matched) for seen in self.tables)

    @property
    def false(self) -> int:
        """How many found cards are none."""
        return sum(len(seen.false) for seen in self.tables)

    def of(self, group: str, rule: str) -> list[Answer]:
        """The answers of one group by one rule."""
        return [one for one in self.answers if (one.group, one.rule) == (group, rule)]

    def share(self, mark: Mark, rule: str) -> float:
        """The share of all pairs, of tables and sessions, that a rule gave such an answer to."""
        marks = [one.mark for one in self.answers if one.rule == rule]
        return marks.count(mark) / len(marks) if marks else math.nan

    @property
    def groups(self) -> list[str]:
        """`tables` and the sessions, as far as they have a pair."""
        return list(dict.fromkeys(one.group for one in self.answers))


def take_exam(bundle: Bundle, runner: Runner, answers: Answers, decks: Mapping[str, Deck]) -> Result:
    """Play every table and, within each session, every pair of photos of different cards.

    Each picture is read once, as `dobble play` reads it, and its pairs are played by every rule.

    Args:
        bundle: what to play with.
        runner: opened for it.
        answers: from `read_answers`.
        decks: the rules: by name the deck that is known, None for playing without one.

    Raises:
        AnswersError: if a known symbol is none of the bundle's.
        PhotoError: if a picture cannot be decoded.
    """
    unknown = sorted(answers.symbols - set(bundle.labels))
    if unknown:
        raise AnswersError("the answers", f"name {unknown[0]!r}, which is no symbol of the bundle")
    rules = {name: bundle._replace(deck=deck) for name, deck in decks.items()}
    detector = Detector(bundle, runner)
    with tqdm(total=len(answers.tables) + len(answers.photos), unit="photo", disable=None) as progress:
        tables: list[TableSeen] = []
        told: list[Answer] = []
        for known in answers.tables:
            seen, readings = _look_at(known, detector)
            tables.append(seen)
            told += _table_answers(seen, readings, rules)
            progress.update()
        read = []
        for photo in answers.photos:
            read.append((photo, read_photo_of_card(detector, read_photo(photo.path))))
            progress.update()
    return Result(tuple(rules), tuple(tables), (*told, *_photo_answers(read, rules)))


def wilson(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was seen `count` times in `total` (E. B. Wilson, 1927)."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = count / total, _CONFIDENCE**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _CONFIDENCE * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def match_cards(known: Sequence[KnownCard], found: Sequence[Card], size: tuple[int, int]) -> dict[int, int]:
    """Assign found cards to known ones, one to one, those that lie closest first of all.

    A found card can be a known one if the known centre lies well within the found one's radius
    (half its long axis).

    Args:
        known: what lies on the table.
        found: what was found, in pixels.
        size: width and height of the picture.

    Returns:
        For each known card that was found its index in `found`.
    """
    if not known or not found:
        return {}
    centres = np.array([card.centre(*size) for card in known])
    radii = np.array([card.axes[0] / 2 for card in found])
    distance = np.linalg.norm(centres[:, None] - np.array([card.centre for card in found]), axis=2) / radii
    rows, columns = linear_sum_assignment(np.minimum(distance, 1.0))
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if distance[row, column] < _NEAR
    }


def _look_at(known: KnownTable, detector: Detector) -> tuple[TableSeen, list[CardReading]]:
    image = read_photo(known.path)
    table = play_table(detector, image)
    matched = match_cards(known.cards, table.cards, (image.shape[1], image.shape[0]))
    return TableSeen(known, tuple(table.cards), matched), list(table.readings)


def _table_answers(
    seen: TableSeen, readings: Sequence[CardReading], rules: Mapping[str, Bundle]
) -> Iterator[Answer]:
    for first, second, symbol in seen.known.matches:
        there = first in seen.matched and second in seen.matched
        for rule, bundle in rules.items():
            said = (
                play(bundle, readings[seen.matched[first]], readings[seen.matched[second]]) if there else None
            )
            yield _answer(TABLES, (seen.known.path,), rule, symbol, said, bundle)


def _photo_answers(
    read: Sequence[tuple[KnownPhoto, CardReading]], rules: Mapping[str, Bundle]
) -> Iterator[Answer]:
    for (one, reading), (other, its_reading) in combinations(read, 2):
        shared = one.symbols & other.symbols
        if one.session != other.session or len(shared) != 1:
            continue
        (symbol,) = shared
        for rule, bundle in rules.items():
            said = play(bundle, reading, its_reading)
            yield _answer(one.session, (one.path, other.path), rule, symbol, said, bundle)


def _answer(
    group: str, paths: tuple[Path, ...], rule: str, symbol: str, said: Match | None, bundle: Bundle
) -> Answer:
    named = None if said is None else bundle.labels[said.symbol]
    mark: Mark = "right" if named == symbol else "wrong"
    if said is None:
        mark = "card not found"
    elif said.no_answer is not None:
        mark = "unanswered"
    return Answer(group, paths, rule, symbol, said, named, mark)
