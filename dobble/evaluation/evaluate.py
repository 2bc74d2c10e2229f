"""A bundle and test photos that training never saw to metrics, plots and a report with pictures."""

import json
import math
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
from dobble.errors import AnnotationError, CheckpointError, MissingInputError
from dobble.evaluation.answers import read_answers
from dobble.evaluation.exam import AS_PLAYED, NO_DECK, Result, take_exam
from dobble.evaluation.exam_page import write_exam
from dobble.evaluation.model_check import check_model
from dobble.evaluation.outcomes import Outcomes, write_outcomes
from dobble.evaluation.plots import write_plots
from dobble.evaluation.reliability import Reliability, measure_reliability
from dobble.evaluation.report import (
    Metric,
    Report,
    Section,
    describe_metrics,
    describe_reliability,
    write_report,
)
from dobble.evaluation.showcase import (
    Judged,
    draw_confusions,
    draw_curves,
    draw_extremes,
    draw_matches,
    draw_reliability,
    draw_symbols,
)
from dobble.files import replaced_folder
from dobble.params import EvaluateParams
from jetson.bundle import Bundle, load_bundle
from jetson.cards import frame_card
from jetson.detect import CardReading, decode, evidence, prepare
from jetson.look import in_picture
from jetson.runners import open_runner


@dataclass(frozen=True)
class EvaluateSummary:
    """The metrics as they stand in `metrics.json`."""

    metrics: dict[str, Any]
    photos: int


@dataclass(frozen=True)
class Measurement:
    """What a bundle comes to on the test photos, and photo by photo what that consists of."""

    metrics: dict[str, Any]
    outcomes: Outcomes


class _Scores(NamedTuple):
    average: AveragePrecision
    agreement: Agreement
    game: Game
    reliability: dict[str, Reliability]
    onnx_difference: float | None
    latency_ms: float
    exam: Result | None


def evaluate(
    bundle_folder: Path,
    checkpoint: Path,
    voc: Path,
    splits: Path,
    history: Path,
    out: Path,
    params: EvaluateParams,
) -> EvaluateSummary:
    """Write `metrics.json`, `outcomes/`, `plots/` and `report/` into `out`, which appears whole or not.

    The bundle is run by the device's own code on ONNX Runtime; the checkpoint only serves to compare the
    exported network's raw outputs with PyTorch's.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        CheckpointError: if the checkpoint is.
        MissingInputError, AnnotationError, PhotoError: if an earlier stage's output is missing or damaged.
        AnswersError: if what is known of the photographs cannot be used.
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
        write_outcomes(side / "outcomes", _outcomes(scores.game, judged, bundle, params))
        write_plots(side / "plots", scores.average, scores.reliability, judged, bundle, params.iou_threshold)
        _write_report(side / "report", history, scores, judged, learned, bundle, params)
    return EvaluateSummary(metrics, len(photos))


def measure(bundle_folder: Path, voc: Path, splits: Path, params: EvaluateParams) -> Measurement:
    """Give what `evaluate` writes of a bundle, but for what the checkpoint tells.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        AnnotationError: if it knows other classes than the photos show, or an annotation is damaged.
        MissingInputError, PhotoError: if an earlier stage's output is missing or damaged.
    """
    bundle = _load(bundle_folder, voc)
    judged, difference, latency = _judge(bundle, None, load_split(voc, splits, "test"))
    scores = _score(bundle, judged, difference, latency, params)
    return Measurement(_metrics(scores), _outcomes(scores.game, judged, bundle, params))


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


def _score(
    bundle: Bundle,
    judged: Sequence[Judged],
    difference: float | None,
    latency: float,
    params: EvaluateParams,
) -> _Scores:
    detections, truths = [one.detections for one in judged], [one.truth for one in judged]
    game = play_pairs(bundle, [one.card for one in judged], [one.reading for one in judged])
    return _Scores(
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


def _metrics(scores: _Scores) -> dict[str, Any]:
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


def _outcomes(game: Game, judged: Sequence[Judged], bundle: Bundle, params: EvaluateParams) -> Outcomes:
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
    sections = []
    if scores.exam is not None:
        about = {"photographs": params.photographs, "bundle.model_sha256": bundle.model_sha256}
        page = write_exam(folder / "photographs", scores.exam, bundle.labels, about)
        said = "Photographs with known answers, played as on the device."
        sections.append(Section("Exam on photographs", said, [], page.relative_to(folder).as_posix()))
    threshold, iou = bundle.thresholds.score, params.iou_threshold
    rows = [
        *describe_metrics(
            scores.game, scores.average, scores.agreement, iou_threshold=iou, score_threshold=threshold
        ),
        *describe_reliability(scores.reliability, bundle.thresholds.match_probability),
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
        matches=draw_matches(folder, judged, scores.game.pairs, bundle, params.seed),
        sections=[
            *sections,
            draw_curves(folder, history, scores.average),
            *([draw_reliability(folder, scores.reliability)] if scores.reliability else []),
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
