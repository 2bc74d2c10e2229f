"""Gives a card's print the brightness that a network reads best, whatever the camera's tone curve."""

import cv2
import numpy as np

from jetson.arrays import Array

SIDE = 96  # pixels of the small picture that is looked at
WITHIN = 0.35  # radius of the disc that is, in sides: within a card that `crop_card` has cut out
PAPER = 0.9  # so much of a card is no brighter than its paper
INK = 0.8  # of the paper's brightness: what is darker is print
FEWEST = 20  # pixels of the disc, that print must have
WEAKEST, STRONGEST = 0.6, 2.4  # exponents of the curve

_AWAY = np.arange(SIDE) - (SIDE - 1) / 2.0
_DISC = np.hypot(_AWAY, _AWAY[:, None]) < WITHIN * SIDE
_LEVELS = np.arange(256) / 255.0


def even_tone(image: Array, tone: float) -> Array:
    """Bend the brightness of uint8 [H, W, 3] so that the print of the card in its middle has a given one.

    Cameras, and their settings, differ most in this: the same green is dark on one and pale on the other.

    Args:
        image: a card, cut out.
        tone: median brightness of its print to that of its paper, in (0, 1).

    Returns:
        The same picture if it has hardly any print.
    """
    seen = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[_DISC].sum(axis=1)
    paper = int(np.sort(seen)[int(PAPER * len(seen))])
    ink = seen[seen < INK * paper]
    if len(ink) < FEWEST:
        return image
    exponent = np.log(tone) / np.log(max(float(np.median(ink)) / paper, 1e-3))
    curve = 255 * _LEVELS ** min(max(float(exponent), WEAKEST), STRONGEST)
    evened: Array = cv2.LUT(image, curve.astype(np.uint8))
    return evened
