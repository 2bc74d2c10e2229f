"""Chance into the tops of tables that cards are photographed on."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dobble.sample.symbols import Floats, Pixels

Plane = npt.NDArray[np.float32]


def table_top(width: int, height: int, darkest: float, lightest: float, rng: np.random.Generator) -> Pixels:
    """Return cloth, wood, a pattern or clutter: uint8 [H,W,3] BGR.

    Args:
        width: pixels.
        height: pixels.
        darkest: least grey value of the base colours, 0 to 255.
        lightest: greatest grey value of the base colours, 0 to 255.
        rng: all chance comes from it.
    """
    kind, side = rng.integers(4), max(width, height)
    base = any_colour(darkest, lightest, rng)
    x = np.arange(side, dtype=np.float32)
    y = x[:, None]
    if kind == 0:
        grain = 14 * sum(_noise(cells, cells, side, rng) for cells in (4, 12, 40, 120))
        dye = _noise(5, 5, side, rng)
        planes = [
            shade + grain + share * dye for shade, share in zip(base, rng.uniform(-8, 8, 3), strict=True)
        ]
    elif kind == 1:
        rings = y / side * rng.uniform(8, 25) + 0.6 * _noise(9, 5, side, rng)
        veins = np.sin(2 * np.pi * rings) * rng.uniform(6, 20) + 5 * _noise(240, 12, side, rng)
        light = rng.uniform(0.5, 1.3) * min(lightest / 205, 1)
        planes = [shade * light + share * veins for shade, share in ((65, 0.6), (105, 0.8), (150, 1.0))]
    elif kind == 2:
        step, angle = rng.uniform(20, 90), rng.uniform(0, np.pi)
        along, across = np.cos(angle) / step, np.sin(angle) / step
        stripes = np.floor(x * along + y * across)
        if rng.uniform() < 0.5:
            stripes += np.floor(y * along - x * across)
        odd = stripes - 2 * np.floor(stripes / 2)
        planes = [a + (b - a) * odd for a, b in zip(base, any_colour(darkest, lightest, rng), strict=True)]
    else:
        return _clutter(width, height, base, lightest, rng)
    return np.asarray(cv2.merge([as_bytes(plane[:height, :width]) for plane in planes]), np.uint8)


def plain(width: int, height: int, colour: Floats | Sequence[float]) -> Pixels:
    """Return an image uint8 [H,W,3] of one BGR colour."""
    image = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(image, (0, 0), (width, height), list(colour), cv2.FILLED)
    return image


def any_colour(darkest: float, lightest: float, rng: np.random.Generator) -> Floats:
    """Return a BGR colour, mostly a muted one, about a grey value between two."""
    colour: Floats = np.clip(
        rng.uniform(darkest, lightest) + rng.uniform(-1, 1, 3) * rng.uniform(5, 70), 0, 255
    )
    return colour


def as_bytes(plane: Plane) -> Pixels:
    """Cut values off at 0 and 255."""
    return np.clip(plane, 0, 255).astype(np.uint8)


def _clutter(width: int, height: int, base: Floats, lightest: float, rng: np.random.Generator) -> Pixels:
    image = plain(width, height, base)
    for _ in range(rng.integers(10, 40)):
        shape = rng.uniform(0, max(width, height), 2) + rng.uniform(-90, 90, (rng.integers(3, 6), 2))
        colour = rng.uniform(0, min(lightest * 1.2, 255), 3).tolist()
        cv2.fillPoly(image, [shape.astype(np.int32)], colour, cv2.LINE_AA)
    return image


def _noise(rows: int, columns: int, side: int, rng: np.random.Generator) -> Plane:
    cells = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
