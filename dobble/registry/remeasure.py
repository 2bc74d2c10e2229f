"""Takes what a registered version came to on the present test photos, and measures it anew if need be."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dobble.errors import AnnotationError, MissingInputError
from dobble.params import Params
from dobble.paths import BUILD, OUTCOMES, SPLITS, VOC
from dobble.registry.versions import NAME, run_of, test_metrics
from dobble.tracking.finished_result import MEASURED_TAG, measured_on, numbers
from dobble.tracking.mlflow_client import Mlflow

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from dobble.evaluation.outcomes import Outcomes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A version's metric on the present test photos, or the problem why there is none.

    Attributes:
        version: its number.
        value: the metric.
        problem: why there is no value.
        outcomes: photo by photo and pair by pair, None if nobody knows.
    """

    version: str
    value: float | None
    problem: str = ""
    outcomes: "Outcomes | None" = None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "problem", f"it is {self.value}")
            object.__setattr__(self, "value", None)


def measured(mlflow: Mlflow, version: "ModelVersion", root: Path, params: Params) -> Measured:
    """Give a version's metric by which the registry compares; what was measured otherwise is measured anew.

    Raises:
        MissingInputError, PhotoError: if the test photos are missing or damaged.
    """
    number, metric = str(version.version), params.registry.metric
    if version.tags.get(MEASURED_TAG) == measured_on(root):
        metrics, outcomes = test_metrics(version), _logged_outcomes(mlflow, version)
    else:
        _log.info("version %s was measured on other photos or by other code: measuring it now", number)
        try:
            metrics, outcomes = _measure(mlflow, version, root, params)
        except AnnotationError as error:  # it knows other classes than these photos show
            return Measured(number, None, str(error))
    return Measured(number, metrics.get(metric), f"{metric} is not among its metrics", outcomes)


def _logged_outcomes(mlflow: Mlflow, version: "ModelVersion") -> "Outcomes | None":
    """Fetch the outcomes that were logged with a version's metrics."""
    from mlflow import MlflowException  # noqa: PLC0415 - takes seconds
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415

    from dobble.evaluation.outcomes import read_outcomes  # noqa: PLC0415 - takes seconds

    source = OUTCOMES.relative_to(BUILD).as_posix()
    with TemporaryDirectory() as folder:
        try:
            fetched = download_artifacts(
                run_id=run_of(version), artifact_path=source, dst_path=folder, tracking_uri=mlflow.address
            )
            return read_outcomes(Path(fetched))
        except (MlflowException, OSError, MissingInputError) as error:
            _log.warning("the outcomes of version %s cannot be had: %s", version.version, error)
            return None


def _measure(
    mlflow: Mlflow, version: "ModelVersion", root: Path, params: Params
) -> tuple[dict[str, float], "Outcomes"]:
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - takes seconds

    from dobble.evaluation.measure import measure  # noqa: PLC0415 - takes seconds

    source = mlflow.client.get_model_version_download_uri(NAME, version.version)
    with TemporaryDirectory() as folder:
        bundle = download_artifacts(source, dst_path=folder, tracking_uri=mlflow.address)
        done = measure(Path(bundle), root / VOC, root / SPLITS, params.evaluate)
    return numbers(done.metrics), done.outcomes
