"""Servers as `make ui` starts them, once for all tests, and projects for flows to work in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow_api import Api
from flow_project import FlowProject, make_project
from pipelines import ROOT, Pipeline
from prefect.settings import PREFECT_API_URL, temporary_settings

from dobble.evaluation.evaluate import evaluate
from flows.server.ui import Addresses, start_ui, stop_ui

pytest_plugins = ["pipeline_fixtures"]


@pytest.fixture(scope="session")
def prepared(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The game of seven symbols in a folder of its own, taken to its evaluation."""
    made = Pipeline(tmp_path_factory.mktemp("prepared") / "game", pipeline.params)
    shutil.copytree(pipeline.root, made.root)
    out = made.root / "build/evaluation"
    evaluate(made.bundle, made.checkpoint, made.voc, made.splits, made.history, out, made.params.evaluate)
    return made


@pytest.fixture(scope="session")
def fresh_project(prepared: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> FlowProject:
    """Pinned data and no result; to be copied only."""
    return make_project(tmp_path_factory.mktemp("flows") / "project", prepared)


@pytest.fixture(scope="session")
def ui(
    fresh_project: FlowProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FlowProject, Addresses]]:
    """A project with Prefect, worker and MLflow running."""
    project = fresh_project.copy(tmp_path_factory.mktemp("ui") / "project")
    shutil.copytree(ROOT / "flows", project.root / "flows")
    shutil.copy(ROOT / "prefect.yaml", project.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        addresses = start_ui(0, 0, project.root)
        try:
            yield project, addresses
        finally:
            stop_ui(project.root)


@pytest.fixture
def api(ui: tuple[FlowProject, Addresses], monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The server, which flows of this process use as well, with the MLflow beside it."""
    _, addresses = ui
    monkeypatch.setenv("MLFLOW_TRACKING_URI", addresses.mlflow)
    with temporary_settings({PREFECT_API_URL: f"{addresses.prefect}/api"}):
        yield Api(addresses.prefect)


@pytest.fixture
def quick_project(fresh_project: FlowProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    """A copy to work in, which is the working directory."""
    made = fresh_project.copy(tmp_path / "project")
    monkeypatch.chdir(made.root)
    return made
