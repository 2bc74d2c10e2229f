"""Turns a picture of one card into the symbols seen on it: preparation, network, decoding, suppression."""

from typing import TYPE_CHECKING, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.errors import PictureError
from jetson.play.bundle import Bundle
from jetson.play.tone import even_tone

if TYPE_CHECKING:
    from jetson.runners.runner import Runner

CANDIDATES = 1000  # boxes that enter the suppression, best first; a card has eight symbols
MIDDLE = np.float32(127.5)  # grey, and how far black and white are from it


class Transform(NamedTuple):
    """How a picture lies in the network's square input: scaled, then shifted; all in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int
    size: int

    def to_picture(self, boxes: Array) -> Array:
        """Map float [N, 4] xyxy in [0, 1] of the input to float32 pixels, clipped to the picture."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        pixels = (np.asarray(boxes, np.float32) * np.float32(self.size) - offset) / scale
        limit = np.array([self.width, self.height, self.width, self.height], np.float32)
        clipped: Array = np.minimum(np.maximum(pixels, 0), limit)
        return clipped


class Detections(NamedTuple):
    """Symbols seen on a card, best first.

    Attributes:
        boxes: float32 [N, 4], xyxy in pixels of the picture, within it.
        scores: float32 [N] in [0, 1].
        labels: int64 [N], class ids without the background.
    """

    boxes: Array
    scores: Array
    labels: Array


class Evidence(NamedTuple):
    """How likely each symbol is on a card, weak traces included.

    Attributes:
        probability: float64 [C] in [0, 1], the best anchor's for each symbol.
        boxes: float32 [C, 4], that anchor's box, xyxy in pixels of the picture.
    """

    probability: Array
    boxes: Array


class CardReading(NamedTuple):
    """All that the network says about one card."""

    detections: Detections
    evidence: Evidence


class Detector:
    """Reads cards with one bundle and one runner."""

    def __init__(self, bundle: Bundle, runner: "Runner") -> None:
        self.bundle = bundle
        self.runner = runner

    def read(self, image: Array) -> CardReading:
        """Read the card on a uint8 [H, W, 3] BGR picture.

        Raises:
            PictureError: the array is no such picture.
        """
        thresholds = self.bundle.thresholds
        batch, transform = prepare(image, self.bundle)
        scores, boxes = self.runner.infer(batch)
        detections = decode(scores, boxes, transform, thresholds.score, thresholds.nms_iou)
        return CardReading(detections, evidence(scores, boxes, transform))


def prepare(image: Array, bundle: Bundle) -> Tuple[Array, Transform]:
    """Bring a picture of a card to what a bundle's network reads best (result as of `letterbox`)."""
    _check(image)
    return letterbox(image if bundle.tone is None else even_tone(image, bundle.tone), bundle.input_size)


def letterbox(image: Array, size: int) -> Tuple[Array, Transform]:
    """Fit a picture into the network's square input, keeping its aspect and padding evenly with grey.

    Args:
        image: uint8 [H, W, 3] BGR.
        size: side of the input in pixels.

    Returns:
        float32 [1, 3, size, size] RGB, (value - 127.5) / 127.5, padding 0; and where the picture lies in it.

    Raises:
        PictureError: the array is no such picture.
    """
    _check(image)
    height, width = image.shape[:2]
    image = fit(image, size)
    new_height, new_width = image.shape[:2]
    left, top = (size - new_width) // 2, (size - new_height) // 2
    batch = (np.empty if new_width == new_height else np.zeros)((1, 3, size, size), np.float32)
    inside = batch[0, :, top : top + new_height, left : left + new_width]
    inside[2], inside[1], inside[0] = cv2.split(image)
    inside -= MIDDLE
    inside /= MIDDLE
    transform = Transform(
        scale_x=new_width / float(width),
        scale_y=new_height / float(height),
        left=left,
        top=top,
        width=width,
        height=height,
        size=size,
    )
    return batch, transform


def _check(image: Optional[Array]) -> None:
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        shape = None if image is None else "{} {}".format(image.dtype, image.shape)
        raise PictureError("picture", "is {}, not uint8 [H, W, 3] in BGR order".format(shape))


def fit(image: Array, size: int) -> Array:
    """Scale uint8 [H, W, 3] so that its longer side has so many pixels."""
    height, width = image.shape[:2]
    scale = size / float(max(height, width))
    new_size = max(1, round(width * scale)), max(1, round(height * scale))
    if new_size == (width, height):
        return image
    # Linear interpolation looks at 2x2 pixels only: beyond a factor of two it skips some, and lines alias.
    interpolation = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    fitted: Array = cv2.resize(image, new_size, interpolation=interpolation)
    return fitted


def decode(
    scores: Array,
    boxes: Array,
    transform: Transform,
    score_threshold: float,
    nms_iou: float,
    *,
    top: int = 100,
) -> Detections:
    """Turn the network's raw rows into detections: filter, clip, then greedy suppression symbol by symbol.

    Args:
        scores: float32 [A, 1 + C], column 0 is the background.
        boxes: float32 [A, 4], xyxy in [0, 1] of the input.
        transform: from `letterbox`.
        score_threshold: only higher scores count.
        nms_iou: of two boxes of one symbol that overlap by more, the weaker goes.
        top: at most so many detections are returned.
    """
    # One comparison of contiguous memory and a blanked column are faster than a comparison of a slice.
    above = scores > score_threshold
    above[:, 0] = False
    anchors, columns = np.divmod(np.flatnonzero(above), scores.shape[1])
    labels, confidence = columns - 1, scores[anchors, columns]
    order = np.argsort(-confidence, kind="mergesort")[:CANDIDATES]
    anchors, labels, confidence = anchors[order], labels[order], confidence[order]
    pixels = transform.to_picture(boxes[anchors])
    inside = (pixels[:, 2] > pixels[:, 0]) & (pixels[:, 3] > pixels[:, 1])  # the rest lay in the padding
    pixels, labels, confidence = pixels[inside], labels[inside], confidence[inside]
    kept = _suppress(pixels, labels, nms_iou)[:top]
    return Detections(pixels[kept], confidence[kept].astype(np.float32), labels[kept].astype(np.int64))


def evidence(scores: Array, boxes: Array, transform: Transform) -> Evidence:
    """Return each symbol's best anchor: its probability and its box (arguments as for `decode`)."""
    best = np.argmax(scores[:, 1:], axis=0)
    probability = scores[best, np.arange(1, scores.shape[1])].astype(np.float64)
    return Evidence(probability, transform.to_picture(boxes[best]))


def _suppress(boxes: Array, labels: Array, nms_iou: float) -> Array:
    """Return the positions that survive; boxes float32 [N, 4] come best first."""
    strong, weak = np.nonzero(np.triu(labels[:, None] == labels[None, :], 1))
    first, second = boxes[strong], boxes[weak]
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    clash = shared > nms_iou * (areas[strong] + areas[weak] - shared)  # IoU > limit
    alive = [True] * len(boxes)
    # Pairs come ordered by their stronger box, whose fate is sealed by the time it is reached.
    for stronger, weaker in np.column_stack([strong[clash], weak[clash]]).tolist():
        if alive[stronger]:
            alive[weaker] = False
    return np.nonzero(alive)[0]
