"""What the bundle is compared with: torchvision's whole detector in one graph, and the original rules."""

import logging
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

CLASSES = 58  # with the background
SCORE_THRESHOLD = 0.001  # torchvision's own
BACKGROUND_BIAS, CANDIDATE_BIAS = 12.0, 9.0  # far apart beside what random weights add: scores of some 5 %
CARD_AREA, CIRCLENESS = 0.04, 0.6  # of a card: share of the picture, and 1 for a circle
CANDIDATE_MAP, CANDIDATE_CELLS = 1, 100  # the second feature map has 10x10 cells, each with all channels


def export_original(path: Path, images: list[NDArray[np.float32]], candidates: float) -> None:
    """Write `ssdlite320_mobilenet_v3_large` with its normalisation, resizing and suppression inside.

    The weights are random. The classification head is biased so that about as many scores pass the threshold
    on any photo as `candidates` says, spread over the picture: suppression takes longer the more there are.

    Args:
        path: the ONNX file.
        images: at least two, float32 [3, S, S] RGB in [0, 1], of the size that the graph will take.
        candidates: scores above `SCORE_THRESHOLD` for each photo.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES).eval()
    tensors = [torch.from_numpy(image) for image in images]
    with torch.no_grad():
        batch = model.transform(tensors)[0].tensors
        # Without statistics of its own the activations sink to denormal numbers, which slow a processor down.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train().head(list(model.backbone(batch).values()))
        biases = [branch[-1].bias.view(-1, CLASSES) for branch in model.head.classification_head.module_list]
        for bias in biases:
            bias[:, 0] = BACKGROUND_BIAS
        for channel in range(round(candidates / CANDIDATE_CELLS)):
            shape, symbol = divmod(channel, CLASSES - 1)
            biases[CANDIDATE_MAP][shape, 1 + symbol] = CANDIDATE_BIAS
        model.eval()
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (tensors[:1],), str(path), dynamo=False, opset_version=11)


def find_cards_as_original(image: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Find cards on uint8 [H, W, 3] BGR by the original's rule: bright by Otsu's threshold, large and round.

    Returns:
        left, top, right, bottom of each, in pixels.
    """
    brightness = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[:, :, 2]
    mask = cv2.threshold(brightness, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    boxes = []
    for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        area, length = cv2.contourArea(contour), cv2.arcLength(contour, closed=True)
        if area > CARD_AREA * mask.size and 4 * np.pi * area > CIRCLENESS * length**2:
            left, top, width, height = cv2.boundingRect(contour)
            boxes.append((left, top, left + width, top + height))
    return sorted(boxes)


def shared_as_original(
    first: tuple[NDArray[np.int64], NDArray[np.float32]],
    second: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> int | None:
    """Return the label seen on both cards with the highest score, from each card's labels and scores."""
    best: dict[int, float] = {}
    for label, score in zip(*first, strict=True):
        for other, other_score in zip(*second, strict=True):
            if label == other and score + other_score > best.get(int(label), 0):
                best[int(label)] = float(score + other_score)
    return max(best, key=best.__getitem__) if best else None
