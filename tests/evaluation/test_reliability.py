import math

import numpy as np
import pytest

from dobble.detector.game_accuracy import Answers
from dobble.evaluation.reliability import measure_reliability


def answers(probability, truth=None, answered=None):
    count = len(probability)
    return Answers(
        symbol=np.zeros(count, np.int64),
        probability=np.array(probability, np.float64),
        truth=np.array(probability if truth is None else truth, np.float64),
        answered=np.ones(count, bool) if answered is None else np.array(answered),
    )


def test_gap_between_what_is_shown_and_what_is_right_is_weighted_by_the_pairs():
    # .95 is right in one of two (gap .45), .55 is right (gap .45), .25 is wrong (gap .25).
    one = measure_reliability(answers([0.95, 0.95, 0.55, 0.25]), np.array([True, False, True, False]))
    assert one.ece == pytest.approx((2 * 0.45 + 0.45 + 0.25) / 4)
    assert one.count.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 0, 2]
    assert one.accuracy[[2, 5, 9]].tolist() == [0, 1, 0.5]
    assert one.confidence[[2, 5, 9]] == pytest.approx([0.25, 0.55, 0.95])
    assert np.isnan(one.accuracy[[0, 1, 3, 4, 6, 7, 8]]).all()


def test_honest_probabilities_have_no_calibration_error():
    one = measure_reliability(answers([0.75] * 4 + [1.0]), np.array([True, True, True, False, True]))
    assert one.ece == pytest.approx(0)
    assert one.count.tolist() == [0, 0, 0, 0, 0, 0, 0, 4, 0, 1]  # 1.0 lies in the last tenth


def test_likelihood_is_that_of_the_symbol_that_is_really_shared():
    said = answers([1, 0.5, 0.5, 0.75], truth=[1, 0.5, 0.5, 0.25])
    one = measure_reliability(said, np.array([True, True, True, False]))
    assert one.nll == pytest.approx(math.log(2))  # (0 + 1 + 1 + 2) / 4 halvings
    certain = measure_reliability(answers([1.0], truth=[0.0]), np.array([False]))
    assert certain.nll == pytest.approx(12 * math.log(10))  # wrong and certain, but no infinity


def test_share_of_wrong_answers_is_of_those_that_are_given():
    said = answers([0.9, 0.9, 0.8, 0.3], answered=[True, True, True, False])
    one = measure_reliability(said, np.array([True, True, False, False]))
    assert one.answered == 0.75
    assert one.wrong == pytest.approx(1 / 3)


def test_without_any_answer_no_share_of_them_is_wrong():
    one = measure_reliability(answers([0.3], answered=[False]), np.array([True]))
    assert one.answered == 0
    assert math.isnan(one.wrong)
