"""A photo and places on it to how much ink is there, and not around: symbols stand on the white of a card."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.data.annotations import LabelledBox
from dobble.errors import PhotoError

_SIDE = 480
_MARGIN = 0.15  # width of the ring around a box, as a share of its longer side
_NOISE = 8.0  # summed over three channels, what a camera adds to paper


def read_small(path: Path) -> NDArray[np.uint8]:
    """Decode a photo as OpenCV shows it, upright: uint8 [H, W, 3] BGR, at most 480 pixels a side.

    Raises:
        PhotoError: if it cannot be decoded.
    """
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise PhotoError(path, "is no picture that OpenCV can decode")
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def ink(image: NDArray[np.uint8], boxes: Sequence[LabelledBox], width: int) -> NDArray[np.float64]:
    """Compare how far the colours in each box, and in a narrow ring around it, stray from the ring's median.

    What lies outside the photo counts against a box.

    Args:
        image: uint8 [H, W, 3].
        boxes: in pixels of the photo.
        width: of the photo, of which `image` may be a smaller copy.

    Returns:
        float64 [N] in [-1, 1]: 1 for a symbol on plain paper, 0 where inside and around look alike, -1 for a
        box outside the photo.
    """
    scale = image.shape[1] / width
    return np.array([_contrast(image, box, scale) for box in boxes], np.float64)


def _contrast(image: NDArray[np.uint8], box: LabelledBox, scale: float) -> float:
    corners = np.array([box.left, box.top, box.left + box.width, box.top + box.height]) * scale
    margin = max(2.0, _MARGIN * scale * max(box.width, box.height))
    border = np.array(image.shape[1::-1] * 2)
    x1, y1, x2, y2 = np.rint(corners).clip(0, border).astype(int)
    left, top, right, bottom = (
        np.rint(corners + np.array([-1, -1, 1, 1]) * margin).clip(0, border).astype(int)
    )
    window = image[top:bottom, left:right].astype(np.float64)
    inside = np.zeros(window.shape[:2], bool)
    inside[y1 - top : y2 - top, x1 - left : x2 - left] = True
    outside = 1 - min(1.0, inside.sum() / (box.width * box.height * scale**2))
    if not inside.any() or inside.all():
        return -float(outside)
    stray = np.abs(window - np.median(window[~inside], axis=0)).sum(2)
    within, around = stray[inside].mean(), stray[~inside].mean()
    return float((1 - outside) * (within - around) / (within + around + _NOISE) - outside)
