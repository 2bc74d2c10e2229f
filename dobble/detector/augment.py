"""A labelled photo to one window of a training input: turned, zoomed, shifted and in other light."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.params import AugmentationParams

VISIBLE_SHARE = 0.3
COARSEST, FINEST = 0.3, 0.9
FREE_SHIFT = 0.02
_LEVELS = np.arange(256) / 255
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_ACROSS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5  # cross product with the grey axis


def augment(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    input_size: int,
    window: int,
    params: AugmentationParams,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One random view of a photo.

    The photo is scaled as for the whole input, so symbols keep the size that the network will meet, but
    only a window around the labelled part is cut out: computing on the table around it would teach nothing.

    Only quarter turns: the box of a symbol that was turned by another angle is not known exactly, and inexact
    boxes cost more mAP than the variety gains. No flips: a mirrored symbol is another symbol.

    Args:
        image: uint8 [H, W, 3].
        boxes: float32 [N, 4], xyxy in pixels.
        input_size: side of the network's square input in pixels.
        window: side of the square view in pixels.
        params: how far the view may go.
        rng: the only source of chance.

    Returns:
        uint8 [window, window, 3], and float32 [N, 4] as shares of `input_size`; symbols that are hardly
        visible have boxes of zeros.
    """
    matrix, shift = _placement(image.shape[:2], boxes, input_size, window, params, rng)
    # warpAffine speaks of pixel centres, boxes of pixel borders: half a pixel lies between.
    centres = shift + matrix @ np.array([0.5, 0.5]) - 0.5
    border = [int(value) for value in rng.integers(0, 256, 3)]
    view = cv2.warpAffine(
        image,
        np.column_stack([matrix, centres]),
        (window, window),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
    return _relight(np.asarray(view, np.uint8), params, rng), _move(
        boxes, matrix, shift, window
    ) / np.float32(input_size)


def _placement(
    shape: tuple[int, ...],
    boxes: NDArray[np.float32],
    input_size: int,
    window: int,
    params: AugmentationParams,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix [2, 2] and shift [2] of a view inside the labelled part of the photo, or around it."""
    scale = input_size / max(shape) * rng.uniform(*params.zoom)
    turn = int(rng.integers(4))
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
    matrix = scale * np.array([[cosine, -sine], [sine, cosine]], np.float64)
    if len(boxes):
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    else:
        low, high = np.zeros(2), np.array(shape[::-1], np.float64)
    extent = float((high - low).max()) * scale * 1.1
    slack = abs(window - extent) / 2 + FREE_SHIFT * window
    centre = window / 2 + rng.uniform(-1, 1, 2) * slack
    return matrix, centre - matrix @ ((low + high) / 2)


def _move(
    boxes: NDArray[np.float32], matrix: NDArray[np.float64], shift: NDArray[np.float64], window: int
) -> NDArray[np.float32]:
    first, second = boxes[:, :2] @ matrix.T + shift, boxes[:, 2:] @ matrix.T + shift
    moved = np.concatenate([np.minimum(first, second), np.maximum(first, second)], 1)
    inside = moved.clip(0, window)
    visible = (inside[:, 2:] - inside[:, :2]).prod(1) / np.maximum(
        (moved[:, 2:] - moved[:, :2]).prod(1), 1e-9
    )
    inside[visible < VISIBLE_SHARE] = 0
    return np.asarray(inside, np.float32)


def _relight(
    image: NDArray[np.uint8], params: AugmentationParams, rng: np.random.Generator
) -> NDArray[np.uint8]:
    # Evenly in the logarithm: half and double are equally far from as it is.
    gamma = np.exp(rng.uniform(*np.log(params.gamma)))
    curve = _LEVELS**gamma * rng.uniform(*params.gain) * 255
    channels = rng.uniform(1 - params.channel_gain, 1 + params.channel_gain, 3)
    table = (curve[:, None] * channels).clip(0, 255).astype(np.uint8)
    lit = cv2.LUT(cv2.transform(image, _colours(params, rng)), table.reshape(256, 1, 3))
    if rng.uniform() < params.coarse_probability:
        lit = _coarsened(np.asarray(lit, np.uint8), rng)
    if rng.uniform() < params.blur_probability:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.4, 1.1))
    if rng.uniform() < params.noise_probability:
        noise = rng.standard_normal(lit.shape, np.float32) * np.float32(rng.uniform(2, 8))
        lit = np.clip(lit + noise, 0, 255).astype(np.uint8)
    return np.asarray(lit, np.uint8)


def _colours(params: AugmentationParams, rng: np.random.Generator) -> NDArray[np.float64]:
    """Matrix [3, 3] that turns hues about the grey axis and scales how far colours are from grey."""
    angle = np.deg2rad(rng.uniform(-params.hue, params.hue))
    saturation = rng.uniform(*params.saturation)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * _ACROSS + (1 - np.cos(angle)) / 3
    colours: NDArray[np.float64] = (saturation * np.eye(3) + (1 - saturation) * _LUMA) @ turn
    return colours


def _coarsened(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """As if the card had been small on the photo, of so many pixels less."""
    side = max(1, round(image.shape[0] * rng.uniform(COARSEST, FINEST)))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
