import numpy as np
import pytest

from jetson.live.rounds import Rounds
from jetson.play.detect import CardReading, Detections, Evidence
from jetson.play.game import Match
from jetson.play.table import Round, Table

IMAGE = np.full((720, 1280, 3), 128, np.uint8)
BOXES = np.array([[10, 10, 60, 60], [1230, 670, 1280, 720]], np.float32)
PAIR, SWAPPED, OTHER = ((3, 0, 4), (3, 1, 5)), ((3, 1, 5), (3, 0, 4)), ((3, 0, 4), (3, 2, 6))


def table(cards, no_answer=None):
    """Return what two cards look like whose first symbol is the shared one."""
    readings = []
    for card in cards:
        labels = np.array(card, np.int64)
        evidence = Evidence(np.zeros(7), np.zeros((7, 4), np.float32))
        readings.append(CardReading(Detections(np.zeros((3, 4)), np.ones(3), labels), evidence))
    rounds = [Round(0, 1, Match(cards[0][0], 0.99, 1, 0.01, BOXES, no_answer, "deck"))] if cards else []
    return Table([], readings, rounds, None)


@pytest.fixture
def show():
    """Return a function that shows a table for so many frames of 0.1 s and returns the rounds."""
    rounds, clock = Rounds(), [0.0]

    def run(shown, frames):
        for _ in range(frames):
            clock[0] += 0.1
            rounds.update(shown, IMAGE, clock[0], 0.025)
        return rounds

    return run


def numbers(rounds):
    return [played.number for played in rounds.last()]


def test_a_pair_is_a_round_once_three_frames_agree(show):
    assert show(table(PAIR), 2).current is None
    rounds = show(table(PAIR), 1)
    assert (rounds.current.number, rounds.current.match.symbol, rounds.current.latency) == (1, 3, 0.025)
    assert rounds.current.picture.startswith(b"\xff\xd8")
    assert numbers(show(table(PAIR), 30)) == [1]


def test_frames_that_flicker_are_no_new_round(show):
    show(table(PAIR), 3)
    for _ in range(5):
        show(table(PAIR, no_answer="too unsure"), 4)
        show(table(OTHER), 2)
        rounds = show(table(PAIR), 2)
    assert numbers(rounds) == [1]
    assert rounds.current.number == 1


def test_cards_that_change_sides_are_the_same_pair(show):
    show(table(PAIR), 3)
    assert numbers(show(table(SWAPPED), 10)) == [1]


def test_another_card_with_the_same_symbol_is_a_new_round(show):
    show(table(PAIR), 3)
    assert numbers(show(table(OTHER), 3)) == [2, 1]


def test_a_pair_that_was_taken_away_and_laid_down_again_is_a_new_round(show):
    show(table(PAIR), 3)
    assert show(table(()), 12).current is None
    assert numbers(show(table(PAIR), 3)) == [2, 1]


def test_only_the_last_eight_rounds_are_kept(show):
    for turn in range(10):
        rounds = show(table((PAIR, OTHER)[turn % 2]), 3)
    assert numbers(rounds) == [10, 9, 8, 7, 6, 5, 4, 3]
    assert rounds.find(2) is None
    assert rounds.find(3).number == 3
