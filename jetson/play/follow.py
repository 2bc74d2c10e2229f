"""Turns the frames of one camera into tables: cards are followed, new ones looked for now and then."""

from typing import List, NamedTuple, Sequence

import numpy as np

from jetson.arrays import Array
from jetson.play.cards import Card
from jetson.play.detect import Detector
from jetson.play.look import Seen, look_for_cards
from jetson.play.table import Table, play_cards

SOONEST, LATEST = 0.5, 8.0  # seconds between two thorough looks: longer the longer nothing new is found
STILL = 0.25  # of its radius: a card that has moved no farther since the frame before is the same
ALIKE = 0.5  # of the symbols seen on the card before: any other card shares only one with it
FRAMES = 8  # whose evidence counts, about


class _Known(NamedTuple):
    """A card of the frame before, and the mean of what was read on it in so many frames."""

    card: Card
    probability: Array
    frames: int


class Follower:
    """Plays the frames of one camera."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._hidden: Sequence[Card] = ()
        self._known: List[_Known] = []
        self._pause = SOONEST
        self._due = float("-inf")

    def play(self, image: Array, now: float) -> Table:
        """Play uint8 [H, W, 3] BGR as `play_table` does, most of the time without a thorough look.

        Args:
            image: the frame.
            now: its time in seconds.
        """
        thorough = now >= self._due
        sight = look_for_cards(self._detector, image, self._hidden, thorough)
        changed = len(sight.cards) != len(self._known)
        if changed:
            self._pause = SOONEST
        elif thorough:
            self._pause = min(2 * self._pause, LATEST)
        if thorough:
            self._due = now + self._pause
        elif changed:
            self._due = min(self._due, now + self._pause)
        self._hidden = sight.hidden
        return play_cards(self._detector.bundle, sight._replace(cards=self._gathered(sight.cards)))

    def _gathered(self, cards: Sequence[Seen]) -> List[Seen]:
        """Add up what was read in this and the frames before: a slip in one frame is outvoted."""
        before, self._known = self._known, []
        gathered = []
        for card, reading in cards:
            known = _again(card, reading.evidence.probability, before)
            self._known.append(known)
            evidence = reading.evidence._replace(probability=known.probability)
            gathered.append(Seen(card, reading._replace(evidence=evidence)))
        return gathered


def _again(card: Card, probability: Array, before: Sequence[_Known]) -> _Known:
    for known in before:
        away = np.hypot(*np.subtract(card.centre, known.card.centre))
        common = np.minimum(probability, known.probability).sum()
        if away < STILL * card.axes[0] / 2 and common >= ALIKE * known.probability.sum():
            frames = min(known.frames + 1, FRAMES)
            return _Known(card, known.probability + (probability - known.probability) / frames, frames)
    return _Known(card, probability, 1)
