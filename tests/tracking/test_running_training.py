"""Trainings that are followed while they run, with a server that comes and goes."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mlflow.entities import Run
from mlflow_server import Line
from tracked_project import Project

from dobble.detector.train import train
from dobble.params import TrainParams
from dobble.registry.comparison import compare
from dobble.registry.versions import register
from dobble.tracking.errors import TrackingUnreachableError
from dobble.tracking.finished_result import read_history
from dobble.tracking.mlflow_client import Mlflow, open_mlflow
from dobble.tracking.running_training import EpochMetrics, open_live_run, watch_epochs
from dobble.tracking.runs import log_run

pytest_plugins = ["tracked_fixtures"]


@pytest.fixture
def mlflow(project: Project, line: Line) -> Iterator[Mlflow]:
    with open_mlflow(project.root) as opened:
        yield opened


@pytest.fixture
def epochs(project: Project) -> list[EpochMetrics]:
    """The two epochs of the project's training."""
    return read_history(project.root / "build/train/history.csv")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow server take the last epochs before the block is left."""
    monkeypatch.setattr("dobble.tracking.running_training._FAREWELL_SECONDS", 300.0)


def runs(mlflow: Mlflow) -> list[Run]:
    return list(mlflow.client.search_runs([mlflow.experiment_id]))


def steps(mlflow: Mlflow, run_id: str) -> list[int]:
    return sorted(metric.step for metric in mlflow.client.get_metric_history(run_id, "val/mAP"))


def stop_after(project: Project, epoch: EpochMetrics, error: BaseException) -> None:
    with open_live_run(project.root) as live:
        live.log_epoch(epoch)
        raise error


def wait_for_steps(mlflow: Mlflow, expected: list[int]) -> Run:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = runs(mlflow)
        if found and steps(mlflow, found[0].info.run_id) == expected:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"{expected} never came")


def test_a_training_is_told_epoch_by_epoch(
    squares: tuple[Path, Path], train_params: TrainParams, tmp_path: Path
) -> None:
    told: list[EpochMetrics] = []
    out = tmp_path / "build/train"

    def note(epoch: EpochMetrics) -> None:
        assert not out.exists()  # the training still runs
        told.append(epoch)
        raise RuntimeError("what watches must not end the training")

    with watch_epochs(tmp_path, note):
        train(*squares, out, train_params.model_copy(update={"epochs": 3}))
    written = read_history(out / "history.csv")
    assert len(written) == 3
    assert told[:2] == written[:2]


def test_epochs_of_a_training_that_was_stopped_are_not_told_again(tmp_path: Path) -> None:
    left = tmp_path / "build/.train.resume/history.csv"
    left.parent.mkdir(parents=True)
    left.write_text("epoch,mAP\n1,0.1\n", encoding="utf-8")
    told: list[EpochMetrics] = []
    with watch_epochs(tmp_path, told.append):
        time.sleep(0.6)
        assert told == []
        left.with_suffix(".new").write_text("epoch,mAP\n1,0.3\n2,0.4\n", encoding="utf-8")
        left.with_suffix(".new").replace(left)
        deadline = time.monotonic() + 300
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert told == [EpochMetrics(1, {"mAP": 0.3}), EpochMetrics(2, {"mAP": 0.4})]


def test_a_stage_that_comes_from_the_cache_leaves_no_run(project: Project, mlflow: Mlflow) -> None:
    history = project.root / "build/train/history.csv"
    with open_live_run(project.root) as live, watch_epochs(project.root, live.log_epoch):
        history.write_text(history.read_text(encoding="utf-8"), encoding="utf-8")
        time.sleep(0.5)
    assert runs(mlflow) == []


def test_epochs_are_there_as_they_happen_and_the_result_completes_the_run(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with open_live_run(project.root, flow_run="eager-otter") as live:
        live.log_epoch(epochs[0])
        run = wait_for_steps(mlflow, [1])
        assert run.info.status == "RUNNING"
        assert run.data.params["train.epochs"] == "2"
        assert run.data.tags["git.revision"] == project.git("rev-parse", "HEAD")
        assert "data.md5" in run.data.tags
        assert run.data.tags["prefect.flow_run"] == "eager-otter"
        live.log_epoch(epochs[1])
    assert wait_for_steps(mlflow, [1, 2]).info.status == "FINISHED"
    assert log_run(project.root).run_id == run.info.run_id
    [run] = runs(mlflow)
    assert steps(mlflow, run.info.run_id) == [1, 2]
    assert "test/mAP" in run.data.metrics


def test_a_run_that_grew_on_another_machine_is_completed_here(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with open_live_run(project.root) as live:
        for epoch in epochs:
            live.log_epoch(epoch)
    shutil.rmtree(project.root / ".dobble")
    [run] = runs(mlflow)
    assert log_run(project.root).run_id == run.info.run_id


def test_a_server_that_is_away_neither_stops_nor_delays_a_training(
    project: Project,
    line: Line,
    mlflow: Mlflow,
    epochs: list[EpochMetrics],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line.cut()
    monkeypatch.setattr("dobble.tracking.running_training._FAREWELL_SECONDS", 0.5)
    start = time.monotonic()
    with open_live_run(project.root) as live:
        for epoch in epochs:
            live.log_epoch(epoch)
    assert time.monotonic() - start < 60
    with pytest.raises(TrackingUnreachableError, match="connection refused"):
        log_run(project.root)
    line.mend()
    reference = log_run(project.root)
    assert [run.info.run_id for run in runs(mlflow)] == [reference.run_id]
    assert steps(mlflow, reference.run_id) == [1, 2]


def test_a_server_that_dies_during_a_training_has_one_whole_run_in_the_end(
    project: Project, line: Line, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with open_live_run(project.root) as live:
        live.log_epoch(epochs[0])
        begun = wait_for_steps(mlflow, [1])
        line.cut()
        live.log_epoch(epochs[1])
    line.mend()
    assert steps(mlflow, begun.info.run_id) == [1]
    assert log_run(project.root).run_id == begun.info.run_id
    [run] = runs(mlflow)
    assert (steps(mlflow, run.info.run_id), run.info.status) == ([1, 2], "FINISHED")


def test_a_server_that_comes_back_during_a_training_is_given_what_it_missed(
    project: Project, line: Line, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    line.cut()
    with open_live_run(project.root) as live:
        live.log_epoch(epochs[0])
        time.sleep(0.5)
        line.mend()
        live.log_epoch(epochs[1])
        wait_for_steps(mlflow, [1, 2])


def test_a_training_that_was_stopped_goes_on_in_its_run(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_after(project, epochs[0], KeyboardInterrupt())
    [begun] = runs(mlflow)
    assert begun.info.status == "KILLED"
    with open_live_run(project.root) as live:
        for epoch in epochs:
            live.log_epoch(epoch)
    assert wait_for_steps(mlflow, [1, 2]).info.run_id == begun.info.run_id


def test_run_of_a_training_has_no_parameters_of_stages_that_have_not_run(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with open_live_run(project.root) as live:
        for epoch in epochs:
            live.log_epoch(epoch)
    begun = wait_for_steps(mlflow, [1, 2])
    assert {name.partition(".")[0] for name in begun.data.params} == {"train"}
    # Its model was not good enough; another threshold was, for which nothing was trained again
    project.set_param("export", "score_threshold", 0.31)
    project.rerun(bundle="another threshold")
    run = log_run(project.root)
    assert run.run_id == begun.info.run_id
    register(run, project.root)
    [changed] = [
        row for row in compare("1", run.name, project.root).same if row.name == "export.score_threshold"
    ]
    assert (changed.first, changed.second) == ("0.31", "0.31")


def test_run_of_other_parameters_is_not_gone_on_with_though_its_epochs_are_the_same(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with open_live_run(project.root) as live:
        for epoch in epochs:
            live.log_epoch(epoch)
    begun = wait_for_steps(mlflow, [1, 2])
    project.set_param("train", "threads", 7)
    project.lock()
    run = mlflow.client.get_run(log_run(project.root).run_id)
    assert run.info.run_id != begun.info.run_id
    assert (begun.data.params["train.threads"], run.data.params["train.threads"]) == ("1", "7")


def test_run_of_other_code_is_not_gone_on_with_though_its_epochs_are_the_same(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    (project.root / "loss.py").write_text("weight = 1\n", encoding="utf-8")
    stage = {"cmd": "dobble train", "deps": ["build/voc", "build/splits", "loss.py"], "params": ["train"]}
    (project.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}), encoding="utf-8")
    begun = []
    for weight in (1, 1, 2):
        (project.root / "loss.py").write_text(f"weight = {weight}\n", encoding="utf-8")
        with open_live_run(project.root) as live:
            live.log_epoch(epochs[0])
        begun.append(json.loads((project.root / ".dobble/live-run.json").read_text())["run_id"])
    assert begun[0] == begun[1] != begun[2]


def test_a_training_of_other_epochs_gets_a_run_of_its_own(
    project: Project, mlflow: Mlflow, epochs: list[EpochMetrics]
) -> None:
    with pytest.raises(ValueError, match="the stage failed"):
        stop_after(project, EpochMetrics(1, {"mAP": 0.77}), ValueError("the stage failed"))
    [failed] = runs(mlflow)
    assert failed.info.status == "FAILED"
    with open_live_run(project.root) as live:
        live.log_epoch(epochs[0])
    other = wait_for_steps(mlflow, [1])
    assert other.info.run_id != failed.info.run_id
