"""Registrations at the same time, and a registry that was deleted."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import Line
from tracked_project import Project

import dobble.registry.versions
from dobble.registry.publish import publish
from dobble.registry.receipts import find_publication
from dobble.registry.versions import RegisteredVersion, register, versions
from dobble.tracking.runs import log_run

pytest_plugins = ["tracked_fixtures"]

PUBLISH = "from dobble.registry.publish import publish; print(publish().version)"


@pytest.fixture
def accepted(project: Project) -> Project:
    """A project whose result is good enough."""
    for name in ("min_mAP", "min_game_accuracy"):
        project.set_param("accept", name, 0.0)
    project.rerun(mAP=0.7)
    return project


def test_two_registrations_at_once_in_a_new_database_give_one_version_of_one_run(
    accepted: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path}/shared.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shared")
    other = Path(shutil.copytree(accepted.root, tmp_path / "clone", symlinks=True))
    started = [
        subprocess.Popen([sys.executable, "-c", PUBLISH], cwd=root, stdout=-1, stderr=-1, text=True)
        for root in (accepted.root, other, accepted.root)
    ]
    ended = [(*one.communicate(), one.returncode) for one in started]
    assert [(said, status) for said, _, status in ended] == [("1\n", 0)] * 3, ended
    client = MlflowClient(address)
    assert [str(one.version) for one in client.search_model_versions("name = 'dobble'")] == ["1"]
    assert len(client.search_runs([client.get_experiment_by_name("shared").experiment_id])) == 1


def test_two_machines_that_register_at_once_keep_the_same_version(
    accepted: Project, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log_run(accepted.root)
    other = Path(shutil.copytree(accepted.root, tmp_path / "clone", symlinks=True))
    together, create, done = threading.Barrier(2), dobble.registry.versions._create, []

    def create_together(*arguments):
        together.wait(300)  # both have seen that there is no version yet
        return create(*arguments)

    monkeypatch.setattr(dobble.registry.versions, "_create", create_together)
    threads = [
        threading.Thread(target=lambda root=root: done.append(register(run, root)))
        for root in (accepted.root, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    one, two = done
    assert isinstance(one, RegisteredVersion)
    assert one.version == two.version
    assert sorted([one.is_new, two.is_new]) == [False, True]
    assert [found.version for found in versions(accepted.root)] == [one.version]


def test_registry_that_was_deleted_is_noticed_and_filled_again(accepted: Project, database: str) -> None:
    publish(accepted.root)
    assert find_publication(accepted.root) is not None
    MlflowClient(database).delete_registered_model("dobble")
    assert find_publication(accepted.root) is None
    assert publish(accepted.root).version == "1"
    [listed] = versions(accepted.root)
    assert set(listed.aliases) == {"candidate", "champion"}
