"""A bundle and test photos that training never saw to metrics, plots and a report with pictures."""

import csv
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from dobble.data.voc import read_labels
from dobble.detector.checkpoint import load_checkpoint, restore
from dobble.detector.dataset import LabelledPhoto, load_split, read_photo
from dobble.detector.game import GameAccuracy, game_accuracy
from dobble.detector.metrics import (
    Agreement,
    AveragePrecision,
    Truth,
    accuracy_and_iou,
    average_precision,
    match_boxes,
)
from dobble.detector.model_check import check_model
from dobble.detector.network import Deployed
from dobble.detector.predict import LOWEST_SCORE
from dobble.detector.report import Metric, Report, describe_metrics, write_report
from dobble.detector.showcase import (
    Judged,
    draw_confusions,
    draw_curves,
    draw_extremes,
    draw_matches,
    draw_symbols,
)
from dobble.errors import AnnotationError, CheckpointError, MissingInputError
from dobble.files import replaced_folder
from dobble.params import EvaluateParams
from jetson.bundle import Bundle, load_bundle
from jetson.detect import CardReading, decode, evidence, letterbox
from jetson.game import incidence
from jetson.runners import open_runner

MISSED, NOTHING = "missed", "nothing there"


@dataclass(frozen=True)
class EvaluateSummary:
    """The metrics as they stand in `metrics.json`."""

    metrics: dict[str, Any]
    photos: int


class _Scores(NamedTuple):
    average: AveragePrecision
    agreement: Agreement
    game: GameAccuracy
    onnx_difference: float | None
    latency_ms: float


def evaluate(
    bundle_folder: Path,
    checkpoint: Path,
    voc: Path,
    splits: Path,
    history: Path,
    out: Path,
    params: EvaluateParams,
) -> EvaluateSummary:
    """Write `metrics.json`, `plots/` and `report/` into `out`, which appears whole or not.

    The bundle is run by the device's own code on ONNX Runtime; the checkpoint only serves to compare the
    exported network's raw outputs with PyTorch's.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        CheckpointError: if the checkpoint is.
        MissingInputError, AnnotationError, PhotoError: if an earlier stage's output is missing or damaged.
        OutputError: if `out` cannot be written.
    """
    if not history.is_file():
        raise MissingInputError(history, "run `dvc repro train`")
    bundle = _load(bundle_folder, voc)
    photos, learned = (load_split(voc, splits, split) for split in ("test", "train"))
    trained = load_checkpoint(checkpoint)
    network = Deployed(restore(trained, checkpoint)).eval()
    if (trained.labels, len(network.detector.anchors)) != (bundle.labels, bundle.anchors):
        raise CheckpointError(checkpoint, f"is not the one that {bundle_folder} comes from; run `dvc repro`")
    judged, difference, latency = _judge(bundle, network, photos)
    scores = _score(bundle, judged, difference, latency, params)
    metrics = _metrics(scores)
    with replaced_folder(out) as side:
        (side / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        _write_plots(side / "plots", scores.average, judged, bundle, params.iou_threshold)
        _write_report(side / "report", history, scores, judged, learned, bundle, params)
    return EvaluateSummary(metrics, len(photos))


def measure(bundle_folder: Path, voc: Path, splits: Path, params: EvaluateParams) -> dict[str, Any]:
    """Give a bundle's metrics on the test photos as `metrics.json` has them, but for the checkpoint's part.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        AnnotationError: if it knows other classes than the photos show, or an annotation is damaged.
        MissingInputError, PhotoError: if an earlier stage's output is missing or damaged.
    """
    bundle = _load(bundle_folder, voc)
    judged, difference, latency = _judge(bundle, None, load_split(voc, splits, "test"))
    return _metrics(_score(bundle, judged, difference, latency, params))


def _load(bundle_folder: Path, voc: Path) -> Bundle:
    bundle = load_bundle(str(bundle_folder))
    if tuple(read_labels(voc / "labels.txt")) != bundle.labels:
        raise AnnotationError(
            voc / "labels.txt", f"names other classes than {bundle_folder}; run `dvc repro`"
        )
    return bundle


def _judge(
    bundle: Bundle, network: Deployed | None, photos: Sequence[LabelledPhoto]
) -> tuple[list[Judged], float | None, float]:
    """Read the photos; also the largest difference to PyTorch and the median milliseconds for one photo."""
    # PyTorch only answers for comparison here: more threads would fight with ONNX Runtime's for the cores.
    if network is not None:
        torch.set_num_threads(1)
    judged, latency, difference = [], [], 0.0
    thresholds = bundle.thresholds
    with open_runner("onnxruntime-cpu", bundle) as runner:
        for photo in tqdm(photos, desc="test photos", disable=None):
            image = read_photo(photo.path)
            start = time.perf_counter()
            batch, transform = letterbox(image, bundle.input_size)
            scores, boxes = runner.infer(batch)
            shown = decode(scores, boxes, transform, thresholds.score, thresholds.nms_iou)
            reading = CardReading(shown, evidence(scores, boxes, transform))
            latency.append(time.perf_counter() - start)
            ranked = decode(scores, boxes, transform, LOWEST_SCORE, thresholds.nms_iou)
            judged.append(Judged(photo, Truth(photo.boxes, photo.labels), ranked, reading))
            if network is None:
                continue
            with torch.inference_mode():
                expected = network(torch.from_numpy(batch))
            for ours, theirs in zip((scores, boxes), expected, strict=True):
                difference = max(difference, float(np.abs(ours - theirs[0].numpy()).max()))
    return judged, None if network is None else difference, float(np.median(latency)) * 1000


def _score(
    bundle: Bundle,
    judged: Sequence[Judged],
    difference: float | None,
    latency: float,
    params: EvaluateParams,
) -> _Scores:
    detections, truths = [one.detections for one in judged], [one.truth for one in judged]
    classes = len(bundle.labels)
    game = game_accuracy(
        [one.card for one in judged],
        detections,
        np.stack([one.reading.evidence.probability for one in judged]),
        bundle.thresholds.score,
        deck=None if bundle.deck is None else incidence(bundle.deck, classes),
        deck_calibration=bundle.calibration.deck,
    )
    agreement = accuracy_and_iou(detections, truths, params.iou_threshold, bundle.thresholds.score)
    return _Scores(average_precision(detections, truths, classes), agreement, game, difference, latency)


def _metrics(scores: _Scores) -> dict[str, Any]:
    game = {"simple": scores.game.simple, "joint": scores.game.joint, "deck": scores.game.deck}
    difference = scores.onnx_difference
    return {
        "mAP": round(scores.average.map, 4),
        "mAP50": round(scores.average.map50, 4),
        "accuracy": round(scores.agreement.accuracy, 4),
        "mean_iou": round(scores.agreement.mean_iou, 4),
        "game": {rule: round(share, 4) for rule, share in game.items() if share is not None},
        **({} if difference is None else {"onnx_difference": float(f"{difference:.1e}")}),
        "latency_ms": round(scores.latency_ms, 2),
    }


def _write_plots(
    folder: Path, average: AveragePrecision, judged: Sequence[Judged], bundle: Bundle, iou_threshold: float
) -> None:
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


def _write_report(
    folder: Path,
    history: Path,
    scores: _Scores,
    judged: Sequence[Judged],
    learned: Sequence[LabelledPhoto],
    bundle: Bundle,
    params: EvaluateParams,
) -> None:
    folder.mkdir()
    threshold, iou = bundle.thresholds.score, params.iou_threshold
    rows = [
        *describe_metrics(
            scores.game, scores.average, scores.agreement, iou_threshold=iou, score_threshold=threshold
        ),
        Metric(
            "Time for one card",
            f"{scores.latency_ms:.1f} ms",
            "Median on this machine, ONNX Runtime on all cores: prepare, run, decode.",
        ),
        Metric(
            "ONNX against PyTorch",
            f"{scores.onnx_difference:.1e}",
            "Largest difference of any score or box coordinate (both in [0, 1]) on the test photos.",
        ),
    ]
    report = Report(
        title="Dobble Edge: evaluation",
        summary=f"{len(judged)} test photos that training never saw, read by the bundle for the device.",
        metrics=rows,
        matches=draw_matches(folder, judged, bundle, params.seed),
        sections=[
            draw_curves(folder, history, scores.average),
            draw_symbols(folder, scores.average, bundle),
            draw_confusions(folder, judged, bundle, iou),
            draw_extremes(folder, judged, bundle, iou),
            *([check_model(folder, judged, learned, bundle, params)] if params.deepchecks else []),
        ],
        parameters=_parameters(bundle, params),
        machine=_machine(),
    )
    write_report(folder, report)


def _parameters(bundle: Bundle, params: EvaluateParams) -> dict[str, object]:
    return {
        **{f"evaluate.{name}": value for name, value in params.model_dump().items()},
        **{f"bundle.thresholds.{name}": value for name, value in bundle.thresholds._asdict().items()},
        **{f"bundle.calibration.{name}": value for name, value in bundle.calibration._asdict().items()},
        "bundle.git_revision": bundle.manifest.get("git_revision"),
        "bundle.data_md5": bundle.manifest.get("data_md5"),
        "bundle.model_sha256": bundle.model_sha256,
    }


def _machine() -> str:
    system = f"{platform.system()} on {platform.machine()}"
    return f"{system}, Python {platform.python_version()}, PyTorch {torch.__version__}"


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
