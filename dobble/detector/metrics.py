"""Detections and ground truth to the numbers that judge a detector: precision, agreement, confusion."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST_DETECTIONS = 100


class Truth(NamedTuple):
    """What is really on a photo: boxes float32 [N,4] xyxy in pixels, labels int64 [N] (class ids from 0)."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


class Detected(Protocol):
    """What a detector found on a photo, as `jetson.play.detect.Detections` has it."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Corners xyxy in pixels, [N,4]."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores in [0,1], [N]."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class ids from 0, [N]."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision as COCO defines it (101 recall points, at most 100 detections a photo).

    Attributes:
        map: mean over the IoU thresholds .50, .55, … .95 and over the classes with ground truth.
        map50: the same at IoU .50 alone.
        map75: the same at IoU .75 alone.
        per_class: float64 [C], mean over the IoU thresholds; NaN for a class without ground truth.
        recall: float64 [101], the grid 0, .01, … 1.
        precision: float64 [101], precision at IoU .50 on that grid, mean over the classes with ground truth.
    """

    map: float
    map50: float
    map75: float
    per_class: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How often, and how closely, detections that lie on an object agree with it.

    Attributes:
        accuracy: right / (right + wrong); 0 if nothing was found.
        mean_iou: mean IoU of the right ones with their objects; 0 if there are none.
        right: detections on an object of their class.
        wrong: detections on an object of another class.
    """

    accuracy: float
    mean_iou: float
    right: int
    wrong: int


def box_iou(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Intersection over union of every box of [N,4] with every box of [M,4] (xyxy): float64 [N,M].

    Boxes without an area overlap with nothing.
    """
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]  # [N,1,4], [1,M,4]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def match_boxes(
    detections: Detected, truth: Truth, iou_threshold: float, score_threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give each detection at most one object, and each object at most one detection.

    In order of falling score, a detection takes, of the objects that are still free and that it overlaps with
    at `iou_threshold` or more, one of its own class before others, and then the one it overlaps with most.

    Returns:
        int64 [N], for each detection the index of its object, -1 for none (always, up to `score_threshold`);
        float64 [N], the IoU with that object, 0 for none.
    """
    objects = np.full(len(detections.scores), -1, dtype=np.int64)
    overlaps = np.zeros(len(detections.scores))
    iou = box_iou(detections.boxes, truth.boxes)
    same = detections.labels[:, None] == truth.labels[None]
    free = np.ones(len(truth.labels), dtype=bool)
    order = np.argsort(-detections.scores, kind="stable")
    for index in order[detections.scores[order] > score_threshold]:
        eligible = free & (iou[index] >= iou_threshold)
        if eligible.any():
            taken = int(np.argmax(np.where(eligible, iou[index] + same[index], -1.0)))
            objects[index], overlaps[index], free[taken] = taken, iou[index, taken], False
    return objects, overlaps


def average_precision(
    detections: Sequence[Detected], truths: Sequence[Truth], n_classes: int
) -> AveragePrecision:
    """COCO's average precision of all detections, whatever their score, over a set of photos.

    Computed by pycocotools with objects of every size. Everything is NaN if there is no object at all.
    """
    # The device's parity check and the drawings need the other metrics only, so pycocotools loads here.
    from pycocotools import cocoeval  # noqa: PLC0415

    with redirect_stdout(io.StringIO()):
        truth, found = _coco_data(truths, n_classes), _coco_data(detections, n_classes)
        evaluation: Any = cocoeval.COCOeval(truth, found, "bbox")  # type: ignore[no-untyped-call]
        evaluation.params.iouThrs = IOU_THRESHOLDS
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 0]  # [IoU threshold, recall, class], -1 without truth
    known = (precision >= 0).all(axis=(0, 1))
    per_class = np.where(known, precision.mean(axis=(0, 1)), np.nan)
    curves = precision[:, :, known].mean(axis=2) if known.any() else np.full(precision.shape[:2], np.nan)
    return AveragePrecision(
        map=float(curves.mean()),
        map50=float(curves[0].mean()),
        map75=float(curves[5].mean()),
        per_class=per_class,
        recall=np.asarray(evaluation.params.recThrs, dtype=np.float64),
        precision=curves[0],
    )


def accuracy_and_iou(
    detections: Sequence[Detected], truths: Sequence[Truth], iou_threshold: float, score_threshold: float
) -> Agreement:
    """Accuracy and mean IoU of the detections with a score above `score_threshold`.

    Detections and objects are matched one to one by `match_boxes`. A matched detection is right if the
    classes agree and wrong if they do not. Missed objects and detections on nothing do not count here: the
    confusion matrix shows them.
    """
    right, wrong, overlap = 0, 0, 0.0
    for found, truth in zip(detections, truths, strict=True):
        objects, iou = match_boxes(found, truth, iou_threshold, score_threshold)
        hit = objects >= 0
        agrees = truth.labels[objects[hit]] == found.labels[hit]
        right += int(agrees.sum())
        wrong += int((~agrees).sum())
        overlap += float(iou[hit][agrees].sum())
    return Agreement(
        accuracy=right / (right + wrong) if right + wrong else 0.0,
        mean_iou=overlap / right if right else 0.0,
        right=right,
        wrong=wrong,
    )


def confusion_matrix(
    detections: Sequence[Detected],
    truths: Sequence[Truth],
    n_classes: int,
    iou_threshold: float,
    score_threshold: float,
) -> NDArray[np.int64]:
    """Count over all photos what was predicted for what, matched one to one by `match_boxes`.

    Returns:
        int64 [C+1, C+1]: the row is the predicted class, the last row "missed"; the column is the actual
        class, the last column "nothing there". A column before the last adds up to the objects of that class.
    """
    matrix = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    for found, truth in zip(detections, truths, strict=True):
        objects, _ = match_boxes(found, truth, iou_threshold, score_threshold)
        actual = np.append(truth.labels, n_classes)[objects]  # -1 picks the appended "nothing there"
        counted = found.scores > score_threshold
        np.add.at(matrix, (found.labels[counted], actual[counted]), 1)
        np.add.at(matrix[n_classes], np.delete(truth.labels, objects[objects >= 0]), 1)
    return matrix


def photo_quality(
    detections: Sequence[Detected], truths: Sequence[Truth], iou_threshold: float, score_threshold: float
) -> NDArray[np.float64]:
    """One number in [0,1] for each photo, to find the best and the worst: float64 [P].

    The panoptic quality of Kirillov et al. (2019) on boxes: the IoUs of the right detections, summed, over
    right + ½ (false alarms or wrong) + ½ (not found). A photo with nothing on it and nothing found has 1.
    """
    quality = np.ones(len(truths))
    for index, (found, truth) in enumerate(zip(detections, truths, strict=True)):
        objects, iou = match_boxes(found, truth, iou_threshold, score_threshold)
        agrees = (objects >= 0) & (np.append(truth.labels, -1)[objects] == found.labels)
        most = (np.count_nonzero(found.scores > score_threshold) + len(truth.labels)) / 2
        if most:
            quality[index] = iou[agrees].sum() / most
    return quality


def _coco_data(photos: Sequence[Detected | Truth], n_classes: int) -> Any:
    """The photos as pycocotools' data set; its ids start at 1, because it takes 0 for "not matched"."""
    from pycocotools.coco import COCO  # noqa: PLC0415

    data: Any = COCO()  # type: ignore[no-untyped-call]
    data.dataset = {
        "images": [{"id": image} for image in range(1, len(photos) + 1)],
        "categories": [{"id": label} for label in range(1, n_classes + 1)],
        "annotations": [],
    }
    annotations = data.dataset["annotations"]
    for image, photo in enumerate(photos, start=1):
        corners = photo.boxes.astype(np.float64)
        sides = corners[:, 2:] - corners[:, :2]
        scores = np.zeros(len(corners)) if isinstance(photo, Truth) else photo.scores
        for corner, side, label, score in zip(corners, sides, photo.labels, scores, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label) + 1,
                    "bbox": [*corner[:2], *side],
                    "area": side.prod(),
                    "score": float(score),
                    "iscrowd": 0,
                }
            )
    data.createIndex()
    return data
