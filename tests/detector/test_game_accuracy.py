import tracemalloc

import numpy as np
import pytest

from dobble.deck.mathematics import make_deck
from dobble.detector.game_accuracy import MOST_PAIRS, play_pairs, shared_pairs
from jetson.play.bundle import Bundle, Calibration, Thresholds
from jetson.play.detect import CardReading, Detections, Evidence

CARDS = [{0, 1}, {0, 2}, {1, 2}]  # any two share one symbol
DECK = ((0, 1), (0, 2), (1, 2))


def bundle(deck=None, match_probability=0.0):
    return Bundle(
        folder="",
        model="",
        model_sha256="",
        labels=("anchor", "bird", "cactus", "dog", "eye", "fire", "ghost"),
        deck=deck,
        input_name="input_0",
        input_size=320,
        anchors=1,
        thresholds=Thresholds(0.5, 0.5, match_probability),
        calibration=Calibration(1.0, 1.0),
        manifest={},
    )


def reading(seen, probability):
    """What was detected, as (label, score) and best first, and the evidence for each symbol."""
    scores = np.array([score for _, score in seen], dtype=np.float32)
    labels = np.array([label for label, _ in seen], dtype=np.int64)
    detections = Detections(np.zeros((len(seen), 4), np.float32), scores, labels)
    return CardReading(
        detections, Evidence(np.array(probability), np.zeros((len(probability), 4), np.float32))
    )


@pytest.fixture
def readings():
    return [
        reading([(0, 0.9)], [0.9, 0.4, 0.01]),
        reading([(0, 0.8), (2, 0.7)], [0.8, 0.01, 0.7]),
        reading([(2, 0.9), (1, 0.8)], [0.6, 0.8, 0.9]),
    ]


def cards_of_a_deck(photos):
    """Class ids on photos of all 57 cards, over and over."""
    deck = make_deck([f"s{number:02d}" for number in range(57)])
    ids = {name: number for number, name in enumerate(deck.symbols)}
    return [{ids[name] for name in deck.cards[photo % 57]} for photo in range(photos)]


def test_pairs_are_those_whose_cards_share_one_symbol():
    twice = [*CARDS, {0, 1}]  # the first card again: shares two symbols with itself
    expected = [[0, 1, 0], [0, 2, 1], [1, 2, 2], [1, 3, 0], [2, 3, 1]]
    assert shared_pairs(twice).tolist() == expected


@pytest.mark.parametrize("cards", [[], [{0, 1}], [{0, 1}, set()], [set(), set()]])
def test_single_photo_makes_no_pair(cards):
    assert shared_pairs(cards).shape == (0, 3)


def test_every_pair_is_there_as_long_as_they_are_few():
    cards = cards_of_a_deck(200)
    expected = [
        [first, second, *cards[first] & cards[second]]
        for first in range(200)
        for second in range(first + 1, 200)
        if len(cards[first] & cards[second]) == 1
    ]
    assert shared_pairs(cards).tolist() == expected


def test_of_many_photos_a_part_of_the_pairs_is_drawn_that_is_always_the_same_in_little_memory():
    cards = cards_of_a_deck(10_000)
    tracemalloc.start()
    pairs = shared_pairs(cards)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    # Of the pairs drawn, 1 in 57 is of one card twice.
    assert len(pairs) == pytest.approx(MOST_PAIRS * 56 / 57, rel=0.01)
    assert len({(first, second) for first, second, _ in pairs.tolist()}) == len(pairs)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert all(cards[first] & cards[second] == {symbol} for first, second, symbol in pairs.tolist())
    assert np.bincount(pairs[:, :2].ravel() // 1000).min() > 3500  # 4,000 each if drawn evenly
    np.testing.assert_array_equal(shared_pairs(cards), pairs)


def test_game_of_a_single_photo_is_won_by_nobody():
    game = play_pairs(bundle(DECK), CARDS[:1], [reading([], [0, 0, 0])])
    assert game.accuracy == {"simple": 0, "joint": 0, "deck": 0}


def test_each_rule_wins_the_pairs_that_its_view_allows():
    # Naive: 0-1 and 1-2 are won; 0-2 has no symbol detected on both.
    # Joint: 0-1 .80, 1-2 .70 are won; 0-2 names symbol 0 (1.0 * .4) before 1 (.4 * .9).
    # Deck: the cards are told apart, so all are won.
    plane = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))
    seen = [
        reading([(0, 0.9), (2, 0.9)], [1.0, 0.4, 1.0, 0.0, 0.0, 0.0, 0.0]),
        reading([(4, 0.9), (0, 0.8), (3, 0.7)], [0.8, 0.0, 0.0, 0.7, 0.9, 0.0, 0.0]),
        reading([(3, 0.9), (5, 0.9), (1, 0.8)], [0.4, 0.9, 0.0, 1.0, 0.0, 1.0, 0.0]),
    ]
    game = play_pairs(bundle(plane), [set(plane[0]), set(plane[1]), set(plane[3])], seen)
    assert game.pairs.tolist() == [[0, 1, 0], [0, 2, 1], [1, 2, 3]]
    assert {rule: won.tolist() for rule, won in game.won.items()} == {
        "simple": [True, False, True],
        "joint": [True, False, True],
        "deck": [True, True, True],
    }
    assert game.accuracy == {"simple": pytest.approx(2 / 3), "joint": pytest.approx(2 / 3), "deck": 1}


def test_probabilities_are_those_that_the_device_shows(readings):
    joint = play_pairs(bundle(match_probability=0.6), CARDS, readings).joint
    # Products of the evidence: .72 .004 .007; .54 .32 .009; .48 .008 .63
    assert joint.symbol.tolist() == [0, 0, 2]
    np.testing.assert_allclose(joint.probability, [0.72 / 0.731, 0.54 / 0.869, 0.63 / 1.118], rtol=1e-6)
    np.testing.assert_allclose(joint.truth, [0.72 / 0.731, 0.32 / 0.869, 0.63 / 1.118], rtol=1e-6)
    assert joint.answered.tolist() == [True, True, False]  # .985, .621 and .564


def test_unknown_deck_gives_no_number_for_it(readings):
    game = play_pairs(bundle(), CARDS, readings)
    assert game.deck is None
    assert list(game.accuracy) == ["simple", "joint"]


def test_weak_trace_wins_by_joint_evidence_what_the_naive_rule_loses():
    weak = [
        reading([(0, 0.9)], [0.9, 0.3, 0.01]),
        reading([(2, 0.9)], [0.2, 0.01, 0.9]),
        reading([(2, 0.9), (1, 0.9)], [0.01, 0.9, 0.9]),
    ]
    accuracy = play_pairs(bundle(), CARDS, weak).accuracy
    assert accuracy == {"simple": pytest.approx(1 / 3), "joint": 1}
