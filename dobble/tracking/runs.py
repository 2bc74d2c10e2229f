"""Logs a finished result to MLflow as one run, whatever of it is there already, and makes none twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from dobble.paths import EVALUATION, HISTORY, LIVE_RUN, MANIFEST, PARAMS, PIPELINE_LOCK, VALIDATION
from dobble.storage.places import file_md5
from dobble.tracking.finished_result import (
    MEASURED_TAG,
    Result,
    flatten,
    locked_training_key,
    read_result,
)
from dobble.tracking.mlflow_client import Mlflow, alone, open_mlflow
from dobble.tracking.running_training import (
    FLOW_TAG,
    HISTORY_TAG,
    RESULT_TAG,
    agrees,
    create_run,
    left_run,
    log_epochs,
    log_params,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT_TAG = "dvc.exp"
FILES = (PIPELINE_LOCK, HISTORY, MANIFEST)
FOLDERS = (EVALUATION, VALIDATION)


@dataclass(frozen=True)
class RunReference:
    """A run in MLflow; `url` is its page, None if no server shows it."""

    run_id: str
    name: str
    url: str | None


def log_run(root: Path = Path(), flow_run: str | None = None) -> RunReference:
    """Log parameters, epochs, test metrics, figures and reports; a result that is logged is found again.

    A run that was opened while the training ran is completed; so is one that broke off half-way.

    Args:
        root: folder of the project.
        flow_run: name or address of the Prefect flow run.

    Raises:
        MissingInputError: if a stage has not run.
        StaleResultError: if `build/` is not what `dvc.lock` says.
        TrackingError: if MLflow is away or refuses; the same call goes on later.
    """
    result = read_result(root)
    tags = {} if flow_run is None else {FLOW_TAG: flow_run}
    history = file_md5(root / HISTORY)
    with alone(root), open_mlflow(root) as mlflow:
        run = find_result(mlflow, result.id)
        if run is None:
            run = _opened_by_training(mlflow, root, result, history) or create_run(mlflow, {})
        # A run of `log_experiments` has all but files and the test photos' hash
        if run.info.status != "FINISHED" or MEASURED_TAG not in run.data.tags:
            mlflow.client.update_run(run.info.run_id, "RUNNING")
            log_result(mlflow, run, result, tags)
            mlflow.client.log_text(
                run.info.run_id, yaml.safe_dump(result.params, sort_keys=False), PARAMS.name
            )
            _log_files(mlflow, run.info.run_id, root)
            mlflow.client.set_terminated(run.info.run_id, "FINISHED")
            (root / LIVE_RUN).unlink(missing_ok=True)
        return RunReference(run.info.run_id, run.info.run_name, mlflow.run_page(run.info.run_id))


def find_result(mlflow: Mlflow, result: str) -> "Run | None":
    """Find the run of a result, finished or not."""
    found = mlflow.client.search_runs(
        [mlflow.experiment_id],
        f"tags.`{RESULT_TAG}` = '{result}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return found[0] if found else None


def log_result(mlflow: Mlflow, run: "Run", result: Result, tags: dict[str, str]) -> None:
    """Log all of a result but its files; what a run has already is not logged twice."""
    from mlflow.entities import Metric, RunTag  # noqa: PLC0415 - takes seconds

    run_id, start = run.info.run_id, run.info.start_time
    named = {**result.tags, **tags, RESULT_TAG: result.id}
    mlflow.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in named.items()])
    log_params(mlflow, run, flatten(result.params))
    log_epochs(mlflow, run, list(result.history))
    metrics = [Metric(f"test/{name}", value, start, 0) for name, value in result.metrics.items()]
    mlflow.client.log_batch(run_id, metrics=metrics)


def _opened_by_training(mlflow: Mlflow, root: Path, result: Result, history: str) -> "Run | None":
    """Find the run that grew with this training, on this machine or on another one."""
    found = mlflow.client.search_runs(
        [mlflow.experiment_id],
        f"tags.`{HISTORY_TAG}` = '{history}'",
        order_by=["attributes.start_time DESC"],
    )
    params, training = flatten(result.params), locked_training_key(root)
    for run in found:
        if RESULT_TAG not in run.data.tags and agrees(run, params, training):
            return run
    return left_run(mlflow, root, list(result.history), params, training)


def _log_files(mlflow: Mlflow, run_id: str, root: Path) -> None:
    for name in FILES:
        if (root / name).is_file():
            parent = name.parent.name or None
            mlflow.client.log_artifact(run_id, str(root / name), parent)
    for name in FOLDERS:
        if (root / name).is_dir():
            mlflow.client.log_artifacts(run_id, str(root / name), name.name)
