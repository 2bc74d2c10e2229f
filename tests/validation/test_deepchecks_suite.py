import os
from pathlib import Path

import numpy as np
import pytest
from validate_limits import limits

from dobble.validation.deepchecks_suite import Outcome, Sample, data_suite, model_suite

NAMES = ["anchor", "bomb", "cactus"]


def samples(split: str, number: int, seed: int, brightness: float = 120) -> list[Sample]:
    chance = np.random.default_rng(seed)
    found = []
    for index in range(number):
        image = chance.normal(brightness + chance.normal(0, 6), 30, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        corner = chance.uniform(0, 20, (3, 2))
        boxes = np.hstack([corner, corner + chance.uniform(6, 20, (3, 2))]).astype(np.float32)
        found.append(Sample(f"{split}{index:02d}", image, boxes, np.arange(3)))
    return found


@pytest.fixture(scope="module")
def planted() -> Outcome:
    """Forty photos of which one is nearly white and one has lost two of its three boxes."""
    splits = {"train": samples("train", 28, 0), "val": samples("val", 4, 1), "test": samples("test", 12, 2)}
    one = splits["val"][1]
    splits["val"][1] = one._replace(image=np.full_like(one.image, 250))
    two = splits["train"][20]
    splits["train"][20] = two._replace(boxes=two.boxes[:1], labels=two.labels[:1])
    return data_suite(splits, NAMES, limits(deepchecks=True))


def test_outliers_are_warnings_that_name_the_right_photo(planted: Outcome) -> None:
    found = {(finding.photo, finding.finding.partition(" is ")[0]) for finding in planted.findings}
    assert ("val01", "Brightness") in found
    assert ("train20", "Boxes per photo") in found
    assert {photo for photo, _ in found} == {"val01", "train20"}
    assert all(finding.severity == "warning" for finding in planted.findings)


def test_metrics_hold_shares_and_drift_scores(planted: Outcome) -> None:
    assert planted.metrics["outlier_share"]["Boxes per photo"] == round(1 / 44, 4)
    assert 0 <= planted.metrics["image_drift"]["Brightness"] < 0.6
    assert planted.metrics["label_drift"]["Number of Bounding Boxes Per Image"] < 0.1
    assert planted.metrics["not_run"] == []


def test_the_report_needs_no_network_and_holds_plotly_once(planted: Outcome, tmp_path: Path) -> None:
    planted.write_html(tmp_path / "deepchecks.html")
    html = (tmp_path / "deepchecks.html").read_text(encoding="utf-8")
    assert "Image Property Drift" in html
    assert "<script src=" not in html
    assert len(html) < 12_000_000


def test_deepchecks_does_not_call_home(planted: Outcome) -> None:
    assert planted.result is not None
    assert os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] == "true"


def test_drift_new_labels_and_too_many_outliers_are_errors() -> None:
    splits = {
        "train": samples("train", 24, 0),
        "val": samples("val", 2, 1),
        "test": samples("test", 12, 2, brightness=180),
    }
    splits["train"] = [
        sample._replace(boxes=sample.boxes[:2], labels=sample.labels[:2]) for sample in splits["train"]
    ]
    outcome = data_suite(splits, NAMES, limits(deepchecks=True, max_outlier_share=0.0))
    failed = {
        finding.finding.partition(":")[0] for finding in outcome.findings if finding.severity == "error"
    }
    assert {"Image Property Drift", "Label Drift", "New Labels"} <= failed
    assert outcome.metrics["image_drift"]["Brightness"] == 1


def test_checks_that_cannot_run_are_said() -> None:
    splits = {name: samples(name, 3, seed) for seed, name in enumerate(("train", "val", "test"))}
    outcome = data_suite(splits, NAMES, limits(deepchecks=True))
    not_run = ["Image Property Outliers", "Label Property Outliers", "Image Property Drift", "Label Drift"]
    assert outcome.metrics["not_run"] == not_run
    assert [(found.severity, found.finding) for found in outcome.findings] == [
        ("warning", f"{name} could not run") for name in not_run
    ]


@pytest.mark.parametrize(("least", "fails"), [(0.5, False), (1.1, True)])
def test_a_model_is_checked_by_class_and_by_size_of_symbols(least: float, fails: bool) -> None:
    def detected(sample: Sample) -> Sample:
        found = np.column_stack([sample.boxes, np.full(3, 0.9), sample.labels]).astype(np.float32)
        return sample._replace(detected=found)

    splits = {name: [detected(one) for one in samples(name, 12, 4)] for name in ("train", "test")}
    outcome = model_suite(splits, NAMES, least)
    # every symbol is found at its place
    assert outcome.metrics["mAP"]["all"] == pytest.approx(1, abs=0.01)
    assert set(outcome.metrics["mAP"]) == {"all", "small", "medium", "large"}
    assert outcome.metrics["not_run"] == []
    assert bool(outcome.findings) is fails
