"""Follows a training while it runs and logs its epochs to MLflow as they happen, without disturbing it."""

import contextvars
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dobble.errors import DobbleError
from dobble.files import replaced_file
from dobble.paths import GROWING_HISTORY, HISTORY, LIVE_RUN, PARAMS, PIPELINE_LOCK
from dobble.storage.pins import read_yaml
from dobble.storage.places import file_md5
from dobble.tracking.finished_result import (
    EpochMetrics,
    code_tags,
    data_tags,
    flatten,
    read_history,
    training_key,
)
from dobble.tracking.mlflow_client import Mlflow, open_mlflow, without_password

if TYPE_CHECKING:
    from mlflow.entities import Run

HISTORY_TAG, TRAINING_TAG, RESULT_TAG = "dobble.history", "dobble.training", "dobble.result"
FLOW_TAG = "prefect.flow_run"

_LOOK_SECONDS, _FAREWELL_SECONDS = 0.25, 5.0
_log = logging.getLogger(__name__)


@contextmanager
def watch_epochs(root: Path, on_epoch: Callable[[EpochMetrics], object]) -> Iterator[None]:
    """Call `on_epoch` with every epoch of a training that runs within the block, in whatever process.

    A training that goes on after a kill starts with the epochs it has; one that DVC takes from its cache has
    none. The calls come from a thread that has the context variables of this one; their errors are logged.
    """
    watch = _Watch(root, on_epoch)
    thread = threading.Thread(target=contextvars.copy_context().run, args=(watch.follow,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.ended.set()
        thread.join()


class LiveRun:
    """A run in MLflow that is made by the first epoch and grows with each."""

    def __init__(self, root: Path, flow_run: str | None) -> None:
        self._root, self._flow_run = root, flow_run
        self._given: queue.Queue[EpochMetrics | None] = queue.Queue()
        self._epochs: list[EpochMetrics] = []
        self._status = "FINISHED"
        self._thread = threading.Thread(target=self._work, daemon=True)

    def log_epoch(self, epoch: EpochMetrics) -> None:
        """Log an epoch as soon as MLflow takes it; returns at once."""
        if self._thread.ident is None:
            self._thread.start()
        self._given.put(epoch)

    def close(self, status: str) -> None:
        """End the run; what MLflow does not take within seconds is left to `log_run`."""
        if not self._thread.is_alive():
            return
        self._status = status
        self._given.put(None)
        self._thread.join(_FAREWELL_SECONDS)

    def _work(self) -> None:
        ended = False
        while not ended:
            waiting = [self._given.get()]
            while not self._given.empty():
                waiting.append(self._given.get())
            ended = None in waiting
            self._epochs += [epoch for epoch in waiting if epoch is not None]
            try:
                self._send(ended=ended)
            except DobbleError as error:
                _log.warning("epochs will be logged later: %s", error)
            except Exception:  # noqa: BLE001 - no fault here may end the training that it watches
                _log.exception("epochs will be logged later")

    def _send(self, *, ended: bool) -> None:
        with open_mlflow(self._root) as mlflow:
            run = self._run(mlflow)
            log_epochs(mlflow, run, self._epochs)
            if not ended:
                return
            history = self._root / HISTORY
            if self._status == "FINISHED" and history.is_file():
                mlflow.client.set_tag(run.info.run_id, HISTORY_TAG, file_md5(history))
            mlflow.client.set_terminated(run.info.run_id, self._status)

    @cached_property
    def _training(self) -> tuple[dict[str, str], str | None]:
        """Parameters and key as they were at the first epoch, whatever is edited while the training runs.

        Those of later stages are not certain yet.
        """
        return flatten({"train": read_yaml(self._root / PARAMS)["train"]}), training_key(self._root)

    def _run(self, mlflow: Mlflow) -> "Run":
        params, training = self._training
        found = left_run(mlflow, self._root, self._epochs, params, training)
        if found is not None:
            if found.info.status != "RUNNING":
                mlflow.client.update_run(found.info.run_id, "RUNNING")
            return found
        tags = {**code_tags(self._root), **_data_tags(self._root)}
        if training is not None:
            tags[TRAINING_TAG] = training
        if self._flow_run is not None:
            tags[FLOW_TAG] = self._flow_run
        run = create_run(mlflow, tags)
        with replaced_file(self._root / LIVE_RUN) as side:
            facts = {"address": without_password(mlflow.address), "run_id": run.info.run_id}
            side.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        log_params(mlflow, run, params)
        return run


@contextmanager
def open_live_run(root: Path, flow_run: str | None = None) -> Iterator[LiveRun]:
    """Open a run for the training within the block; there is none in MLflow before the first epoch.

    Nothing here raises or waits for MLflow; only leaving the block waits, up to 5 s, for the last epochs.

    Args:
        root: folder of the project.
        flow_run: name or address of the Prefect flow run, to find one from the other.
    """
    live = LiveRun(root, flow_run)
    status = "FAILED"
    try:
        yield live
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        live.close(status)


def left_run(
    mlflow: Mlflow, root: Path, epochs: list[EpochMetrics], params: dict[str, str], training: str | None
) -> "Run | None":
    """Find the run that the last training here left, if it is the one of these epochs and has no result yet.

    One of another training, which never came to its end, is ended.

    Args:
        mlflow: where to look.
        root: folder of the project.
        epochs: all that the present training has had.
        params: by their dotted names, what it runs with.
        training: its key, None if it is not known.
    """
    try:
        left = json.loads((root / LIVE_RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if left.get("address") != without_password(mlflow.address):
        return None
    found = mlflow.client.search_runs(
        [mlflow.experiment_id], f"attributes.run_id = '{left.get('run_id')}'", max_results=1
    )
    if not found or RESULT_TAG in found[0].data.tags:
        return None
    known = {point for epoch in epochs for point in points(epoch)}
    if agrees(found[0], params, training) and logged_epochs(mlflow, found[0]) <= known:
        return found[0]
    if found[0].info.status == "RUNNING":
        mlflow.client.set_terminated(found[0].info.run_id, "KILLED")
    return None


def agrees(run: "Run", params: dict[str, str], training: str | None) -> bool:
    """Whether nothing that a run says speaks against these parameters and this training."""
    same = run.data.tags.get(TRAINING_TAG, training) == training
    return same and all(run.data.params.get(name, value) == value for name, value in params.items())


def create_run(mlflow: Mlflow, tags: dict[str, str], name: str | None = None) -> "Run":
    """Make a run of the project's experiment."""
    return mlflow.client.create_run(mlflow.experiment_id, tags=tags, run_name=name)


def log_params(mlflow: Mlflow, run: "Run", params: dict[str, str]) -> None:
    """Log the parameters that a run does not have yet."""
    from mlflow.entities import Param  # noqa: PLC0415 - takes seconds

    missing = [Param(name, value) for name, value in params.items() if name not in run.data.params]
    mlflow.client.log_batch(run.info.run_id, params=missing)


def log_epochs(mlflow: Mlflow, run: "Run", epochs: list[EpochMetrics]) -> None:
    """Log the epochs that a run does not have yet, each with its number as step."""
    from mlflow.entities import Metric  # noqa: PLC0415 - takes seconds

    known, now = logged_epochs(mlflow, run), time.time_ns() // 1_000_000
    missing = [
        Metric(name, value, now, step)
        for epoch in epochs
        for name, step, value in points(epoch)
        if (name, step, value) not in known
    ]
    mlflow.client.log_batch(run.info.run_id, metrics=missing)


def points(epoch: EpochMetrics) -> list[tuple[str, int, float]]:
    """Give name, step and value of an epoch's metrics as MLflow shows them: grouped by the split."""
    return [
        (f"{'train' if name.endswith('loss') else 'val'}/{name}", epoch.epoch, value)
        for name, value in epoch.metrics.items()
    ]


def logged_epochs(mlflow: Mlflow, run: "Run") -> set[tuple[str, int, float]]:
    """Give the points of the epochs that a run has."""
    names = [name for name in run.data.metrics if name.startswith(("train/", "val/"))]
    return {
        (name, metric.step, metric.value)
        for name in names
        for metric in mlflow.client.get_metric_history(run.info.run_id, name)
    }


class _Watch:
    """Looks again and again for new lines in the history that training rewrites after every epoch."""

    def __init__(self, root: Path, on_epoch: Callable[[EpochMetrics], object]) -> None:
        self.ended = threading.Event()
        self._growing, self._final, self._on_epoch = root / GROWING_HISTORY, root / HISTORY, on_epoch
        # What lies there now is of an earlier training, which may have been stopped
        self._left, self._left_final = _identity(self._growing), _identity(self._final)
        self._seen = 0

    def follow(self) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            if _identity(self._growing) not in {None, self._left}:
                self._tell(self._growing)
        # The last epoch may have come and gone between two looks
        if self._seen and _identity(self._final) not in {None, self._left_final}:
            self._tell(self._final)

    def _tell(self, path: Path) -> None:
        for epoch in read_history(path)[self._seen :]:
            self._seen += 1
            try:
                self._on_epoch(epoch)
            except Exception:  # noqa: BLE001 - the training must not end by it
                _log.exception("what watches the training failed at epoch %d", epoch.epoch)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _data_tags(root: Path) -> dict[str, str]:
    return data_tags(read_yaml(root / PIPELINE_LOCK)) if (root / PIPELINE_LOCK).is_file() else {}
