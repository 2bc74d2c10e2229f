"""A bundle and test photos that training never saw to metrics, plots and a report with pictures."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dobble.detector.checkpoint import load_checkpoint, restore
from dobble.detector.dataset import LabelledPhoto, load_split
from dobble.detector.network import Deployed
from dobble.errors import CheckpointError, MissingInputError
from dobble.evaluation.exam_page import write_exam
from dobble.evaluation.measure import Scores, judge, load_for, metrics_of, outcomes_of, score
from dobble.evaluation.model_check import check_model
from dobble.evaluation.outcomes import write_outcomes
from dobble.evaluation.plots import write_plots
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
from jetson.play.bundle import Bundle


@dataclass(frozen=True)
class EvaluateSummary:
    """The metrics as they stand in `metrics.json`."""

    metrics: dict[str, Any]
    photos: int


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
    bundle = load_for(bundle_folder, voc)
    photos, learned = (load_split(voc, splits, split) for split in ("test", "train"))
    trained = load_checkpoint(checkpoint)
    network = Deployed(restore(trained, checkpoint)).eval()
    if (trained.labels, len(network.detector.anchors)) != (bundle.labels, bundle.anchors):
        raise CheckpointError(checkpoint, f"is not the one that {bundle_folder} comes from; run `dvc repro`")
    judged, difference, latency = judge(bundle, network, photos)
    scores = score(bundle, judged, difference, latency, params)
    metrics = metrics_of(scores)
    with replaced_folder(out) as side:
        (side / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        write_outcomes(side / "outcomes", outcomes_of(scores.game, judged, bundle, params))
        write_plots(side / "plots", scores.average, scores.reliability, judged, bundle, params.iou_threshold)
        _write_report(side / "report", history, scores, judged, learned, bundle, params)
    return EvaluateSummary(metrics, len(photos))


def _write_report(
    folder: Path,
    history: Path,
    scores: Scores,
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
