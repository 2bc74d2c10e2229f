"""Bundles as versions in MLflow, and the succession of champions."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from mlflow_server import Line
from pipelines import files_of
from tracked_project import Project

from dobble.registry.versions import Succession, promote, register, rollback, versions
from dobble.tracking.errors import TrackingUnreachableError, VersionError
from dobble.tracking.mlflow_client import Mlflow, open_mlflow
from dobble.tracking.runs import log_run
from jetson.play.bundle import load_bundle

pytest_plugins = ["tracked_fixtures"]


@pytest.fixture
def mlflow(project: Project, database: str) -> Iterator[Mlflow]:
    with open_mlflow(project.root) as opened:
        yield opened


@pytest.fixture
def three(project: Project, mlflow: Mlflow) -> Project:
    """A project with versions 1, 2 and 3, of one run."""
    for number in range(1, 4):
        project.rerun(bundle=f"revision {number}")
        register(log_run(project.root), project.root)
    return project


def get(address: str, route: str, **query: str) -> bytes:
    """What a device does: no client of MLflow's, only HTTP."""
    with urllib.request.urlopen(f"{address}{route}?{urlencode(query)}") as answer:
        return bytes(answer.read())


def download(address: str, folder: Path, alias: str) -> dict[str, str]:
    """Fetch the bundle of an alias into a folder and give the tags of its version."""
    answer = get(address, "/api/2.0/mlflow/registered-models/alias", name="dobble", alias=alias)
    version = json.loads(answer)["model_version"]
    which = {"name": "dobble", "version": version["version"]}
    manifest = get(address, "/model-versions/get-artifact", path="manifest.json", **which)
    for name in ["manifest.json", *json.loads(manifest)["files"]]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(get(address, "/model-versions/get-artifact", path=name, **which))
    return {tag["key"]: tag["value"] for tag in version["tags"]}


def champion(mlflow: Mlflow) -> str:
    return str(mlflow.client.get_model_version_by_alias("dobble", "champion").version)


def test_the_whole_bundle_can_be_fetched_by_plain_http_and_checked_by_the_tags(
    project: Project, line: Line, tmp_path: Path
) -> None:
    run = log_run(project.root)
    version = register(run, project.root)
    assert (version.name, version.version, version.is_new) == ("dobble", "1", True)
    assert version.url == f"{line.address}/#/models/dobble/versions/1"
    tags = download(line.address, tmp_path / "fetched", "candidate")
    bundle = project.root / "build/bundle"
    assert files_of(tmp_path / "fetched") == files_of(bundle)
    assert any(name.startswith("samples/") for name in files_of(bundle))
    assert load_bundle(str(tmp_path / "fetched")).model_sha256 == tags["model.sha256"]
    manifest = (tmp_path / "fetched/manifest.json").read_bytes()
    assert tags["bundle.manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert tags["bundle.bytes"] == str(sum(len(content) for content in files_of(bundle).values()))
    assert tags["bundle.files"] == str(len(files_of(bundle)))
    metrics = json.loads((project.root / "build/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert float(tags["test.mAP"]) == metrics["mAP"]
    assert float(tags["test.game.joint"]) == metrics["game"]["joint"]
    assert tags["validation.passed"] == "true"
    assert [(one.version, one.run) for one in versions(project.root)] == [("1", run.name)]


def test_the_same_bundle_keeps_its_version_and_tells_its_newest_evaluation(
    project: Project, database: str
) -> None:
    register(log_run(project.root), project.root)
    project.rerun(mAP=0.75)
    again = register(log_run(project.root), project.root)
    assert (again.version, again.is_new) == ("1", False)
    [listed] = versions(project.root)
    assert (listed.metrics["mAP"], listed.aliases) == (0.75, ("candidate",))
    project.rerun(bundle="another revision")
    assert register(log_run(project.root), project.root).version == "2"
    assert [(one.version, one.aliases) for one in versions(project.root)] == [
        ("2", ("candidate",)),
        ("1", ()),
    ]


def test_a_server_that_dies_while_a_bundle_is_sent_has_no_half_version(
    project: Project, line: Line, tmp_path: Path
) -> None:
    run = log_run(project.root)
    line.cut_after(100_000)
    with pytest.raises(TrackingUnreachableError, match="nothing is lost"):
        register(run, project.root)
    with pytest.raises(TrackingUnreachableError, match="connection refused"):
        register(run, project.root)
    line.mend()
    assert versions(project.root) == []
    assert register(run, project.root).version == "1"
    download(line.address, tmp_path / "fetched", "candidate")
    assert files_of(tmp_path / "fetched") == files_of(project.root / "build/bundle")


def test_rolling_back_goes_through_the_champions_in_their_order(three: Project, mlflow: Mlflow) -> None:
    root = three.root
    assert promote("1", root) == Succession("1", None)
    assert promote("3", root) == Succession("3", "1")
    assert promote("3", root) == Succession("3", "1")  # changes nothing
    assert promote("2", root) == Succession("2", "3")
    assert rollback(root) == Succession("3", "2")
    assert promote("1", root) == Succession("1", "3")
    assert [rollback(root).champion for _ in range(2)] == ["3", "1"]
    assert champion(mlflow) == "1"
    with pytest.raises(VersionError, match="nothing to roll back to: version 1 is the first"):
        rollback(root)


def test_a_champion_chosen_in_mlflow_s_own_pages_is_one_of_them(three: Project, mlflow: Mlflow) -> None:
    promote("1", three.root)
    mlflow.client.set_registered_model_alias("dobble", "champion", "2")
    assert promote("3", three.root) == Succession("3", "2")
    assert [rollback(three.root).champion for _ in range(2)] == ["2", "1"]


def test_a_champion_that_was_deleted_is_passed_over(three: Project, mlflow: Mlflow) -> None:
    for version in ("1", "2", "3"):
        promote(version, three.root)
    mlflow.client.delete_model_version("dobble", "2")
    assert rollback(three.root) == Succession("1", "3")


def test_a_version_that_is_not_there_is_named_with_those_that_are(three: Project) -> None:
    with pytest.raises(VersionError, match=r"^dobble has no version 4: there are 3, 2, 1$"):
        promote("4", three.root)
    with pytest.raises(VersionError, match="there is no champion"):
        rollback(three.root)
