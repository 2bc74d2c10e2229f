"""Projects with results, and a real MLflow server, started once, with a line to it that can be cut."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import Line, MlflowServer, mlflow_server
from pipelines import Pipeline
from s3_server import s3_server
from tracked_project import PASSED, RULE, Project

from dobble.evaluation.evaluate import evaluate

pytest_plugins = ["pipeline_fixtures"]

CHANGED = ("params.yaml", "dvc.lock", "build/bundle", "build/evaluation", "build/train", "build/splits")


@pytest.fixture(scope="session")
def evaluated(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The game of seven symbols, evaluated, validated and committed; to be copied only."""
    root = tmp_path_factory.mktemp("evaluated") / "project"
    shutil.copytree(pipeline.root, root)
    out = root / "build/evaluation"
    made = Pipeline(root, pipeline.params)
    evaluate(made.bundle, made.checkpoint, made.voc, made.splits, made.history, out, made.params.evaluate)
    for picture in out.glob("report/*_deck*"):  # a few files are enough to send
        picture.unlink()
    (root / "build/validation").mkdir()
    (root / "build/validation/metrics.json").write_text(json.dumps(PASSED), encoding="utf-8")
    (root / ".gitignore").write_text("/.dobble/\n/data\n/build/*\n", encoding="utf-8")
    project = Project(root)
    for name, value in RULE.items():
        project.set_param("registry", name, value)
    project.lock()
    project.git("init", "--quiet")
    project.git("add", "params.yaml", "dvc.lock", ".gitignore")
    project.git("commit", "--quiet", "--message", "state")
    return project


@pytest.fixture
def project(evaluated: Project, tmp_path: Path) -> Project:
    """A copy to work in."""
    shutil.copytree(evaluated.root, tmp_path / "project", copy_function=os.link)
    for name in (
        "params.yaml",
        "dvc.lock",
        "build/bundle",
        "build/evaluation",
        "build/train",
        "build/splits",
    ):
        _unlink_from_original(evaluated.root / name, tmp_path / "project" / name)
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow with its artifacts in a bucket."""
    folder = tmp_path_factory.mktemp("mlflow")
    with s3_server(folder / "s3") as s3:
        made = MlflowServer(folder / "server", "s3://bucket/artifacts", s3.endpoint)
        with mlflow_server(made) as running:
            yield running


@pytest.fixture
def line(server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """The way to the server, which has no version yet; every test has an experiment of its own."""
    made = Line(server.port)
    made.mend()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", str(tmp_path))
    yield made
    made.cut()
    _delete_models(server.address)


@pytest.fixture
def database(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A database in the place of the server, made once, for tests that need neither server nor line."""
    address = f"sqlite:///{tmp_path_factory.getbasetemp()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", str(tmp_path))
    MlflowClient(address).create_experiment(str(tmp_path), (tmp_path / "artifacts").as_uri())
    yield address
    _delete_models(address)


def _delete_models(address: str) -> None:
    client = MlflowClient(address)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


def _unlink_from_original(original: Path, copy: Path) -> None:
    if copy.is_file():
        copy.unlink()
        shutil.copyfile(original, copy)
    else:
        shutil.rmtree(copy)
        shutil.copytree(original, copy)
