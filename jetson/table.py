"""Turns pictures with one or several cards into readings and matches: find the cards, read each, play."""

from itertools import combinations
from typing import List, NamedTuple, Optional, Tuple

from jetson.arrays import Array
from jetson.cards import Card, crop_card, find_cards
from jetson.detect import CardReading, Detections, Detector, Evidence
from jetson.game import Match, play


class Round(NamedTuple):
    """Two cards of a table and the match between them.

    Attributes:
        first: index of the one card.
        second: index of the other.
        match: with boxes in pixels of the whole picture.
    """

    first: int
    second: int
    match: Match


class Table(NamedTuple):
    """What is on a table.

    Attributes:
        cards: from left to right.
        readings: one for each card, boxes in pixels of the whole picture.
        rounds: one for each pair of cards, the most certain first.
        no_answer: why nothing was played, or None.
    """

    cards: List[Card]
    readings: List[CardReading]
    rounds: List[Round]
    no_answer: Optional[str]


def read_photo_of_card(detector: Detector, image: Array) -> CardReading:
    """Read a photo of one card, close up or on a table; boxes are in pixels of the photo.

    Where not exactly one card stands out from its surroundings, the photo is read as a whole.
    """
    cards = find_cards(image)
    return _read_card(detector, image, cards[0]) if len(cards) == 1 else detector.read(image)


def play_table(detector: Detector, image: Array) -> Table:
    """Find the cards on uint8 [H, W, 3] BGR and play every pair of them."""
    cards = sorted(find_cards(image), key=lambda card: card.centre)
    readings = detector.runner.each(lambda card: _read_card(detector, image, card), cards)
    if len(cards) < 2:
        seen = "no card" if not cards else "one card only"
        reason = "{} found: lay two whole cards apart from each other on a darker table".format(seen)
        return Table(cards, readings, [], reason)
    rounds = [
        Round(first, second, play(detector.bundle, readings[first], readings[second]))
        for first, second in combinations(range(len(cards)), 2)
    ]
    rounds.sort(key=lambda played: (played.match.no_answer is not None, -played.match.probability))
    return Table(cards, readings, rounds, None)


def _read_card(detector: Detector, image: Array, card: Card) -> CardReading:
    crop, offset = crop_card(image, card)
    detections, evidence = detector.read(crop)
    return CardReading(
        Detections(_shift(detections.boxes, offset), detections.scores, detections.labels),
        Evidence(evidence.probability, _shift(evidence.boxes, offset)),
    )


def _shift(boxes: Array, offset: Tuple[int, int]) -> Array:
    shifted = boxes.copy()
    shifted[:, 0::2] += offset[0]
    shifted[:, 1::2] += offset[1]
    return shifted
