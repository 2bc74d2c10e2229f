"""Turns the times of interleaved blocks into the runtime that serves, those that follow it, and the reason.

A board that warms up slows down half-way, so two runtimes are only ever compared within a pair of blocks that
ran next to each other, and the middle of these pairs decides: on 300 simulated boards that heat up, comparing
the medians of all blocks together called a winner among equals in 42 of 100 (in 24 if it also had to win 3 of
4 pairs), the pairs in none.
"""

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

ROUNDS = 4
MARGIN = 0.03  # smaller differences are a tie
MARGIN_TO_CHANGE = 0.05  # an earlier choice on the same device stays unless it is beaten by more
SHARE_OF_PAIRS = 0.75  # that the faster one has to win
# Among equals: what needs the least of the board comes first.
PREFERENCE = (
    "tensorrt-fp16",
    "tensorrt-fp32",
    "onnxruntime-tensorrt",
    "onnxruntime-cuda",
    "onnxruntime-cpu",
)


class Measured(NamedTuple):
    """What one candidate showed.

    Attributes:
        blocks: milliseconds of each inference, a list for each round.
        memory_mb: peak memory of its process.
    """

    blocks: List[List[float]]
    memory_mb: float


class Verdict(NamedTuple):
    """The decision: who serves, who follows, and why."""

    order: List[str]
    reason: str


def schedule(names: Sequence[str], rounds: int = ROUNDS) -> List[List[str]]:
    """Return the order of the blocks of each round: A B, B A, B A, A B, and the like for more than two.

    Every round is followed by its mirror image, so that what drifts slowly weighs on all alike; the next two
    start elsewhere in the row, so that not always the same one runs after the same other.
    """
    order: List[List[str]] = []
    for number in range(rounds):
        turn = (number // 2) * ((len(names) + 1) // 2) % max(len(names), 1)
        row = list(names[turn:]) + list(names[:turn])
        order.append(row if number % 2 == 0 else row[::-1])
    return order


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share (0 to 100) of all values does not exceed."""
    return float(np.percentile(np.asarray(values, np.float64), share))


def pooled(measured: Measured, share: float) -> float:
    """Return a percentile of all blocks together."""
    return percentile([value for block in measured.blocks for value in block], share)


def lead(first: Measured, second: Measured) -> Tuple[float, int]:
    """Compare two candidates pair of blocks by pair of blocks.

    Returns:
        How much less time the first needs, as a share of the second's, in the middle of the pairs; and in how
        many pairs it was the faster one.
    """
    medians = [[percentile(block, 50) for block in one.blocks] for one in (first, second)]
    ratios = np.divide(medians[0], medians[1])
    return 1.0 - float(np.median(ratios)), int((ratios < 1.0).sum())


def beats(first: Measured, second: Measured, margin: float = MARGIN) -> bool:
    """Tell whether the first is faster by more than the margin, and in at least 3 of 4 pairs of blocks."""
    gain, won = lead(first, second)
    return gain > margin and won >= math.ceil(SHARE_OF_PAIRS * len(first.blocks))


def decide(candidates: Dict[str, Measured], earlier: Optional[str] = None) -> Verdict:
    """Rank the candidates that may serve.

    Args:
        candidates: at least one, each with the same number of blocks.
        earlier: the winner of an earlier benchmark of the same model and versions on the same board.
    """
    remaining = dict(candidates)
    winner, reason = _best(remaining)
    challenged = earlier is not None and earlier in candidates and earlier != winner
    if challenged and not beats(candidates[winner], candidates[earlier], MARGIN_TO_CHANGE):
        told = "{} stays as chosen before: {}; a change needs more than {:.0f} %"
        compared = _compared(winner, earlier, candidates)
        winner, reason = earlier, told.format(earlier, compared, 100 * MARGIN_TO_CHANGE)
    order = [winner]
    del remaining[winner]
    while remaining:
        order.append(_best(remaining)[0])
        del remaining[order[-1]]
    return Verdict(order, reason)


def _best(candidates: Dict[str, Measured]) -> Tuple[str, str]:
    names = sorted(candidates, key=_preference)
    unbeaten = [
        name
        for name in names
        if not any(beats(candidates[other], candidates[name]) for other in names if other != name)
    ]
    if len(names) == 1:
        return names[0], "{} is the only one that may serve here".format(names[0])
    if len(unbeaten) == 1:
        best = unbeaten[0]
        second = min((name for name in names if name != best), key=lambda name: pooled(candidates[name], 50))
        return best, _compared(best, second, candidates)
    return _break_tie({name: candidates[name] for name in unbeaten or names})


def _break_tie(equals: Dict[str, Measured]) -> Tuple[str, str]:
    """Choose by lower p90, then by lower memory, then by the fixed order."""
    names = sorted(equals, key=_preference)
    told = "{} are equally fast (within {:.0f} %)".format(" and ".join(names), 100 * MARGIN)
    measures = (
        ("p90", {name: pooled(equals[name], 90) for name in names}),
        ("memory", {name: equals[name].memory_mb for name in names}),
    )
    for measure, values in measures:
        least = min(values[name] for name in names)
        names = [name for name in names if values[name] * (1.0 - MARGIN) <= least]
        if len(names) == 1:
            return names[0], "{}; {} has the lower {}".format(told, names[0], measure)
    return names[0], "{}, in p90 and memory too; {} comes first by the fixed order".format(told, names[0])


def _compared(first: str, second: str, candidates: Dict[str, Measured]) -> str:
    gain, won = lead(candidates[first], candidates[second])
    told = "{} needs {:.1f} % {} time than {} and is faster in {} of {} pairs of blocks"
    more_or_less = "less" if gain >= 0 else "more"
    return told.format(first, 100 * abs(gain), more_or_less, second, won, len(candidates[first].blocks))


def _preference(name: str) -> Tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE)), name
