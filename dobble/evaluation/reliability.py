"""What a rule answers on played pairs to how far the probabilities that it shows can be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dobble.detector.game_accuracy import Answers

BINS = 10
_TINY = 1e-12


@dataclass(frozen=True)
class Reliability:
    """The shown probabilities beside what came true (Guo et al., "On Calibration", 2017).

    Attributes:
        count: int64 [10], pairs whose probability lies in each tenth of [0, 1].
        confidence: float64 [10], their mean probability; NaN where there are none.
        accuracy: float64 [10], the share of them that is right; NaN where there are none.
        ece: expected calibration error, the mean gap of the two, weighted by the counts.
        nll: mean negative logarithm of the probability of the symbol that is really shared.
        answered: share of the pairs that the device answers.
        wrong: share of these answers that is wrong; NaN if it answers none.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    ece: float
    nll: float
    answered: float
    wrong: float


def measure_reliability(answers: Answers, right: NDArray[np.bool_]) -> Reliability:
    """Compare the probabilities of N pairs, one or more, with which of them are right.

    Args:
        answers: what a rule says.
        right: bool [N], whether the named symbol is the shared one.
    """
    count, confidence, accuracy = _binned(answers.probability, right)
    answered = answers.answered
    return Reliability(
        count=count,
        confidence=confidence,
        accuracy=accuracy,
        ece=calibration_error(answers.probability, right),
        nll=float(-np.log(np.maximum(answers.truth, _TINY)).mean()),
        answered=float(answered.mean()),
        wrong=float((~right[answered]).mean()) if answered.any() else float("nan"),
    )


def calibration_error(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean gap, over tenths of [0, 1], between shown probabilities [N] and what came true."""
    count, confidence, accuracy = _binned(probability, right)
    return float(np.nansum(np.abs(confidence - accuracy) * count) / len(right))


def _binned(
    probability: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count, mean probability and share that is right of each tenth; NaN where there are none."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    known = np.maximum(count, 1)
    empty = np.where(count > 0, 0.0, np.nan)
    return (
        count,
        np.bincount(place, probability, BINS) / known + empty,
        np.bincount(place, right, BINS) / known + empty,
    )
