import numpy as np
import pytest

from dobble.detector.game import game_accuracy, shared_pairs
from jetson.detect import Detections

CARDS = [{0, 1}, {0, 2}, {1, 2}]  # any two share one symbol
DECK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)


def found(*seen):
    """Detections as (label, score), best first."""
    scores = np.array([score for _, score in seen], dtype=np.float32)
    labels = np.array([label for label, _ in seen], dtype=np.int64)
    return Detections(np.zeros((len(seen), 4), np.float32), scores, labels)


def test_pairs_are_those_whose_cards_share_one_symbol():
    twice = [*CARDS, {0, 1}]  # the first card again: shares two symbols with itself
    expected = [[0, 1, 0], [0, 2, 1], [1, 2, 2], [1, 3, 0], [2, 3, 1]]
    assert shared_pairs(twice).tolist() == expected


def test_single_photo_makes_no_pair():
    assert shared_pairs([{0, 1}]).shape == (0, 3)
    accuracy = game_accuracy([{0, 1}], [found()], np.zeros((1, 3)), 0.5, deck=DECK)
    assert (accuracy.pairs, accuracy.simple, accuracy.joint, accuracy.deck) == (0, 0, 0, 0)


def test_each_rule_wins_the_pairs_that_its_view_allows():
    detections = [
        found((0, 0.9), (1, 0.4)),  # symbol 1 is below the threshold
        found((0, 0.8), (2, 0.7)),
        found((2, 0.9), (1, 0.8)),
    ]
    evidence = np.array([[0.9, 0.4, 0.01], [0.8, 0.01, 0.7], [0.6, 0.8, 0.9]])
    # Naive: 0-1 and 1-2 are won; 0-2 has no symbol detected on both.
    # Joint: 0-1 .72, 1-2 .63 are won; 0-2 names symbol 0 (.9 * .6) before 1 (.4 * .8).
    # Deck: the cards are told apart, so all are won.
    accuracy = game_accuracy(CARDS, detections, evidence, 0.5, deck=DECK)
    assert accuracy.pairs == 3
    assert accuracy.simple == pytest.approx(2 / 3)
    assert accuracy.joint == pytest.approx(2 / 3)
    assert accuracy.deck == 1


def test_unknown_deck_gives_no_number_for_it():
    assert game_accuracy(CARDS, [found()] * 3, np.eye(3), 0.5).deck is None


def test_weak_trace_wins_by_joint_evidence_what_the_naive_rule_loses():
    detections = [found((0, 0.9)), found((2, 0.9)), found((2, 0.9), (1, 0.9))]
    evidence = np.array([[0.9, 0.3, 0.01], [0.2, 0.01, 0.9], [0.01, 0.9, 0.9]])
    accuracy = game_accuracy(CARDS, detections, evidence, 0.5)
    assert accuracy.simple == pytest.approx(1 / 3)
    assert accuracy.joint == 1
