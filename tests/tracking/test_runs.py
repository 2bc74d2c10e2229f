"""Finished results as runs in MLflow."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from mlflow_server import Line
from tracked_project import Project

from dobble.errors import MissingInputError
from dobble.tracking.errors import (
    StaleResultError,
    TrackingAccessError,
    TrackingAddressError,
    TrackingError,
    TrackingUnreachableError,
)
from dobble.tracking.mlflow_client import Mlflow, open_mlflow
from dobble.tracking.runs import log_run

pytest_plugins = ["tracked_fixtures"]


@pytest.fixture
def mlflow(project: Project, database: str) -> Iterator[Mlflow]:
    with open_mlflow(project.root) as opened:
        yield opened


def runs(mlflow: Mlflow) -> list[str]:
    return [run.info.run_id for run in mlflow.client.search_runs([mlflow.experiment_id])]


def artifacts(mlflow: Mlflow, run_id: str, folder: str | None = None) -> set[str]:
    found: set[str] = set()
    for item in mlflow.client.list_artifacts(run_id, folder):
        found |= artifacts(mlflow, run_id, item.path) if item.is_dir else {item.path}
    return found


def test_a_run_has_parameters_epochs_metrics_files_and_where_it_comes_from(
    project: Project, mlflow: Mlflow
) -> None:
    reference = log_run(project.root, flow_run="eager-otter")
    run = mlflow.client.get_run(reference.run_id)
    assert (run.info.run_name, run.info.status) == (reference.name, "FINISHED")
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["train.augmentation.zoom"] == "[0.75, 1.2]"
    assert run.data.params["split.group_by"] == "deck"
    # The history that the pipeline's fixture writes
    expected = {"train/class_loss": [4.9, 3.1], "val/mAP50": [0.1, 0.5]}
    for name, values in expected.items():
        logged = mlflow.client.get_metric_history(run.info.run_id, name)
        assert sorted((metric.step, metric.value) for metric in logged) == list(enumerate(values, 1))
    metrics = json.loads((project.root / "build/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert run.data.metrics["test/mAP"] == metrics["mAP"]
    assert run.data.metrics["test/game.joint"] == metrics["game"]["joint"]
    tags = run.data.tags
    assert tags["git.revision"] == project.git("rev-parse", "HEAD")
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))
    assert tags["data.md5"] == lock["stages"]["convert"]["deps"][0]["md5"]
    assert (tags["git.dirty"], tags["validation.passed"]) == ("false", "true")
    assert tags["prefect.flow_run"] == "eager-otter"
    kept = artifacts(mlflow, run.info.run_id)
    assert kept >= {
        "dvc.lock", "params.yaml", "train/history.csv", "bundle/manifest.json", "validation/metrics.json",
        "evaluation/report/report.html", "evaluation/report/confusion.png", "evaluation/plots/confusion.csv",
    }  # fmt: skip


def test_a_result_that_did_not_change_stays_one_run_and_another_is_another(
    project: Project, mlflow: Mlflow
) -> None:
    first = log_run(project.root)
    assert log_run(project.root) == first
    assert runs(mlflow) == [first.run_id]
    assert len(mlflow.client.get_metric_history(first.run_id, "val/mAP")) == 2
    project.rerun(mAP=0.9)
    second = log_run(project.root)
    assert runs(mlflow) == [second.run_id, first.run_id]


def test_code_and_parameters_make_a_revision_dirty_and_results_do_not(
    project: Project, mlflow: Mlflow
) -> None:
    project.rerun(mAP=0.9)  # changes dvc.lock, which git knows
    assert mlflow.client.get_run(log_run(project.root).run_id).data.tags["git.dirty"] == "false"
    project.set_param("registry", "margin", 0.3)
    project.rerun(mAP=0.91)
    assert mlflow.client.get_run(log_run(project.root).run_id).data.tags["git.dirty"] == "true"


def test_parameters_are_those_that_the_stages_ran_with(project: Project, mlflow: Mlflow) -> None:
    project.set_param("train", "epochs", 99)
    run_id = log_run(project.root).run_id
    assert mlflow.client.get_run(run_id).data.params["train.epochs"] == "2"


def test_a_server_that_breaks_off_half_way_is_given_the_rest_later(project: Project, line: Line) -> None:
    line.cut_after(30_000)
    with pytest.raises(TrackingUnreachableError, match="nothing is lost: run `dobble log`"):
        log_run(project.root)
    line.mend()
    with open_mlflow(project.root) as mlflow:
        [begun] = runs(mlflow)
        assert mlflow.client.get_run(begun).info.status == "RUNNING"
        reference = log_run(project.root)
        assert reference.run_id == begun
        assert reference.url == f"{line.address}/#/experiments/{mlflow.experiment_id}/runs/{begun}"
        assert runs(mlflow) == [begun]
        assert mlflow.client.get_run(begun).info.status == "FINISHED"
        assert "evaluation/report/report.html" in artifacts(mlflow, begun)


def test_without_an_address_runs_are_kept_in_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir("/")
    reference = log_run(project.root)
    assert reference.url is None
    kept = project.root / ".dobble/mlruns" / reference.run_id / "artifacts"
    assert (kept / "evaluation/report/report.html").is_file()
    assert (project.root / ".dobble/mlflow.db").is_file()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mlruns", "MLFLOW_TRACKING_URI=mlruns is neither a server nor a database: set it to http://"),
        ("file:///tmp/runs", "MLFLOW_TRACKING_URI=file:///tmp/runs is neither a server nor a database"),
        ("http://user:secret@host:99999", "MLFLOW_TRACKING_URI=http://host:99999 names no host, or no valid"),
        ("http://", "names no host, or no valid port"),
    ],
)
def test_an_address_that_is_none_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(TrackingAddressError) as error:
        log_run(project.root)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, TrackingAccessError, "refuses access: check MLFLOW_TRACKING_USERNAME"),
        (403, TrackingAccessError, "refuses access"),
        (503, TrackingUnreachableError, "does not answer (HTTP 503); nothing is lost"),
    ],
)
def test_a_server_that_lets_nobody_in_is_told_from_one_that_is_away(
    project: Project, monkeypatch: pytest.MonkeyPatch, status: int, error: type[TrackingError], message: str
) -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{refusing.server_port}")
        with pytest.raises(error) as raised:
            log_run(project.root)
        refusing.shutdown()
    assert message in str(raised.value)


def test_build_that_is_not_what_the_lock_says_is_not_logged(project: Project) -> None:
    project.edit("build/evaluation/metrics.json", mAP=1.0)
    with pytest.raises(StaleResultError, match=r"metrics\.json is not what dvc\.lock says: run `dvc repro`"):
        log_run(project.root)


@pytest.mark.parametrize("missing", ["dvc.lock", "build/bundle", "build/splits/test.txt"])
def test_a_stage_that_has_not_run_is_named(project: Project, missing: str) -> None:
    path = project.root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingInputError, match=missing):
        log_run(project.root)
