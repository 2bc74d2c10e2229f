"""Metrics and photos to figures that people read: confusion, training, precision, what was seen where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dobble.detector.metrics import AveragePrecision, Detected, Truth, match_boxes
from dobble.evaluation.reliability import BINS, Reliability

INK, FAINT, LINE = "#1f2933", "#6b7785", "#dfe4ea"
GREEN, RED, AMBER, BLUE, VIOLET = "#15803d", "#d92d20", "#b45309", "#2563eb", "#7c3aed"
BAR = "#6391f2"
DOTS_PER_INCH = 110
CELL = 0.235  # inches a class takes on an axis with many of them
PHOTO = 4.6  # inches


def draw_confusion(matrix: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Draw a confusion matrix so that its errors stand out from the diagonal.

    Args:
        matrix: int64 [C+1, C+1] from `metrics.confusion_matrix`; cells with 0 stay empty.
        names: of the C classes.
    """
    count = len(matrix)
    side = max(CELL * count, 2.5)
    figure, axes = _figure(side + 1.8, side + 1.8)
    axes.imshow(_confusion_colours(matrix), interpolation="nearest")
    for row, column in np.argwhere(matrix):
        right = row == column
        axes.text(
            column,
            row,
            str(matrix[row, column]),
            ha="center",
            va="center",
            fontsize=7,
            color=GREEN if right else INK,
            fontweight="normal" if right else "bold",
        )
    axes.set_xticks(range(count), [*map(_plain, names), "nothing there"], rotation=90, fontsize=8)
    axes.set_yticks(range(count), [*map(_plain, names), "missed"], fontsize=8)
    axes.tick_params(length=0, colors=INK, labeltop=True, labelbottom=count > 20)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.axhline(count - 1.5, color=INK, linewidth=1)
    axes.axvline(count - 1.5, color=INK, linewidth=1)
    axes.set_ylabel("predicted", fontsize=11, color=INK)
    axes.set_xlabel("actual", fontsize=11, color=INK)
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    return figure


def draw_training(losses: Mapping[str, Sequence[float]], precision: Mapping[str, Sequence[float]]) -> Figure:
    """Draw how training went, epoch by epoch: losses on the left, precision on the left-out photos right.

    Args:
        losses: for each name, one value an epoch.
        precision: the same, in [0, 1]; NaN for an epoch that was not evaluated.
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, curves in ((left, losses), (right, precision)):
        for (name, values), colour in zip(curves.items(), _colours(len(curves)), strict=True):
            y = np.asarray(values, dtype=np.float64)
            x = np.arange(1, len(y) + 1)
            known = ~np.isnan(y)
            axes.plot(x[known], y[known], marker="o", markersize=3, color=colour, label=_plain(name))
        _plain_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch", color=INK)
        if curves:
            axes.legend(frameon=False, labelcolor=INK)
    left.set_ylabel("loss", color=INK)
    left.set_ylim(bottom=0)
    right.set_ylabel("average precision", color=INK)
    right.set_ylim(0, 1.02)
    return figure


def draw_precision_recall(average: AveragePrecision) -> Figure:
    """Draw precision at IoU .50 over recall, the mean over all classes."""
    figure, axes = _figure(5.4, 3.8)
    axes.fill_between(average.recall, average.precision, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(average.recall, average.precision, color=BLUE, linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall: share of the symbols that are found", color=INK)
    axes.set_ylabel("precision: share of finds that are right", color=INK)
    _plain_axes(axes)
    return figure


def draw_reliability(reliability: Mapping[str, Reliability]) -> Figure:
    """Draw for each rule the share that is right over the probability shown, and how often that was shown."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=":")
    width = 1 / (BINS * (len(reliability) + 1))
    for place, ((rule, one), colour) in enumerate(
        zip(reliability.items(), _colours(len(reliability)), strict=True)
    ):
        seen = one.count > 0
        left.plot(one.confidence[seen], one.accuracy[seen], marker="o", markersize=4, color=colour)
        x = np.arange(BINS) / BINS + (place + 1) * width
        right.bar(x, one.count, width, color=colour, label=f"{rule} (ECE {one.ece:.3f})")
    for axes in (left, right):
        _plain_axes(axes)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability shown", color=INK)
    left.set_ylim(0, 1.02)
    left.set_ylabel("share that is right", color=INK)
    right.set_ylabel("pairs", color=INK)
    right.legend(frameon=False, labelcolor=INK, loc="upper left")
    return figure


def draw_class_precision(per_class: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """Draw the average precision of each class as a bar, best first.

    Args:
        per_class: float64 [C], NaN for a class without ground truth; those come last, without a bar.
        names: of the C classes.
    """
    order = np.argsort(-per_class, kind="stable")  # NaN sorts last
    values = per_class[order]
    places = np.arange(len(order))
    figure, axes = _figure(7.5, max(0.21 * len(order) + 0.6, 1.6))
    axes.barh(places, np.nan_to_num(values), height=0.72, color=BAR)
    for place, value in zip(places, values, strict=True):
        missing = np.isnan(value)
        shown = "not in these photos" if missing else f"{value:.3f}"
        axes.text(0.01 if missing else 1.01, place, shown, va="center", fontsize=7.5, color=FAINT)
    if not np.isnan(values).all():
        axes.axvline(float(np.nanmean(values)), color=INK, linewidth=1.2, linestyle=":")
    axes.set_yticks(places, [_plain(names[index]) for index in order], fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1.07)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("average precision; dotted: the mean", color=INK)
    _plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def draw_photo(
    image: NDArray[np.uint8],
    truth: Truth,
    detections: Detected,
    names: Sequence[str],
    *,
    iou_threshold: float,
    score_threshold: float,
) -> Figure:
    """Draw a photo twice: with what is really there, and with what was detected.

    On the right side green is right, red is wrong or lies on nothing, and dashed amber was missed.

    Args:
        image: uint8 [H, W, 3] BGR.
        truth: what is there.
        detections: those above `score_threshold` are drawn.
        names: of the classes.
        iou_threshold: overlap from which a detection belongs to an object.
        score_threshold: as on the device.
    """
    figure = Figure(figsize=(2 * PHOTO, PHOTO * image.shape[0] / image.shape[1] + 0.26), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.imshow(image[..., ::-1])
        axes.set_axis_off()
        axes.set_anchor("S")
    for box, label in zip(truth.boxes, truth.labels, strict=True):
        _draw_box(left, box, names[label], BLUE)
    objects, _ = match_boxes(detections, truth, iou_threshold, score_threshold)
    shown = np.flatnonzero(detections.scores > score_threshold)
    agrees = (objects >= 0) & (np.append(truth.labels, -1)[objects] == detections.labels)
    missed = np.delete(np.arange(len(truth.labels)), objects[objects >= 0])
    for index in missed:
        _draw_box(right, truth.boxes[index], names[truth.labels[index]], AMBER, "--")
    for index in shown[::-1]:
        text = f"{names[detections.labels[index]]} {detections.scores[index]:.2f}"
        _draw_box(right, detections.boxes[index], text, GREEN if agrees[index] else RED)
    left.set_title("really there", fontsize=12, color=INK)
    counts = f"{agrees[shown].sum()} right, {(~agrees[shown]).sum()} wrong, {len(missed)} missed"
    right.set_title(f"detected: {counts}", fontsize=12, color=INK)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes, for nothing of the moment goes in."""
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _confusion_colours(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """RGB [C+1, C+1, 3]: pale green where right, by the share of the class; red where wrong, by the count."""
    white, green, red = np.ones(3), np.array([0.72, 0.90, 0.76]), np.array([0.97, 0.45, 0.40])
    diagonal = np.eye(len(matrix), dtype=bool)
    share = matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)
    errors = np.where(diagonal, 0, matrix)
    strength = np.where(errors > 0, 0.35 + 0.65 * errors / max(errors.max(), 1), 0.0)
    weight = np.where(diagonal, share, strength)[..., None]
    colours: NDArray[np.float64] = (1 - weight) * white + weight * np.where(diagonal[..., None], green, red)
    return colours


def _draw_box(axes: Axes, box: NDArray[Any], text: str, colour: str, style: str = "-") -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, lw=1.6, linestyle=style)
    axes.add_patch(frame)
    axes.text(
        x1,
        y1,
        _plain(text),
        va="bottom",
        fontsize=8,
        color="white",
        clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2, "alpha": 0.9},
    )


def _plain_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)


def _colours(count: int) -> list[str]:
    return [(BLUE, VIOLET, GREEN, AMBER, RED)[index % 5] for index in range(count)]


def _plain(text: str) -> str:
    """Keep matplotlib from reading what stands between two dollar signs as a formula."""
    return text.replace("$", r"\$")
