"""Projects that are moved or copied after runs and models were recorded in them."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dobble.paths import MLFLOW_ARTIFACTS, MLFLOW_DATABASE
from dobble.tracking.mlflow_client import open_mlflow
from flows.server.services import running, start, stop

# In a process of its own: MLflow keeps in memory where a run's artifacts are.
RECORD = """
from pathlib import Path
from dobble.tracking.mlflow_client import open_mlflow
with open_mlflow(Path()) as mlflow:
    run = mlflow.client.create_run(mlflow.experiment_id)
    mlflow.client.log_text(run.info.run_id, "of the first", "note.txt")
    mlflow.client.create_registered_model("dobble")
    mlflow.client.create_model_version("dobble", f"{run.info.artifact_uri}/bundle", run.info.run_id)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one run that has an artifact, and a registered version of it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "first"
    root.mkdir()
    subprocess.run([sys.executable, "-c", RECORD], cwd=root, check=True)
    return root


def test_copy_writes_and_reads_in_its_own_folder(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "second"))
    shutil.rmtree(project / MLFLOW_ARTIFACTS)
    with open_mlflow(copy) as mlflow:
        (run,) = mlflow.client.search_runs([mlflow.experiment_id])
        path = mlflow.client.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))
        assert Path(path).read_text() == "of the first"
        mlflow.client.log_text(run.info.run_id, "of the second", "more.txt")
        assert mlflow.client.get_model_version("dobble", "1").source == f"{run.info.artifact_uri}/bundle"
    assert [path.read_text() for path in (copy / MLFLOW_ARTIFACTS).rglob("more.txt")] == ["of the second"]
    assert not (project / MLFLOW_ARTIFACTS).exists()
    with sqlite3.connect(copy / MLFLOW_DATABASE) as database:
        assert f"{project}/.dobble" not in "\n".join(database.iterdump())


def test_project_that_stays_keeps_its_database_as_it_is(project: Path) -> None:
    with open_mlflow(project):
        pass
    before = (project / MLFLOW_DATABASE).read_bytes()
    with open_mlflow(project):
        pass
    assert (project / MLFLOW_DATABASE).read_bytes() == before


def test_copy_does_not_take_the_servers_of_the_first_for_its_own(tmp_path: Path) -> None:
    first = tmp_path / "first"
    start("server", ["sleep", "600"], "http://127.0.0.1:1", os.environ, first)
    copy = Path(shutil.copytree(first, tmp_path / "second"))
    try:
        assert running("server", copy) is None
        assert not stop("server", copy)
        assert running("server", first) is not None
    finally:
        stop("server", first)
