"""Pictures and boxes of the splits to what Deepchecks says of them: findings, numbers, and an HTML report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dobble.params import ValidateParams
from dobble.validation.deepchecks_page import deepchecks, write_page
from dobble.validation.findings import Finding

# Far outliers: the usual 1.5 times the interquartile range flags one photo in a hundred of the best data.
_IQR_SCALE = 3.0
_OUTLIER_PROPERTIES = ("Aspect Ratio", "Brightness", "RMS Contrast")
_DRIFT_PROPERTIES = (
    *_OUTLIER_PROPERTIES,
    "Mean Red Relative Intensity",
    "Mean Green Relative Intensity",
    "Mean Blue Relative Intensity",
)
_BOX_COUNT = "Boxes per photo"


class Sample(NamedTuple):
    """One photo as Deepchecks sees it; boxes are in pixels of `image`.

    Attributes:
        photo: photo id.
        image: uint8 [h, w, 3] RGB; small, for a whole split is held at once.
        boxes: float32 [N, 4], xyxy.
        labels: int64 [N], class ids.
        detected: float32 [M, 6], detections as x1, y1, x2, y2, score, class id; None without a model.
    """

    photo: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    detected: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Outcome:
    """What the checks of a suite found.

    Attributes:
        findings: photos that are outliers are warnings, failed conditions are errors.
        metrics: outlier shares and drift scores by property, and the names of checks that could not run.
        result: Deepchecks' own result.
    """

    findings: list[Finding]
    metrics: dict[str, Any]
    result: Any = field(repr=False)

    def write_html(self, path: Path) -> None:
        """Write the report as one page that needs no network; the path must be new."""
        write_page(self.result, path)


def data_suite(
    splits: Mapping[str, Sequence[Sample]], names: Sequence[str], limits: ValidateParams
) -> Outcome:
    """Look for outliers among all photos, and for drift and new labels between train and test.

    Args:
        splits: samples of `train`, `val` and `test`.
        names: of the classes.
        limits: shares of outliers and drift scores above which a condition fails.
    """
    with deepchecks() as library:
        checks, suite = library.vision.checks, library.vision.Suite
        count = {"name": _BOX_COUNT, "method": _box_counts, "output_type": "numerical"}
        everything = [sample for samples in splits.values() for sample in samples]
        total, most = len(everything), limits.max_outlier_share
        pictures = checks.ImagePropertyOutliers(
            image_properties=_properties(_OUTLIER_PROPERTIES), iqr_scale=_IQR_SCALE, n_samples=None
        )
        boxes = checks.LabelPropertyOutliers(label_properties=[count], iqr_scale=_IQR_SCALE, n_samples=None)
        drift = checks.ImagePropertyDrift(image_properties=_properties(_DRIFT_PROPERTIES), n_samples=None)
        label_drift = checks.LabelDrift(n_samples=None)
        new_labels = checks.NewLabels(n_samples=None)
        for check in (pictures, boxes):
            check.add_condition(f"Outliers are at most {most:.0%} of the photos", _few(total, most))
        drift.add_condition_drift_score_less_than(limits.max_image_drift)
        label_drift.add_condition_drift_score_less_than(limits.max_label_drift, limits.max_label_drift)
        new_labels.add_condition_new_label_ratio_less_or_equal(0)
        outliers = suite("All photos", pictures, boxes).run(_vision_data("all photos", everything, names))
        drifts = suite("Train and test", drift, label_drift, new_labels).run(
            _vision_data("train", splits["train"], names), _vision_data("test", splits["test"], names)
        )
        result = library.core.SuiteResult("Labelled photos", [*outliers.results, *drifts.results])
    metrics: dict[str, Any] = {"outlier_share": {}, "image_drift": {}, "label_drift": {}}
    metrics["not_run"] = _not_run(result)
    findings: list[Finding] = []
    for done in _ran(outliers):
        for name, value in done.value.items():
            photos = _outliers(value)
            metrics["outlier_share"][name] = round(len(photos) / total, 4)
            usual = f"{value['lower_limit']:.3g} to {value['upper_limit']:.3g}" if photos else ""
            findings += [_outlier(photo, name, usual) for photo in photos]
    for done in _ran(drifts):
        kind = {"Image Property Drift": "image_drift", "Label Drift": "label_drift"}.get(done.check.name())
        if kind:
            metrics[kind] = {name: round(value["Drift score"], 4) for name, value in done.value.items()}
    return Outcome([*_failed(result), *findings], metrics, result)


def model_suite(
    splits: Mapping[str, Sequence[Sample]], names: Sequence[str], least_precision: float
) -> Outcome:
    """Check a trained model's detections: average precision and recall of each class and size of symbols.

    Sizes are thirds of the test split's boxes, by area.

    Args:
        splits: samples of `train` and `test`, each with `detected`.
        names: of the classes.
        least_precision: mean average precision (IoU .50 to .95) below which the condition fails.
    """
    with deepchecks() as library:
        checks, suite = library.vision.checks, library.vision.Suite
        train, test = (_vision_data(name, splits[name], names) for name in ("train", "test"))
        scorers = ["average_precision_per_class", "average_recall_per_class"]
        by_class = checks.ClassPerformance(scorers=scorers, n_samples=None)
        by_size = checks.MeanAveragePrecisionReport(area_range=_thirds(splits["test"]), n_samples=None)
        by_size.add_condition_mean_average_precision_greater_than(least_precision)
        sizes = suite("Test", by_size).run(test)
        classes = suite("Train and test", by_class).run(train, test)
        result = library.core.SuiteResult("Model", [*classes.results, *sizes.results])
    metrics: dict[str, Any] = {"mAP": {}, "not_run": _not_run(result)}
    for done in _ran(sizes):
        precision = done.value["mAP@[.50::.95] (avg.%)"]
        # Deepchecks calls a size "Large (area < 28^2)", in pixels of pictures that have been shrunk.
        names_of = (size.partition(" (")[0].lower() for size in precision.index)
        metrics["mAP"] = {
            size: round(float(value), 4) for size, value in zip(names_of, precision, strict=True)
        }
    return Outcome(_failed(result), metrics, result)


class _OneBatch:
    """A loader that can be read again and again.

    Deepchecks loses the first batch of a generator, and with more than one batch it names wrong photos.
    """

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[Any]:
        return iter([self._batch])

    def __len__(self) -> int:
        return 1


def _vision_data(name: str, samples: Sequence[Sample], names: Sequence[str]) -> Any:
    vision = import_module("deepchecks.vision")
    detections = [sample.detected for sample in samples if sample.detected is not None]
    batch = vision.BatchOutputFormat(
        images=[sample.image for sample in samples],
        labels=[np.column_stack([sample.labels, _sized(sample.boxes)]) for sample in samples],
        predictions=[_detections(detected) for detected in detections] or None,
        image_identifiers=[sample.photo for sample in samples],
    )
    return vision.VisionData(
        _OneBatch(batch),
        task_type="object_detection",
        label_map=dict(enumerate(names)),
        dataset_name=name,
        reshuffle_data=False,
    )


def _sized(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes as corner and size."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1)


def _detections(detected: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([_sized(detected), detected[:, 4:]], axis=1)


def _properties(names: Sequence[str]) -> list[dict[str, Any]]:
    known = import_module("deepchecks.vision.utils.image_properties").default_image_properties
    return [entry for entry in known if entry["name"] in names]


def _thirds(samples: Sequence[Sample]) -> tuple[float, float]:
    """Areas that part all boxes into thirds: the usual limits, in pixels, may leave one part empty."""
    boxes = np.concatenate([sample.boxes for sample in samples])
    low, high = np.quantile((boxes[:, 2:] - boxes[:, :2]).prod(1), (1 / 3, 2 / 3))
    return float(low), float(high)


def _box_counts(labels: list[Any]) -> list[int]:
    return [len(label.reshape(-1, 5)) for label in labels]


def _few(total: int, most: float) -> Callable[[Any], Any]:
    """A condition: no property has too many outliers."""
    core = import_module("deepchecks.core")

    def condition(value: Mapping[str, Any]) -> Any:
        shares = {name: len(_outliers(found)) / total for name, found in value.items()}
        worst = max(shares, key=lambda name: shares[name])
        category = core.ConditionCategory.FAIL if shares[worst] > most else core.ConditionCategory.PASS
        return core.ConditionResult(category, f"{worst}: {shares[worst]:.1%} of the photos")

    return condition


def _outliers(value: Any) -> list[str]:
    """Photos that Deepchecks names; it gives a text instead where there are too few to tell."""
    return [str(photo) for photo in value["outliers_identifiers"]] if isinstance(value, dict) else []


def _outlier(photo: str, name: str, usual: str) -> Finding:
    text = f"{name} is far from that of the other photos (usual: {usual})"
    return Finding(photo, "warning", "outlier", text, "look at the photo and its boxes")


def _ran(result: Any) -> list[Any]:
    return [done for done in result.results if not hasattr(done, "exception")]


def _not_run(result: Any) -> list[str]:
    return [failure.check.name() for failure in result.results if hasattr(failure, "exception")]


def _failed(result: Any) -> list[Finding]:
    """Conditions that do not hold, as errors, and checks that could not run, as warnings."""
    broken = [
        Finding("", "warning", "deepchecks", f"{done.check.name()} could not run", str(done.exception))
        for done in result.results
        if hasattr(done, "exception")
    ]
    return broken + [
        Finding(
            "",
            "error",
            "deepchecks",
            f"{done.check.name()}: {condition.details}",
            f"wanted: {condition.name}; see deepchecks.html",
        )
        for done in _ran(result)
        for condition in done.conditions_results
        if not condition.is_pass()
    ]
