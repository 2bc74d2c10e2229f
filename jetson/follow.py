"""Turns the frames of one camera into tables: cards are followed, new ones looked for now and then."""

from typing import Sequence

from jetson.arrays import Array
from jetson.cards import Card
from jetson.detect import Detector
from jetson.table import Table, play_table

SOONEST, LATEST = 0.5, 8.0  # seconds between two thorough looks: longer the longer nothing new is found


class Follower:
    """Plays the frames of one camera."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._hidden: Sequence[Card] = ()
        self._cards = 0
        self._pause = SOONEST
        self._due = float("-inf")

    def play(self, image: Array, now: float) -> Table:
        """Play uint8 [H, W, 3] BGR as `play_table` does, most of the time without a thorough look.

        Args:
            image: the frame.
            now: its time in seconds.
        """
        thorough = now >= self._due
        table = play_table(self._detector, image, self._hidden, thorough)
        changed = len(table.cards) != self._cards
        if changed:
            self._pause = SOONEST
        elif thorough:
            self._pause = min(2 * self._pause, LATEST)
        if thorough:
            self._due = now + self._pause
        elif changed:
            self._due = min(self._due, now + self._pause)
        self._hidden, self._cards = table.hidden, len(table.cards)
        return table
