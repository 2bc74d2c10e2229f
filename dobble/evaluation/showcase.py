"""What a bundle says of test photos to the report's pictures: matches, curves, confusion, best and worst."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.detector.dataset import LabelledPhoto, read_photo
from dobble.detector.metrics import AveragePrecision, Truth, confusion_matrix, photo_quality
from dobble.evaluation import figures
from dobble.evaluation.reliability import Reliability
from dobble.evaluation.report import Picture, Section
from jetson.play.bundle import Bundle
from jetson.play.detect import CardReading, Detections
from jetson.play.draw import draw_match
from jetson.play.game import play

_MATCHES = 6
_PHOTOS = 3


class Judged(NamedTuple):
    """A test photo, what is on it, and what the bundle says.

    Attributes:
        photo: the labelled photo.
        truth: its ground truth.
        detections: down to a score of 0.01, which average precision needs.
        reading: what the device would see.
    """

    photo: LabelledPhoto
    truth: Truth
    detections: Detections
    reading: CardReading

    @property
    def card(self) -> frozenset[int]:
        """Class ids of the symbols that are really there."""
        return frozenset(self.truth.labels.tolist())


def draw_matches(
    folder: Path, judged: Sequence[Judged], pairs: NDArray[np.int64], bundle: Bundle, seed: int
) -> list[Picture]:
    """Play six of the pairs of `shared_pairs`, drawn by lot."""
    lots = np.random.default_rng(seed).permutation(len(pairs))[:_MATCHES]
    pictures = []
    for first, second, symbol in pairs[lots].tolist():
        match = play(bundle, judged[first].reading, judged[second].reading)
        photos = judged[first].photo, judged[second].photo
        picture = draw_match(read_photo(photos[0].path), read_photo(photos[1].path), match, bundle.labels)
        path = folder / f"match_{photos[0].name}_{photos[1].name}.jpg"
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        said = match.no_answer or f"{bundle.labels[match.symbol]} ({match.probability:.0%})"
        right = match.no_answer is None and match.symbol == symbol
        pictures.append(Picture(path, f"{said}: {'right' if right else f'it is {bundle.labels[symbol]}'}"))
    return pictures


def draw_curves(folder: Path, history: Path, average: AveragePrecision) -> Section:
    """Draw how training went, and precision over recall."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    losses = {name: [float(row[f"{name}_loss"]) for row in rows] for name in ("box", "class")}
    precision = {name: [float(row[name]) for row in rows] for name in ("mAP", "mAP50")}
    training, recall = folder / "training.png", folder / "precision_recall.png"
    figures.save_figure(figures.draw_training(losses, precision), training)
    figures.save_figure(figures.draw_precision_recall(average), recall)
    pictures = [
        Picture(training, "Losses on the training photos, precision on the validation photos."),
        Picture(recall, "Precision over recall at IoU .50, mean over the symbols."),
    ]
    return Section("Curves", "How training went, and what the detector trades.", pictures)


def draw_reliability(folder: Path, reliability: Mapping[str, Reliability]) -> Section:
    """Draw for each rule how often it is right when it shows a probability."""
    path = folder / "reliability.png"
    figures.save_figure(figures.draw_reliability(reliability), path)
    caption = "Left how often a pair was right at the probability shown, right how many pairs had it."
    text = "Whether the probabilities can be trusted: honest ones lie on the dotted line."
    return Section("Reliability", text, [Picture(path, caption)])


def draw_symbols(folder: Path, average: AveragePrecision, bundle: Bundle) -> Section:
    """Draw the average precision of each symbol."""
    path = folder / "class_precision.png"
    figures.save_figure(figures.draw_class_precision(average.per_class, bundle.labels), path)
    caption = "Average precision of each symbol (IoU .50 to .95), best first."
    return Section("Symbols", "Which symbols the detector knows best and worst.", [Picture(path, caption)])


def draw_confusions(folder: Path, judged: Sequence[Judged], bundle: Bundle, iou_threshold: float) -> Section:
    """Draw the confusion matrix of all test photos."""
    matrix = confusion_matrix(
        [one.detections for one in judged],
        [one.truth for one in judged],
        len(bundle.labels),
        iou_threshold,
        bundle.thresholds.score,
    )
    path = folder / "confusion.png"
    figures.save_figure(figures.draw_confusion(matrix, bundle.labels), path)
    caption = "Every test photo, matched one to one; right answers on the diagonal."
    return Section("Confusion", "What was predicted for what.", [Picture(path, caption)])


def draw_extremes(folder: Path, judged: Sequence[Judged], bundle: Bundle, iou_threshold: float) -> Section:
    """Draw the photos that were read worst and best."""
    quality = photo_quality(
        [one.detections for one in judged],
        [one.truth for one in judged],
        iou_threshold,
        bundle.thresholds.score,
    )
    order = np.argsort(quality, kind="stable").tolist()
    pictures = []
    for place in dict.fromkeys([*order[:_PHOTOS], *order[::-1][:_PHOTOS]]):
        photo, truth, detections, _ = judged[place]
        figure = figures.draw_photo(
            read_photo(photo.path),
            truth,
            detections,
            bundle.labels,
            iou_threshold=iou_threshold,
            score_threshold=bundle.thresholds.score,
        )
        path = folder / f"photo_{photo.name}.png"
        figures.save_figure(figure, path)
        pictures.append(Picture(path, f"{photo.name}: quality {quality[place]:.2f}"))
    return Section("Worst and best photos", "Left what is there, right what was detected.", pictures)
