"""A bundle and test photos that training never saw to metrics, and to what they consist of."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from dobble.data.voc import read_labels
from dobble.detector.dataset import LabelledPhoto, load_split, read_photo
from dobble.detector.game_accuracy import Game, play_pairs
from dobble.detector.metrics import (
    Agreement,
    AveragePrecision,
    Truth,
    accuracy_and_iou,
    average_precision,
)
from dobble.detector.network import Deployed
from dobble.detector.predict import LOWEST_SCORE
from dobble.errors import AnnotationError
from dobble.evaluation.answers import read_answers
from dobble.evaluation.exam import AS_PLAYED, NO_DECK, Result, take_exam
from dobble.evaluation.outcomes import Outcomes
from dobble.evaluation.reliability import Reliability, measure_reliability
from dobble.evaluation.showcase import (
    Judged,
)
from dobble.params import EvaluateParams
from jetson.play.bundle import Bundle, load_bundle
from jetson.play.cards import frame_card
from jetson.play.detect import CardReading, decode, evidence, prepare
from jetson.play.look import in_picture
from jetson.runners import open_runner


@dataclass(frozen=True)
class Measurement:
    """What a bundle comes to on the test photos, and photo by photo what that consists of."""

    metrics: dict[str, Any]
    outcomes: Outcomes


class Scores(NamedTuple):
    """All numbers that judge a bundle; `onnx_difference` to PyTorch is None where that was not run."""

    average: AveragePrecision
    agreement: Agreement
    game: Game
    reliability: dict[str, Reliability]
    onnx_difference: float | None
    latency_ms: float
    exam: Result | None


def measure(bundle_folder: Path, voc: Path, splits: Path, params: EvaluateParams) -> Measurement:
    """Give what `evaluate` writes of a bundle, but for what the checkpoint tells.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        AnnotationError: if it knows other classes than the photos show, or an annotation is damaged.
        MissingInputError, PhotoError: if an earlier stage's output is missing or damaged.
    """
    bundle = load_for(bundle_folder, voc)
    judged, difference, latency = judge(bundle, None, load_split(voc, splits, "test"))
    scores = score(bundle, judged, difference, latency, params)
    return Measurement(metrics_of(scores), outcomes_of(scores.game, judged, bundle, params))


def load_for(bundle_folder: Path, voc: Path) -> Bundle:
    """Load a bundle that is to be judged by labelled photos.

    Raises:
        jetson.errors.BundleError: if it is damaged.
        AnnotationError: if it knows other classes than the photos show.
    """
    bundle = load_bundle(str(bundle_folder))
    if tuple(read_labels(voc / "labels.txt")) != bundle.labels:
        raise AnnotationError(
            voc / "labels.txt", f"names other classes than {bundle_folder}; run `dvc repro`"
        )
    return bundle


def judge(
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
            crop = frame_card(image)
            start = time.perf_counter()
            batch, transform = prepare(crop.image, bundle)
            scores, boxes = runner.infer(batch)
            shown = decode(scores, boxes, transform, thresholds.score, thresholds.nms_iou)
            reading = CardReading(shown, evidence(scores, boxes, transform))
            latency.append(time.perf_counter() - start)
            ranked = decode(scores, boxes, transform, LOWEST_SCORE, thresholds.nms_iou)
            ranked = ranked._replace(boxes=crop.to_picture(ranked.boxes))
            truth = Truth(photo.boxes, photo.labels)
            judged.append(Judged(photo, truth, ranked, in_picture(reading, crop)))
            if network is None:
                continue
            with torch.inference_mode():
                expected = network(torch.from_numpy(batch))
            for ours, theirs in zip((scores, boxes), expected, strict=True):
                difference = max(difference, float(np.abs(ours - theirs[0].numpy()).max()))
    return judged, None if network is None else difference, float(np.median(latency)) * 1000


def score(
    bundle: Bundle,
    judged: Sequence[Judged],
    difference: float | None,
    latency: float,
    params: EvaluateParams,
) -> Scores:
    """Judge what was read, and sit the exam on photographs if the parameters name some."""
    detections, truths = [one.detections for one in judged], [one.truth for one in judged]
    game = play_pairs(bundle, [one.card for one in judged], [one.reading for one in judged])
    return Scores(
        average_precision(detections, truths, len(bundle.labels)),
        accuracy_and_iou(detections, truths, params.iou_threshold, bundle.thresholds.score),
        game,
        {rule: measure_reliability(said, game.won[rule]) for rule, said in game.answers.items()}
        if len(game.pairs)
        else {},
        difference,
        latency,
        None if params.photographs == "none" else _sit_exam(bundle, Path(params.photographs)),
    )


def _sit_exam(bundle: Bundle, photographs: Path) -> Result:
    answers = read_answers(photographs)
    with open_runner("onnxruntime-cpu", bundle) as runner:
        return take_exam(bundle, runner, answers, {AS_PLAYED: bundle.deck, NO_DECK: None})


def metrics_of(scores: Scores) -> dict[str, Any]:
    """Give the numbers as they stand in `metrics.json`."""
    difference = scores.onnx_difference
    return {
        "mAP": round(scores.average.map, 4),
        "mAP50": round(scores.average.map50, 4),
        "accuracy": round(scores.agreement.accuracy, 4),
        "mean_iou": round(scores.agreement.mean_iou, 4),
        "pairs": len(scores.game.pairs),
        "game": {rule: round(share, 4) for rule, share in scores.game.accuracy.items()},
        "probability": {rule: _reliability_metrics(one) for rule, one in scores.reliability.items()},
        **({} if difference is None else {"onnx_difference": float(f"{difference:.1e}")}),
        "latency_ms": round(scores.latency_ms, 2),
        **({} if scores.exam is None else {"photographs": _exam_metrics(scores.exam)}),
    }


def _exam_metrics(exam: Result) -> dict[str, float]:
    metrics = {
        "cards_found": exam.found / exam.known if exam.known else math.nan,
        "false_cards": exam.false,
        "right": exam.share("right", AS_PLAYED),
        "wrong": exam.share("wrong", AS_PLAYED),
        "right_without_deck": exam.share("right", NO_DECK),
        "wrong_without_deck": exam.share("wrong", NO_DECK),
    }
    return {name: round(value, 4) for name, value in metrics.items() if not math.isnan(value)}


def _reliability_metrics(reliability: Reliability) -> dict[str, float]:
    named = {name: getattr(reliability, name) for name in ("ece", "nll", "answered", "wrong")}
    return {name: round(value, 4) for name, value in named.items() if not np.isnan(value)}


def outcomes_of(game: Game, judged: Sequence[Judged], bundle: Bundle, params: EvaluateParams) -> Outcomes:
    """Give photo by photo and pair by pair what the metrics consist of."""
    single = [
        accuracy_and_iou([one.detections], [one.truth], params.iou_threshold, bundle.thresholds.score)
        for one in judged
    ]
    numbers: dict[frozenset[int], int] = {}
    return Outcomes(
        photos=tuple(one.photo.name for one in judged),
        cards=np.array([numbers.setdefault(one.card, len(numbers)) for one in judged]),
        right=np.array([one.right for one in single]),
        wrong=np.array([one.wrong for one in single]),
        overlap=np.array([one.mean_iou * one.right for one in single]),
        pairs=game.pairs[:, :2],
        won=game.won,
    )
