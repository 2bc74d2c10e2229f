from itertools import combinations

import numpy as np
import pytest

from jetson.play import game
from jetson.play.bundle import load_bundle
from jetson.play.detect import CardReading, Detections, Evidence


def seen(*pairs):
    """Make detections from (class id, score)."""
    scores, labels = (
        np.array([score for _, score in pairs], np.float32),
        np.array([label for label, _ in pairs]),
    )
    return Detections(np.zeros((len(pairs), 4), np.float32), scores, labels.astype(np.int64))


def reading(probability, shift=0.0):
    """Make a card's reading from the evidence for each symbol; boxes tell the symbols apart."""
    probability = np.array(probability, np.float64)
    boxes = np.array([[k, k, k + 1, k + 1] for k in range(len(probability))], np.float32) + np.float32(shift)
    found = [(k, score) for k, score in enumerate(probability) if score > 0.5]
    return CardReading(seen(*found), Evidence(probability, boxes))


def card(symbols, strong=0.9, weak=0.01):
    return [strong if symbol in symbols else weak for symbol in range(7)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([(0, 0.9), (1, 0.6)], [(1, 0.7), (2, 0.9)], 1),
        ([(0, 0.9), (1, 0.6)], [(0, 0.6), (1, 0.8)], 0),  # means 0.75 and 0.70
        ([(0, 0.6), (0, 0.9), (1, 0.8)], [(0, 0.7), (1, 0.75)], 0),  # the better of two boxes: 0.80 and 0.775
        ([(0, 0.9)], [(1, 0.9)], None),
        ([], [(1, 0.9)], None),
        ([], [], None),
    ],
)
def test_simple_rule_takes_the_highest_mean_of_what_both_show(first, second, expected):
    assert game.match_simple(seen(*first), seen(*second), 3) == expected


def test_joint_rule_is_the_normalised_product():
    # products 0.08, 0.24, 0.08 of sum 0.40
    posterior = game.match_joint(np.array([0.1, 0.3, 0.8]), np.array([0.8, 0.8, 0.1]), 1.0)
    np.testing.assert_allclose(posterior, [0.2, 0.6, 0.2], rtol=1e-9)


def test_joint_rule_sharpens_with_its_exponent():
    # squares 64, 576, 64 of sum 704
    posterior = game.match_joint(np.array([0.1, 0.3, 0.8]), np.array([0.8, 0.8, 0.1]), 2.0)
    np.testing.assert_allclose(posterior, np.array([64, 576, 64]) / 704.0, rtol=1e-9)


def test_joint_rule_survives_no_evidence_at_all():
    np.testing.assert_allclose(game.match_joint(np.zeros(4), np.zeros(4), 1.0), [0.25] * 4)


def test_incidence_marks_the_symbols_of_each_card(fano):
    table = game.incidence(fano, 7)
    assert table.dtype == bool
    assert [tuple(np.nonzero(row)[0]) for row in table] == list(fano)


def test_deck_rule_agrees_with_the_sum_over_all_pairs_of_different_cards(fano):
    random = np.random.RandomState(1)
    p1, p2 = random.rand(7), random.rand(7)
    weights = [
        np.array([np.prod([p[symbol] + 1e-4 for symbol in symbols]) for symbols in fano]) ** 0.7
        for p in (p1, p2)
    ]
    first, second = (weight / weight.sum() for weight in weights)
    expected = np.zeros(7)
    for a in range(7):
        for b in range(7):
            if a != b:
                (shared,) = set(fano[a]) & set(fano[b])
                expected[shared] += first[a] * second[b]
    posterior, same = game.match_deck(p1, p2, game.incidence(fano, 7), 0.7)
    np.testing.assert_allclose(posterior, expected / expected.sum(), rtol=1e-9)
    assert same == pytest.approx(1 - expected.sum())


def test_deck_rule_names_every_pair_of_the_fano_plane(fano):
    deck = game.incidence(fano, 7)
    for a in range(7):
        for b in range(7):
            posterior, same = game.match_deck(np.array(card(fano[a])), np.array(card(fano[b])), deck, 1.0)
            if a == b:
                assert same > 0.99
            else:
                assert {int(posterior.argmax())} == set(fano[a]) & set(fano[b])
                assert posterior.max() > 0.99
                assert same < 0.01


def test_deck_rule_finds_a_shared_symbol_that_neither_card_shows(fano):
    # Cards (0, 1, 2) and (0, 3, 4) with symbol 0 hidden on both: the other symbols give it away.
    posterior, _ = game.match_deck(
        np.array(card((1, 2))), np.array(card((3, 4))), game.incidence(fano, 7), 1.0
    )
    assert posterior.argmax() == 0
    assert posterior[0] > 0.9


def test_same_card_evidence_gives_finite_probabilities(fano):
    perfect = np.array(card(fano[0], strong=1.0, weak=0.0))
    posterior, same = game.match_deck(perfect, perfect, game.incidence(fano, 7), 4.0)
    assert posterior.sum() == pytest.approx(1)
    assert same == pytest.approx(1)


@pytest.mark.parametrize("with_deck", [True, False])
def test_play_names_symbol_probability_runner_up_and_boxes(write_bundle, fano, with_deck):
    bundle = load_bundle(write_bundle() if with_deck else write_bundle(deck=None))
    match = game.play(bundle, reading(card(fano[1])), reading(card(fano[3]), shift=10))
    assert (match.symbol, match.no_answer) == (3, None)
    assert 0.5 < match.probability <= 1
    assert 0 <= match.runner_up_probability < 0.5
    assert match.runner_up != 3
    np.testing.assert_allclose(match.boxes, [[3, 3, 4, 4], [13, 13, 14, 14]])


@pytest.mark.parametrize("with_deck", [True, False])
def test_one_weak_detection_does_not_lose_the_match(write_bundle, fano, with_deck):
    bundle = load_bundle(write_bundle() if with_deck else write_bundle(deck=None))
    weak = card(fano[1], weak=0.001)
    weak[3] = 0.2  # the shared symbol, far below the score threshold
    first, second = reading(weak), reading(card(fano[3], weak=0.001))
    assert game.match_simple(first.detections, second.detections, 7) is None
    match = game.play(bundle, first, second)
    assert (match.symbol, match.no_answer) == (3, None)


@pytest.mark.parametrize(("blank", "place"), [(0, "first"), (1, "second")])
def test_a_card_without_any_symbol_gives_no_answer(write_bundle, fano, blank, place):
    readings = [reading(card(fano[0])), reading(card(fano[1]))]
    readings[blank] = reading([0.01] * 7)
    match = game.play(load_bundle(write_bundle()), *readings)
    assert match.no_answer == "no symbol seen on the {} card".format(place)


@pytest.mark.parametrize("with_deck", [True, False])
def test_one_card_seen_twice_gives_no_answer(write_bundle, fano, with_deck):
    bundle = load_bundle(write_bundle() if with_deck else write_bundle(deck=None))
    match = game.play(bundle, reading(card(fano[2])), reading(card(fano[2], strong=0.8)))
    assert match.no_answer == "both pictures show the same card"


def test_a_close_race_gives_no_answer_and_names_both(write_bundle):
    # products 0.36 and 0.24 of sum 0.60, but a match must have 70 %
    bundle = load_bundle(
        write_bundle(deck=None, thresholds={"score": 0.5, "nms_iou": 0.5, "match_probability": 0.7})
    )
    match = game.play(bundle, reading([0.6, 0.6, 0, 0, 0, 0, 0]), reading([0.6, 0.4, 0, 0, 0, 0.9, 0]))
    assert match.no_answer == "too unsure: anchor 60 %, bird 40 %"
    assert (match.symbol, match.runner_up) == (0, 1)
    assert match.probability == pytest.approx(0.6)
    assert match.runner_up_probability == pytest.approx(0.4)


def test_a_deck_explains_its_own_card_better_than_any_three_symbols_and_another_card_worse(fano):
    deck = game.incidence(fano, 7)
    own = np.array(card(fano[0], strong=1.0, weak=0.0))
    # its card 1 and the other six 0.01 squared each, in the mean of 7; all 35 sets of three: 1 + 12 of 0.01,
    # 18 of 0.0001 and 4 of 0.000001
    expected = np.log((1 + 6e-4) / 7) - np.log((1 + 12e-2 + 18e-4 + 4e-6) / 35)
    assert game.deck_fit(own, deck) == pytest.approx(expected, rel=1e-9)
    other = next(three for three in combinations(range(7), 3) if three not in set(fano))
    # three cards have two of its symbols, three have one, one has none
    expected = np.log((3e-2 + 3e-4 + 1e-6) / 7) - np.log((1 + 12e-2 + 18e-4 + 4e-6) / 35)
    assert game.deck_fit(np.array(card(other, 1.0, 0.0)), deck) == pytest.approx(expected, rel=1e-9)


def test_a_wrong_deck_is_never_worse_than_none(write_bundle):
    """Every pair of cards of another deck, read perfectly, is answered as without a deck."""
    bundle = load_bundle(write_bundle())
    swapped = {0: 1, 1: 0}
    others = [tuple(sorted(swapped.get(symbol, symbol) for symbol in symbols)) for symbols in bundle.deck]
    foreign = [symbols for symbols in others if symbols not in set(bundle.deck)]
    assert len(foreign) == 4  # of the lines through one of the two points, all but the one through both
    for first, second in combinations(foreign, 2):
        readings = reading(card(first)), reading(card(second))
        played = game.play(bundle, *readings)
        assert played.rule == game.JOINT
        alone = game.play(bundle._replace(deck=None), *readings)
        assert (played.symbol, played.probability, played.no_answer) == (
            alone.symbol, alone.probability, alone.no_answer,
        )  # fmt: skip


def test_calibration_finds_the_exponent_that_makes_three_of_four_a_probability_of_three_quarters():
    # Odds of 2 in the evidence, right in 3 of 4 cases: 2 ** k = 3 at k = log 3 / log 2.
    evidence = np.log(np.array([[2.0, 1.0]] * 4))
    exponent = game.calibrate(evidence, np.array([0, 0, 0, 1]))
    assert exponent == pytest.approx(np.log(3) / np.log(2), abs=1e-3)


def test_calibration_of_what_is_always_right_stays_at_its_bound():
    evidence = np.log(np.array([[2.0, 1.0]] * 4))
    assert game.calibrate(evidence, np.zeros(4, int), highest=1.0) == pytest.approx(1.0, abs=1e-3)


def test_evidence_of_many_cards_at_once_is_that_of_each(fano):
    probability = np.random.RandomState(0).rand(5, 7)
    deck = game.incidence(fano, 7)
    together = game.card_evidence(probability, deck)
    assert together.shape == (5, 7)
    np.testing.assert_allclose(together[2], game.card_evidence(probability[2], deck))
    assert together[0, 0] == pytest.approx(np.log(probability[0, :3] + 1e-4).sum())
