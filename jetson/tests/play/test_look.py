import cv2
import numpy as np
import pytest

from jetson.play.bundle import load_bundle
from jetson.play.cards import Card
from jetson.play.detect import Detector, Evidence
from jetson.play.look import legible, look_for_cards, symbols_per_card
from jetson.runners.runner import Runner

COLOURS = {4: (200, 40, 40), 2: (40, 160, 40), 1: (40, 40, 200)}  # BGR of the symbols 4, 2 and 1
AWAY = np.hypot(*(np.indices((32, 32)) - 15.5))  # from the middle of the input; a card has a radius of 12.3
CARD = Card((0, 0, 200, 200), (100.0, 100.0), (200.0, 200.0), 1.0)


class SeesColours(Runner):
    """Sees a symbol where a spot of its colour is, as large as one is when a card fills the input."""

    def infer(self, batch):
        scores = np.full((4, 8), 0.01, np.float32)
        scores[:, 0] = 0.93
        boxes = np.zeros((4, 4), np.float32)
        picture = np.round(batch[0].transpose(1, 2, 0)[..., ::-1] * 127.5 + 127.5)
        for row, (symbol, colour) in enumerate(COLOURS.items()):
            ys, xs = np.nonzero((np.abs(picture - np.array(colour)).max(axis=2) < 60) & (AWAY < 12))
            if len(xs) > 4:
                low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()]) + 1
                boxes[row] = np.concatenate([low, high]) / 32.0
                scores[row, 1 + symbol] = 0.9 if 3 < (high - low).max() < 10 else 0.1
        return scores, boxes


@pytest.fixture
def detector(write_bundle):
    """A detector that sees the three colours as symbols."""
    return Detector(load_bundle(write_bundle()), SeesColours())


def lay(cards, colour=(60, 80, 70)):
    """Lay cards, given as (x, y, diameter), with three spots each on a table."""
    picture = np.full((720, 1280, 3), colour, np.uint8)
    for x, y, diameter in cards:
        cv2.circle(picture, (x, y), diameter // 2 + 3, (150, 150, 150), -1, cv2.LINE_AA)
    for x, y, diameter in cards:
        cv2.circle(picture, (x, y), diameter // 2, (240, 244, 246), -1, cv2.LINE_AA)
        for number, spot in enumerate(COLOURS.values()):
            angle = 2.1 * number
            place = (int(x + 0.3 * diameter * np.cos(angle)), int(y + 0.3 * diameter * np.sin(angle)))
            cv2.circle(picture, place, int(0.11 * diameter), spot, -1, cv2.LINE_AA)
    return picture


def lie_at(sight, *places):
    found = sorted(one.card.centre for one in sight.cards)
    return len(found) == len(places) and np.abs(np.array(found) - np.array(places)).max() < 12


def evidence_of(*symbols):
    """Evidence for (symbol, probability, box)."""
    probability, boxes = np.zeros(7), np.zeros((7, 4), np.float32)
    for symbol, sure, box in symbols:
        probability[symbol], boxes[symbol] = sure, box
    return Evidence(probability, boxes)


@pytest.mark.parametrize(("symbols", "expected"), [(57, 8), (31, 6), (13, 4), (7, 3), (3, 2), (1, 1)])
def test_a_card_has_as_many_symbols_as_its_deck_says(symbols, expected):
    assert symbols_per_card(symbols) == expected


def test_a_card_is_as_legible_as_symbols_are_expected_on_it():
    evidence = evidence_of(
        (0, 0.9, (50, 50, 80, 80)), (1, 0.6, (100, 50, 130, 80)), (2, 0.03, (50, 100, 80, 130))
    )
    assert legible(CARD, evidence, 3) == pytest.approx(0.5)


def test_two_symbols_at_one_place_count_once():
    evidence = evidence_of((0, 0.6, (50, 50, 80, 80)), (1, 0.5, (52, 50, 80, 80)))
    assert legible(CARD, evidence, 3) == pytest.approx(0.2)


def test_symbols_beside_the_card_do_not_count():
    evidence = evidence_of((0, 0.9, (-20, -20, 20, 20)), (1, 0.9, (95, 95, 105, 105)))
    assert legible(CARD, evidence, 3) == pytest.approx(0.3)


def test_cards_that_touch_are_found_by_what_is_on_them(detector):
    assert lie_at(look_for_cards(detector, lay([(400, 360, 260), (662, 360, 260)])), (400, 360), (662, 360))


def test_cards_on_a_white_table_are_found(detector):
    table = lay([(350, 300, 300), (900, 400, 300)], (246, 248, 250))
    assert lie_at(look_for_cards(detector, table), (350, 300), (900, 400))


def test_a_disc_without_symbols_is_no_card(detector):
    picture = lay([])
    cv2.circle(picture, (400, 360), 150, (240, 244, 246), -1, cv2.LINE_AA)
    assert look_for_cards(detector, picture).cards == []


def test_only_cards_without_an_outline_of_their_own_are_hidden(detector):
    sight = look_for_cards(detector, lay([(250, 360, 260), (700, 360, 260), (948, 360, 260)]))
    assert lie_at(sight, (250, 360), (700, 360), (948, 360))
    assert sorted(card.centre[0] for card in sight.hidden) == pytest.approx([700, 948], abs=12)


def test_without_a_thorough_look_cards_are_followed_and_no_others_found(detector):
    overlapping = lay([(400, 360, 260), (656, 360, 260)])
    assert look_for_cards(detector, overlapping, thorough=False).cards == []
    first = look_for_cards(detector, overlapping)
    moved = lay([(408, 364, 260), (664, 364, 260)])
    sight = look_for_cards(detector, moved, first.hidden, thorough=False)
    assert lie_at(sight, (408, 364), (664, 364))
