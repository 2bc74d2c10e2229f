"""A bundle and test photos to metrics, plots and a report."""

import base64
import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import SYMBOLS, Pipeline, files_of, full_disk, write_known_cards

from dobble.data.voc import read_annotation, read_image_set, write_lines
from dobble.errors import AnnotationError, CheckpointError, DobbleError, MissingInputError, OutputError
from dobble.evaluation.evaluate import EvaluateSummary, evaluate
from dobble.evaluation.outcomes import read_outcomes
from jetson.errors import BundleError, JetsonError

pytest_plugins = ["pipeline_fixtures"]


def run(made: Pipeline, out: Path) -> EvaluateSummary:
    return evaluate(
        made.bundle, made.checkpoint, made.voc, made.splits, made.history, out, made.params.evaluate
    )


@pytest.fixture(scope="module")
def done(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluateSummary, Path]:
    out = tmp_path_factory.mktemp("evaluated") / "evaluation"
    return run(pipeline, out), out


@pytest.fixture(scope="module")
def out(done: tuple[EvaluateSummary, Path]) -> Path:
    return done[1]


@pytest.fixture
def own(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy to change."""
    shutil.copytree(pipeline.root, tmp_path / "own")
    return Pipeline(tmp_path / "own", pipeline.params)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_metrics_are_those_of_the_contract_and_in_range(done: tuple[EvaluateSummary, Path]) -> None:
    summary, out = done
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == summary.metrics
    assert set(metrics) == {
        "mAP", "mAP50", "accuracy", "mean_iou", "pairs", "game", "probability", "onnx_difference",
        "latency_ms",
    }  # fmt: skip
    assert set(metrics["game"]) == {"simple", "joint", "deck"}
    shares = [metrics[name] for name in ("mAP", "mAP50", "accuracy", "mean_iou")]
    assert all(0 <= share <= 1 for share in [*shares, *metrics["game"].values()])
    assert metrics["mAP"] <= metrics["mAP50"]
    assert 0 <= metrics["onnx_difference"] <= 1e-4  # the untrained weights are steep
    assert metrics["latency_ms"] > 0
    assert summary.photos == 7
    assert metrics["pairs"] == 21  # seven cards, each with each


def test_probabilities_of_both_rules_are_judged(done: tuple[EvaluateSummary, Path]) -> None:
    summary, out = done
    judged = summary.metrics["probability"]
    assert set(judged) == {"joint", "deck"}
    for one in judged.values():
        assert set(one) == {"ece", "nll", "answered", "wrong"}
        assert all(0 <= one[name] <= 1 for name in ("ece", "answered", "wrong"))
        assert one["nll"] > 0
    bins = rows(out / "plots/reliability.csv")
    for rule in ("joint", "deck"):
        mine = [{name: float(row[name]) for name in ("probability", "right", "pairs")} for row in bins
                if row["rule"] == rule]  # fmt: skip
        assert sum(row["pairs"] for row in mine) == 21
        gap = sum(row["pairs"] * abs(row["probability"] - row["right"]) for row in mine) / 21
        assert gap == pytest.approx(judged[rule]["ece"], abs=2e-4)
        won = sum(row["pairs"] * row["right"] for row in mine) / 21
        assert won == pytest.approx(summary.metrics["game"][rule], abs=2e-4)
    page = (out / "report/report.html").read_text(encoding="utf-8")
    assert "Calibration error, deck known" in page
    assert base64.b64encode((out / "report/reliability.png").read_bytes()).decode("ascii") in page


def test_metrics_are_sums_and_means_of_what_is_kept_of_each_photo_and_pair(
    pipeline: Pipeline, done: tuple[EvaluateSummary, Path]
) -> None:
    summary, out = done
    kept = read_outcomes(out / "outcomes")
    assert list(kept.photos) == read_image_set(pipeline.splits / "test.txt")
    assert len(set(kept.cards.tolist())) == 7
    assert len(kept.pairs) == 21
    for rule, share in summary.metrics["game"].items():
        assert kept.won[rule].mean() == pytest.approx(share, abs=1e-4)
    right, wrong = kept.right.sum(), kept.wrong.sum()
    assert right / (right + wrong) == pytest.approx(summary.metrics["accuracy"], abs=1e-4)
    assert kept.overlap.sum() / right == pytest.approx(summary.metrics["mean_iou"], abs=1e-4)


def test_precision_is_given_over_101_recalls(out: Path) -> None:
    curve = rows(out / "plots/precision_recall.csv")
    assert [float(row["recall"]) for row in curve] == pytest.approx([place / 100 for place in range(101)])
    assert all(0 <= float(row["precision"]) <= 1 for row in curve)


def test_every_symbol_has_its_precision(out: Path) -> None:
    assert [row["symbol"] for row in rows(out / "plots/class_precision.csv")] == list(SYMBOLS)


def test_every_labelled_symbol_stands_in_the_confusion_once(pipeline: Pipeline, out: Path) -> None:
    """As named right, as named wrong, or as missed; what lies on nothing comes on top."""
    photos = read_image_set(pipeline.splits / "test.txt")
    names = [
        name for photo in photos for name in read_annotation(pipeline.voc / f"Annotations/{photo}.xml").names
    ]
    pairs = rows(out / "plots/confusion.csv")
    assert sorted(row["actual"] for row in pairs if row["actual"] != "nothing there") == sorted(names)
    assert {row["predicted"] for row in pairs} <= {*SYMBOLS, "missed"}
    assert not any(row["actual"] == "nothing there" and row["predicted"] == "missed" for row in pairs)


def test_the_report_needs_nothing_from_elsewhere_and_shows_the_matches(out: Path) -> None:
    page = (out / "report/report.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert "src=" in page
    matches = sorted((out / "report").glob("match_*.jpg"))
    assert len(matches) == 6
    for match in matches:
        assert base64.b64encode(match.read_bytes()).decode("ascii") in page


def test_deepchecks_looks_at_the_model_and_its_page_is_linked(pipeline: Pipeline, tmp_path: Path) -> None:
    params = pipeline.params.evaluate.model_copy(update={"deepchecks": True, "min_precision": 1.0})
    folders = (pipeline.bundle, pipeline.checkpoint, pipeline.voc, pipeline.splits, pipeline.history)
    done = evaluate(*folders, tmp_path / "out", params)
    report = tmp_path / "out/report"
    assert '<a href="deepchecks.html">' in (report / "report.html").read_text(encoding="utf-8")
    assert "Mean Average Precision Report" in (report / "deepchecks.html").read_text(encoding="utf-8")
    numbers = json.loads((report / "deepchecks.json").read_text(encoding="utf-8"))
    assert numbers["mAP"]["all"] == pytest.approx(done.metrics["mAP"], abs=0.02)
    (objection,) = numbers["findings"]
    assert objection.startswith("Mean Average Precision Report: ")


def test_photographs_with_known_answers_are_played_and_their_page_is_linked(
    own: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photographs = tmp_path / "photographs/mine"
    photographs.mkdir(parents=True)
    write_known_cards(photographs, own, "deck00")
    params = own.params.evaluate.model_copy(update={"photographs": "photographs/mine"})
    folders = (own.bundle, own.checkpoint, own.voc, own.splits, own.history)
    done = evaluate(*folders, tmp_path / "out", params).metrics["photographs"]
    assert set(done) == {"false_cards", "right", "wrong", "right_without_deck", "wrong_without_deck"}
    assert all(0 <= done[name] <= 1 for name in done)
    report = tmp_path / "out/report"
    assert '<a href="photographs/report.html">' in (report / "report.html").read_text(encoding="utf-8")
    with (report / "photographs/failures.csv").open(newline="", encoding="utf-8") as file:
        failed = [row["rule"] for row in csv.DictReader(file) if row["mark"] == "wrong"]
    assert failed.count("without a deck") == round(21 * done["wrong_without_deck"])
    (photographs / "cards.json").unlink()
    with pytest.raises(MissingInputError, match=r"photographs/mine/tables\.json"):
        evaluate(*folders, tmp_path / "out", params)


def cut_model_short(made: Pipeline) -> None:
    model = made.bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-100])


def remove_history(made: Pipeline) -> None:
    made.history.unlink()


def rename_a_class(made: Pipeline) -> None:
    write_lines(made.voc / "labels.txt", [*SYMBOLS[:-1], "nonagon"])


def spoil_checkpoint(made: Pipeline) -> None:
    made.checkpoint.write_bytes(b"no checkpoint")


def empty_test_split(made: Pipeline) -> None:
    (made.splits / "test.txt").write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (cut_model_short, BundleError, r"model\.onnx: has \d+ bytes, the manifest says"),
        (remove_history, MissingInputError, r"history\.csv does not exist: run `dvc repro train`"),
        (rename_a_class, AnnotationError, r"labels\.txt: names other classes than .*bundle"),
        (spoil_checkpoint, CheckpointError, r"checkpoint\.pt: is damaged"),
        (empty_test_split, AnnotationError, r"test\.txt: names no photo"),
    ],
)
def test_bad_input_is_one_line_and_the_earlier_evaluation_stays_whole(
    own: Pipeline,
    done: tuple[EvaluateSummary, Path],
    spoil: Callable[[Pipeline], None],
    error: type[DobbleError | JetsonError],
    message: str,
) -> None:
    target = own.root / "build/evaluation"
    shutil.copytree(done[1], target)
    spoil(own)
    with pytest.raises(error, match=message) as raised:
        run(own, target)
    assert "\n" not in str(raised.value)
    assert files_of(target) == files_of(done[1])
    assert not list(target.parent.glob(".evaluation*"))


def test_a_full_disk_leaves_the_earlier_evaluation_whole(
    own: Pipeline, done: tuple[EvaluateSummary, Path]
) -> None:
    target = own.root / "build/evaluation"
    shutil.copytree(done[1], target)
    with full_disk(15_000), pytest.raises(OutputError, match=r"evaluation could not be .* too large"):
        run(own, target)
    assert files_of(target) == files_of(done[1])
    assert not list(target.parent.glob(".evaluation*"))
