"""Turns pictures with one or several cards into readings and matches: find the cards, read each, play."""

from itertools import combinations
from typing import List, NamedTuple, Optional, Sequence

from jetson.arrays import Array
from jetson.play.bundle import Bundle
from jetson.play.cards import Card
from jetson.play.detect import CardReading, Detector
from jetson.play.game import Match, play
from jetson.play.look import Seen, Sight, legible, look_for_cards, symbols_per_card


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
        hidden: those of the cards that have no clear outline.
    """

    cards: List[Card]
    readings: List[CardReading]
    rounds: List[Round]
    no_answer: Optional[str]
    hidden: Sequence[Card] = ()


def read_photo_of_card(detector: Detector, image: Array) -> CardReading:
    """Read a photo of one card, close up or on a table; boxes are in pixels of the photo.

    Where not exactly one card stands out from its surroundings, the photo is read as a whole.
    """
    seen = _only_card(detector, image)
    return detector.read(image) if seen is None else seen.reading


def play_table(detector: Detector, image: Array, hidden: Sequence[Card] = (), thorough: bool = True) -> Table:
    """Find the cards on uint8 [H, W, 3] BGR and play every pair of them.

    Args:
        detector: reads a card.
        image: the picture.
        hidden: cards without clear outlines that were on the frame before.
        thorough: look for cards that have no clear outlines, too.
    """
    return play_cards(detector.bundle, look_for_cards(detector, image, hidden, thorough))


def play_cards(bundle: Bundle, sight: Sight) -> Table:
    """Play every pair of the cards that were seen."""
    seen = sorted(sight.cards, key=lambda one: one.card.centre)
    cards, readings = [one.card for one in seen], [one.reading for one in seen]
    if len(cards) < 2:
        nothing = "no card" if not cards else "one card only"
        reason = "{} found: lay two whole cards apart from each other on a darker table".format(nothing)
        return Table(cards, readings, [], reason, sight.hidden)
    rounds = [
        Round(first, second, play(bundle, readings[first], readings[second]))
        for first, second in combinations(range(len(cards)), 2)
    ]
    rounds.sort(key=lambda played: (played.match.no_answer is not None, -played.match.probability))
    return Table(cards, readings, rounds, None, sight.hidden)


def _only_card(detector: Detector, image: Array) -> Optional[Seen]:
    outlined = look_for_cards(detector, image, thorough=False).cards
    if outlined:
        return outlined[0] if len(outlined) == 1 else None
    found = look_for_cards(detector, image).cards
    if len(found) != 1:
        return None
    symbols = symbols_per_card(len(detector.bundle.labels))
    height, width = image.shape[:2]
    everything = Card((0, 0, width, height), (width / 2.0, height / 2.0), (2.0 * width, 2.0 * height), 0.0)
    better = legible(found[0].card, found[0].reading.evidence, symbols)
    return found[0] if better > legible(everything, detector.read(image).evidence, symbols) else None
