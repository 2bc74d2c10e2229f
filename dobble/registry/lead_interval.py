"""Outcomes of two bundles on the same test photos to the interval in which their difference lies."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dobble.evaluation.outcomes import Outcomes

DRAWS, CONFIDENCE = 2000, 0.95
GAME = "game."


class Interval(NamedTuple):
    """Where the lead of one bundle over another lies, had other cards been photographed."""

    low: float
    high: float


def lead_interval(candidate: "Outcomes", rival: "Outcomes", metric: str, seed: int = 0) -> Interval | None:
    """Draw the test cards again and again, with replacement, and see how the lead in a metric varies.

    Both bundles get the same cards in each draw. A card is drawn with all of its photos, and with all pairs
    that it is in: photos of one card are no independent evidence, nor are pairs that share one.

    Args:
        candidate: how one bundle read the P photos and played the N pairs.
        rival: how the other one did.
        metric: its dotted name in `metrics.json`.
        seed: of the draws.

    Returns:
        Percentiles 2.5 and 97.5 of the candidate's lead. None if the two were not judged on the same photos
        and pairs, or if the metric is no sum over them (mean average precision is none).
    """
    ours, theirs = _parts(candidate, metric), _parts(rival, metric)
    if ours is None or theirs is None:
        return None
    if candidate.photos != rival.photos or not np.array_equal(candidate.pairs, rival.pairs):
        return None
    names, cards = np.unique(candidate.cards, return_inverse=True)
    generator = np.random.default_rng(seed)
    leads = []
    for _ in range(DRAWS):
        drawn = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        weights = drawn[cards]
        if metric.startswith(GAME):
            weights = weights[candidate.pairs[:, 0]] * weights[candidate.pairs[:, 1]]
        (ours_sum, ours_base), (theirs_sum, theirs_base) = (
            [float(weights @ part) for part in parts] for parts in (ours, theirs)
        )
        if ours_base and theirs_base:
            leads.append(ours_sum / ours_base - theirs_sum / theirs_base)
    if not leads:
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(leads, [tail, 100 - tail])
    return Interval(round(float(low), 6), round(float(high), 6))


def _parts(outcomes: "Outcomes", metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Give numerators and denominators whose sums make a metric: float64 [P], or [N] for one of the game."""
    if metric.startswith(GAME):
        won = outcomes.won.get(metric.removeprefix(GAME))
        return None if won is None else (won.astype(np.float64), np.ones(len(won)))
    right, wrong = outcomes.right.astype(np.float64), outcomes.wrong.astype(np.float64)
    if metric == "accuracy":
        return right, right + wrong
    return (outcomes.overlap, right) if metric == "mean_iou" else None
