"""Turns the answers to frame after frame into rounds of the game: one for each new pair of cards."""

from collections import deque
from typing import Deque, FrozenSet, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.play.game import Match
from jetson.play.table import Table

AGREE = 3  # frames in a row that must tell the same before it counts
GONE_SECONDS = 1.0  # without an answer: then the same pair, laid down again, is a new round
KEPT = 8
SIDE = 112  # of a symbol's picture, in pixels

Pair = Tuple[int, FrozenSet[int], FrozenSet[int]]  # shared symbol, symbols seen on either card


class Round(NamedTuple):
    """One pair of cards that was played.

    Attributes:
        number: from 1.
        match: as of the frame that began the round.
        at: when that was, on the monotonic clock.
        latency: seconds from that frame's capture to its answer.
        picture: JPEG of the symbol as it is on both cards.
    """

    number: int
    match: Match
    at: float
    latency: float
    picture: bytes


class Rounds:
    """Tells a new pair of cards from one that is still there, through frames that flicker."""

    def __init__(self) -> None:
        self.current: Optional[Round] = None
        self._last: Deque[Round] = deque(maxlen=KEPT)
        self._pair: Optional[Pair] = None
        self._candidate: Optional[Pair] = None
        self._agreed = 0
        self._seen_at = 0.0

    def last(self) -> List[Round]:
        """Return the last rounds, newest first."""
        return list(self._last)[::-1]

    def find(self, number: int) -> Optional[Round]:
        """Return one of the last rounds by its number."""
        return next((played for played in self.last() if played.number == number), None)

    def update(self, table: Table, image: Array, now: float, latency: float) -> None:
        """Take in what is on the table now; `image` is the frame it was seen on."""
        answer = table.rounds[0] if table.rounds and table.rounds[0].match.no_answer is None else None
        if answer is None:
            self._agreed = 0
            if now - self._seen_at > GONE_SECONDS:
                self.current, self._pair = None, None
            return
        first, second = (table.readings[place].detections.labels for place in (answer.first, answer.second))
        pair = (answer.match.symbol, frozenset(first.tolist()), frozenset(second.tolist()))
        if self._pair is not None and _same(pair, self._pair):
            self._seen_at, self._agreed = now, 0
            return
        self._agreed = self._agreed + 1 if self._candidate and _same(pair, self._candidate) else 1
        self._candidate = pair
        if self._agreed >= AGREE:
            number = self._last[-1].number + 1 if self._last else 1
            picture = _picture(image, answer.match)
            self.current = Round(number, answer.match, now, latency, picture)
            self._last.append(self.current)
            self._pair, self._seen_at, self._agreed = pair, now, 0


def _same(pair: Pair, other: Pair) -> bool:
    """Tell whether two frames show the same two cards, which may have changed sides."""
    if pair[0] != other[0]:
        return False
    straight = _alike(pair[1], other[1]) and _alike(pair[2], other[2])
    return straight or (_alike(pair[1], other[2]) and _alike(pair[2], other[1]))


def _alike(symbols: FrozenSet[int], others: FrozenSet[int]) -> bool:
    return 2 * len(symbols & others) >= len(symbols | others)


def _picture(image: Array, match: Match) -> bytes:
    """Cut the symbol out of both cards, side by side as JPEG."""
    sides = [_square(image, box) for box in match.boxes]
    sides = [cv2.resize(side, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for side in sides]
    encoded = cv2.imencode(".jpg", np.hstack(sides), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return bytes(encoded.tobytes())


def _square(image: Array, box: Array) -> Array:
    height, width = image.shape[:2]
    side = min(1.2 * max(box[2] - box[0], box[3] - box[1], 8), width, height)
    left = min(max((box[0] + box[2] - side) / 2, 0), width - side)
    top = min(max((box[1] + box[3] - side) / 2, 0), height - side)
    return image[int(top) : int(top + side), int(left) : int(left + side)]
