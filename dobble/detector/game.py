"""Readings of single cards to how often the game would be won: every pair of cards, by each rule."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dobble.detector.metrics import Detected
from jetson.detect import Detections
from jetson.game import match_deck, match_joint, match_simple


@dataclass(frozen=True)
class GameAccuracy:
    """Over all pairs of photos of two different cards, how often the shared symbol is named.

    Attributes:
        pairs: how many pairs there are; with none, every share is 0.
        simple: share of pairs won by the naive rule (detected on both cards, highest mean score).
        joint: share won by the evidence of both cards together, weak traces included.
        deck: share won when the cards of the deck are known too; None if they are not.
    """

    pairs: int
    simple: float
    joint: float
    deck: float | None


def shared_pairs(cards: Sequence[AbstractSet[int]]) -> NDArray[np.int64]:
    """Pair the photos whose cards, by their labels, share exactly one symbol.

    Args:
        cards: for each photo, the class ids that are on it.

    Returns:
        int64 [pairs, 3]: first photo, second photo, the class id they share. Photos of the same card share
        eight and make no pair.
    """
    pairs = [
        (first, second, *shared)
        for first, second in combinations(range(len(cards)), 2)
        if len(shared := cards[first] & cards[second]) == 1
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 3)


def game_accuracy(
    cards: Sequence[AbstractSet[int]],
    detections: Sequence[Detected],
    evidence: NDArray[np.floating[Any]],
    score_threshold: float,
    *,
    deck: NDArray[np.bool_] | None = None,
    deck_calibration: float = 1.0,
) -> GameAccuracy:
    """Play every pair of `shared_pairs` by the device's own rules.

    Args:
        cards: for each of P photos, the class ids that are really on it.
        detections: what was detected on each photo; the naive rule sees those above `score_threshold`.
        evidence: float [P, C], evidence for each symbol on each photo, in [0, 1].
        score_threshold: the device's.
        deck: bool [cards, C], which symbols are on which card of the deck, if that is known.
        deck_calibration: the bundle's exponent for `jetson.game.match_deck`. (The exponent of the joint
            evidence changes the probabilities but never the symbol that is named.)
    """
    n_classes = evidence.shape[1]
    shown = [_above(found, score_threshold) for found in detections]
    pairs = shared_pairs(cards)
    won = {"simple": 0, "joint": 0, "deck": 0}
    for first, second, symbol in pairs:
        p1, p2 = evidence[first], evidence[second]
        won["simple"] += match_simple(shown[first], shown[second], n_classes) == symbol
        won["joint"] += match_joint(p1, p2, 1.0).argmax() == symbol
        if deck is not None:
            won["deck"] += match_deck(p1, p2, deck, deck_calibration)[0].argmax() == symbol
    share = {rule: count / max(len(pairs), 1) for rule, count in won.items()}
    return GameAccuracy(
        pairs=len(pairs),
        simple=share["simple"],
        joint=share["joint"],
        deck=None if deck is None else share["deck"],
    )


def _above(found: Detected, score_threshold: float) -> Detections:
    shown = found.scores > score_threshold
    return Detections(found.boxes[shown], found.scores[shown], found.labels[shown])
