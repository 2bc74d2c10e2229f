"""In which interval the lead of a bundle lies; all expected values are worked out by hand."""

import numpy as np
import pytest

from dobble.evaluation.outcomes import Outcomes
from dobble.registry.lead_interval import lead_interval


def outcomes(right: list[int], cards: list[int] | None = None, joint: list[int] | None = None) -> Outcomes:
    """One detection on each photo, right or wrong; every photo is played with the next ones."""
    count = len(right)
    pairs = np.array([(first, second) for first in range(count) for second in range(first + 1, count)])
    return Outcomes(
        photos=tuple(f"photo{number}" for number in range(count)),
        cards=np.array(cards or range(count)),
        right=np.array(right),
        wrong=1 - np.array(right),
        overlap=0.5 * np.array(right),
        pairs=pairs,
        won={} if joint is None else {"joint": np.array(joint, bool)},
    )


def test_lead_on_every_card_has_no_width() -> None:
    assert lead_interval(outcomes([1] * 6), outcomes([0] * 6), "accuracy") == (1, 1)


def test_no_difference_has_none_either() -> None:
    assert lead_interval(outcomes([1, 0, 1]), outcomes([1, 0, 1]), "accuracy") == (0, 0)


def test_lead_by_one_of_ten_cards_may_be_none() -> None:
    # How often the card is drawn is binomial(10, 0.1): 0 in 35 % of the draws, at most 3 in 98.7 %
    interval = lead_interval(outcomes([1] * 10), outcomes([0] + [1] * 9), "accuracy")
    assert interval == (0, 0.3)


def test_photos_of_one_card_are_drawn_together() -> None:
    # Two cards of five photos: the better one is drawn 0, 1 or 2 times, in a quarter, half, quarter of draws
    cards = [0] * 5 + [1] * 5
    better, worse = outcomes([1] * 10, cards), outcomes([0] * 5 + [1] * 5, cards)
    assert lead_interval(better, worse, "accuracy") == (0, 1)


def test_pair_weighs_by_how_often_both_cards_are_drawn() -> None:
    # Three cards, pairs 01, 02, 12; the first is won by the candidate only. Drawn cards without a pair
    # (3 of 27 draws) say nothing; the lead is w0 w1 over all pairs: 0, 1/3 or 1.
    interval = lead_interval(
        outcomes([1] * 3, joint=[1, 0, 0]), outcomes([1] * 3, joint=[0, 0, 0]), "game.joint"
    )
    assert interval == (0, 1)


def test_mean_overlap_is_one_of_the_right_ones() -> None:
    assert lead_interval(outcomes([1, 0, 1]), outcomes([1, 1, 1]), "mean_iou") == (0, 0)


@pytest.mark.parametrize("metric", ["mAP", "mAP50", "game.deck", "latency_ms"])
def test_what_is_no_sum_over_photos_or_pairs_has_no_interval(metric: str) -> None:
    assert lead_interval(outcomes([1, 1], joint=[1]), outcomes([0, 0], joint=[0]), metric) is None


def test_other_photos_are_not_compared() -> None:
    assert lead_interval(outcomes([1, 1, 1]), outcomes([1, 1]), "accuracy") is None


def test_bundle_that_never_finds_anything_has_no_interval() -> None:
    blind = outcomes([0, 0])
    blind.wrong[:] = 0
    assert lead_interval(outcomes([1, 1]), blind, "accuracy") is None
