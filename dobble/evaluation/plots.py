"""What a bundle comes to on test photos, as the tables that DVC draws plots from."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dobble.detector.metrics import AveragePrecision, match_boxes
from dobble.evaluation.reliability import Reliability
from dobble.evaluation.showcase import Judged
from jetson.play.bundle import Bundle

MISSED, NOTHING = "missed", "nothing there"


def write_plots(
    folder: Path,
    average: AveragePrecision,
    reliability: Mapping[str, Reliability],
    judged: Sequence[Judged],
    bundle: Bundle,
    iou_threshold: float,
) -> None:
    """Write a table for each plot into a new folder."""
    folder.mkdir()
    curve = [
        (round(float(recall), 2), round(float(precision), 4))
        for recall, precision in zip(average.recall, average.precision, strict=True)
    ]
    _write_csv(folder / "precision_recall.csv", ("recall", "precision"), curve)
    by_class = [
        (name, round(float(value), 4))
        for name, value in zip(bundle.labels, average.per_class, strict=True)
        if not np.isnan(value)
    ]
    _write_csv(folder / "class_precision.csv", ("symbol", "AP"), by_class)
    bins = [
        (rule, *(round(float(value), 4) for value in row[:2]), int(row[2]))
        for rule, one in reliability.items()
        for row in zip(one.confidence, one.accuracy, one.count, strict=True)
        if row[2]
    ]
    _write_csv(folder / "reliability.csv", ("rule", "probability", "right", "pairs"), bins)
    pairs = [pair for one in judged for pair in _named_pairs(one, bundle, iou_threshold)]
    _write_csv(folder / "confusion.csv", ("actual", "predicted"), pairs)


def _named_pairs(one: Judged, bundle: Bundle, iou_threshold: float) -> list[tuple[str, str]]:
    """Actual and predicted name of every symbol and every detection, matched one to one."""
    names, threshold = bundle.labels, bundle.thresholds.score
    matched, _ = match_boxes(one.detections, one.truth, iou_threshold, threshold)
    shown = one.detections.scores > threshold
    pairs = [
        (NOTHING if place < 0 else names[one.truth.labels[place]], names[label])
        for place, label in zip(matched[shown], one.detections.labels[shown], strict=True)
    ]
    missed = set(range(len(one.truth.labels))) - set(matched.tolist())
    return pairs + [(names[one.truth.labels[place]], MISSED) for place in sorted(missed)]


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
