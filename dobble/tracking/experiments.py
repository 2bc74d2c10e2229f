"""Brings what `dvc exp run` has done to MLflow: a run for each experiment, joined by its name."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dobble.errors import MissingInputError
from dobble.paths import HISTORY, METRICS, PARAMS, PIPELINE_LOCK, TRAINED
from dobble.storage.dvc_command import run_dvc
from dobble.storage.pins import members
from dobble.storage.places import cache_folder
from dobble.tracking.finished_result import (
    EpochMetrics,
    Result,
    data_tags,
    locked_params,
    numbers,
    parse_history,
    result_id,
)
from dobble.tracking.mlflow_client import Mlflow, alone, open_mlflow
from dobble.tracking.running_training import create_run
from dobble.tracking.runs import EXPERIMENT_TAG, RunReference, find_result, log_result


@dataclass(frozen=True)
class Experiment:
    """An experiment of DVC: its name and the commit that holds its result."""

    name: str
    revision: str


def log_experiments(root: Path = Path()) -> list[RunReference]:
    """Log every experiment that has a result; a result that is logged only gets the experiment's name.

    All is read from git and DVC's cache, so that the workspace may hold whatever it holds; figures and
    reports, which need the workspace, are left to `log_run`.

    Raises:
        DvcError: if DVC cannot list the experiments.
        TrackingError: if MLflow is away or refuses; the same call goes on later.
    """
    found = [(one, result) for one in list_experiments(root) if (result := _read(root, one)) is not None]
    if not found:
        return []
    with alone(root), open_mlflow(root) as mlflow:
        return [_log(mlflow, experiment, result) for experiment, result in found]


def list_experiments(root: Path = Path()) -> list[Experiment]:
    """List DVC's experiments that came to an end.

    Raises:
        DvcError: if DVC cannot.
    """
    listed = run_dvc(["exp", "show", "--all-commits", "--json"], root)
    return [
        Experiment(last["name"], last["rev"])
        for commit in json.loads(listed)
        for experiment in commit.get("experiments") or []
        for last in (experiment.get("revs") or [])[:1]
        if last.get("name") and last.get("data") and not last.get("error")
    ]


def _log(mlflow: Mlflow, experiment: Experiment, result: Result) -> RunReference:
    tags = {EXPERIMENT_TAG: experiment.name}
    run = find_result(mlflow, result.id)
    if run is None:
        run = create_run(mlflow, tags, experiment.name)
    run_id = run.info.run_id
    if run.info.status != "FINISHED":
        log_result(mlflow, run, result, tags)
        mlflow.client.log_text(run_id, yaml.safe_dump(result.params, sort_keys=False), PARAMS.name)
        mlflow.client.set_terminated(run_id, "FINISHED")
    elif run.data.tags.get(EXPERIMENT_TAG) != experiment.name:
        mlflow.client.set_tag(run_id, EXPERIMENT_TAG, experiment.name)
        mlflow.client.update_run(run_id, name=experiment.name)
    return RunReference(run_id, experiment.name, mlflow.run_page(run_id))


def _read(root: Path, experiment: Experiment) -> Result | None:
    """Read an experiment's result from its commit, None if it has not come as far as the evaluation."""
    lock, metrics = (_committed(root, experiment, name) for name in (PIPELINE_LOCK, METRICS))
    if lock is None or metrics is None:
        return None
    locked: dict[str, Any] = yaml.safe_load(lock)
    try:
        result = result_id(locked)
    except MissingInputError:
        return None
    return Result(
        id=result,
        params=locked_params(locked),
        metrics=numbers(json.loads(metrics)),
        history=tuple(_history(root, locked)),
        tags={"git.revision": experiment.revision, **data_tags(locked)},
    )


def _history(root: Path, lock: dict[str, Any]) -> list[EpochMetrics]:
    """Read the epochs from DVC's cache; none if it does not have them any more."""
    kept = cache_folder(root) / "files" / "md5"
    listed = next(
        (out["md5"] for out in lock["stages"]["train"]["outs"] if out["path"] == TRAINED.as_posix()), ""
    )
    try:
        inside = members((kept / listed[:2] / listed[2:]).read_bytes())[HISTORY.name]
        return parse_history((kept / inside[:2] / inside[2:]).read_text(encoding="utf-8").splitlines())
    except (OSError, KeyError):
        return []


def _committed(root: Path, experiment: Experiment, name: Path) -> str | None:
    command = ["git", "show", f"{experiment.revision}:./{name.as_posix()}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout if done.returncode == 0 else None
