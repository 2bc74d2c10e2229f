"""Readings of single cards to what the device answers when pairs of them are played, by each rule."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from jetson.play.bundle import Bundle
from jetson.play.detect import CardReading
from jetson.play.game import match_simple, play, shared_symbol

MOST_PAIRS = 20_000
"""Photos pair up by the square of their number; so many tell a share of .97 to within .0012."""


class Answers(NamedTuple):
    """What one rule says of each of N pairs.

    Attributes:
        symbol: int64 [N], the class id that is named.
        probability: float64 [N], of that symbol, as the device shows it.
        truth: float64 [N], the probability of the symbol that the cards really share.
        answered: bool [N], whether the device gives the answer, or says why there is none.
    """

    symbol: NDArray[np.int64]
    probability: NDArray[np.float64]
    truth: NDArray[np.float64]
    answered: NDArray[np.bool_]


@dataclass(frozen=True)
class Game:
    """Pairs of photos of two different cards, played.

    Attributes:
        pairs: int64 [N, 3], first photo, second photo, the class id they share.
        simple: bool [N], won by the naive rule (detected on both cards, highest mean score).
        joint: by the evidence of both cards together, weak traces included.
        deck: when the cards of the deck are known too; None if they are not.
    """

    pairs: NDArray[np.int64]
    simple: NDArray[np.bool_]
    joint: Answers
    deck: Answers | None

    @property
    def answers(self) -> dict[str, Answers]:
        """The rules that give a probability, by their names."""
        return {"joint": self.joint, **({} if self.deck is None else {"deck": self.deck})}

    @property
    def won(self) -> dict[str, NDArray[np.bool_]]:
        """Bool [N] for each rule: whether the shared symbol is the one that is named, answered or not."""
        truth = self.pairs[:, 2]
        return {"simple": self.simple} | {rule: said.symbol == truth for rule, said in self.answers.items()}

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of the pairs that each rule wins; 0 where there are none."""
        return {rule: float(won.mean()) if len(won) else 0.0 for rule, won in self.won.items()}


def shared_pairs(cards: Sequence[AbstractSet[int]]) -> NDArray[np.int64]:
    """Pair the photos whose cards, by their labels, share exactly one symbol.

    Of more than `MOST_PAIRS` pairs so many are drawn by lot, for the same photos always the same.

    Args:
        cards: for each photo, the class ids that are on it.

    Returns:
        int64 [N, 3]: first photo, second photo, the class id they share. Photos of the same card share
        eight and make no pair.
    """
    total = len(cards) * (len(cards) - 1) // 2
    if total <= MOST_PAIRS:
        lots = np.arange(total)
    else:
        lots = np.random.default_rng(0).choice(total, MOST_PAIRS, replace=False)
    # Pair number k is (first, second) with k = second (second - 1) / 2 + first and first < second.
    second = ((1 + np.sqrt(1 + 8.0 * lots)) // 2).astype(np.int64)
    second -= second * (second - 1) // 2 > lots
    first = lots - second * (second - 1) // 2
    on_card = np.zeros((len(cards), max((max(card, default=0) for card in cards), default=0) + 1), bool)
    for row, card in enumerate(cards):
        on_card[row, list(card)] = True
    common = on_card[first] & on_card[second]
    pairs = np.column_stack([first, second, common.argmax(1)])[common.sum(1) == 1]
    ordered: NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered


def play_pairs(bundle: Bundle, cards: Sequence[AbstractSet[int]], readings: Sequence[CardReading]) -> Game:
    """Play the pairs of `shared_pairs` by the device's own rules.

    Args:
        bundle: its deck, thresholds and calibration count.
        cards: for each photo, the class ids that are really on it.
        readings: what the device sees on each photo.
    """
    pairs = shared_pairs(cards)
    simple = np.zeros(len(pairs), bool)
    for row, (first, second, symbol) in enumerate(pairs.tolist()):
        seen = readings[first].detections, readings[second].detections
        simple[row] = match_simple(*seen, len(bundle.labels)) == symbol
    return Game(
        pairs=pairs,
        simple=simple,
        joint=_answers(bundle._replace(deck=None), pairs, readings),
        deck=None if bundle.deck is None else _answers(bundle, pairs, readings),
    )


def _answers(bundle: Bundle, pairs: NDArray[np.int64], readings: Sequence[CardReading]) -> Answers:
    rows: list[tuple[int, float, float, bool]] = []
    for first, second, symbol in tqdm(pairs.tolist(), desc="pairs", leave=False, disable=None):
        match = play(bundle, readings[first], readings[second])
        truth = match.probability
        if match.symbol != symbol:
            truth = float(shared_symbol(bundle, readings[first], readings[second])[0][symbol])
        rows.append((match.symbol, match.probability, truth, match.no_answer is None))
    return Answers(
        symbol=np.array([row[0] for row in rows], np.int64),
        probability=np.array([row[1] for row in rows], np.float64),
        truth=np.array([row[2] for row in rows], np.float64),
        answered=np.array([row[3] for row in rows], bool),
    )
