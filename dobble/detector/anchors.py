"""Sizes of labelled symbols to the anchors and feature maps that fit them."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 320
FEATURE_MAPS = 6
FIRST_STRIDE = 16
_PLACES = 4
_FITTED_BOXES = 400


class AnchorSpec(NamedTuple):
    """Anchors of the first `len(scales) - 1` feature maps, as `DefaultBoxGenerator` takes them.

    Attributes:
        scales: anchor sides as shares of the input, ascending; map k has squares of `scales[k]` and of the
            geometric mean of `scales[k]` and `scales[k + 1]`.
        ratio: width to height of the flat anchor (the tall one is its inverse).
    """

    scales: tuple[float, ...]
    ratio: float


def fit_anchors(sizes: NDArray[np.float32]) -> AnchorSpec:
    """Scales and ratio whose shapes overlap best with the symbols, and as many maps as the symbols need.

    A feature map is used while its stride is at most half the side of a large symbol (95 % quantile):
    coarser cells cannot place the symbol, and anchors on them would match nothing.

    Args:
        sizes: float32 [N, 2], width and height of training boxes as shares of the square input.
    """
    # By lot, not by stride: boxes come in the order of cards that all have equally many symbols.
    sizes = np.random.default_rng(0).permutation(sizes)[:_FITTED_BOXES]
    large = float(np.quantile(np.sqrt(sizes.prod(1)), 0.95)) * INPUT_SIZE
    maps = sum(FIRST_STRIDE * 2**level <= large / 2 for level in range(FEATURE_MAPS))
    maps = max(1, maps)
    sides = np.sqrt(sizes.prod(1))
    scales = np.geomspace(np.quantile(sides, 0.05), np.quantile(sides, 0.99), maps + 1)
    ratio = 1.6
    best = _expected_overlap(sizes, scales, ratio)
    step = 1.15
    while step > 1.01:
        moved = False
        for index in range(maps + 2):
            for factor in (step, 1 / step):
                trial, trial_ratio = scales.copy(), ratio
                if index <= maps:
                    trial[index] *= factor
                else:
                    trial_ratio = max(1.05, ratio * factor)
                if (np.diff(trial) <= 0).any() or trial[-1] > 1:
                    continue
                overlap = _expected_overlap(sizes, trial, trial_ratio)
                if overlap > best + 1e-6:
                    scales, ratio, best, moved = trial, trial_ratio, overlap, True
        if not moved:
            step = math.sqrt(step)
    return AnchorSpec(tuple(round(float(scale), 4) for scale in scales), round(ratio, 4))


def _expected_overlap(sizes: NDArray[np.float32], scales: NDArray[np.float64], ratio: float) -> float:
    """Mean over boxes, wherever they lie in a cell, of the best IoU with an anchor of any map."""
    places = (np.indices((_PLACES, _PLACES)).reshape(2, -1).T + 0.5) / _PLACES - 0.5  # [P, 2]
    best = np.zeros((len(sizes), len(places)))
    root = math.sqrt(ratio)
    for level, (side, following) in enumerate(pairwise(scales)):
        offset = places * FIRST_STRIDE * 2**level / INPUT_SIZE
        middle = math.sqrt(side * following)
        for shape in ((side, side), (middle, middle), (side * root, side / root), (side / root, side * root)):
            low = np.maximum(-sizes[:, None] / 2, offset[None] - np.array(shape) / 2)
            high = np.minimum(sizes[:, None] / 2, offset[None] + np.array(shape) / 2)
            inter = (high - low).clip(0).prod(-1)
            union = sizes.prod(1)[:, None] + shape[0] * shape[1] - inter
            best = np.maximum(best, inter / union)
    return float(best.mean())
