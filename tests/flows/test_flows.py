"""Flows on a real Prefect server with worker and MLflow, over quick stages; and what goes wrong."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_api import Api
from flow_browser import chromium, open_page, show_run, show_version
from flow_project import STAGES, FlowProject
from mlflow import MlflowClient
from s3_server import KEY, REGION, SECRET, S3Server, free_port

from dobble.errors import ModelRejectedError
from dobble.pipeline.errors import StageFailedError
from dobble.pipeline.made_of_data import is_made_of_pinned_data
from dobble.registry.receipts import find_publication
from dobble.storage.errors import PinnedDataError, RemoteUnreachableError
from dobble.storage.stack import use_stack
from dobble.tracking.errors import TrackingUnreachableError
from flows.data import data
from flows.nightly import nightly
from flows.server.services import running
from flows.server.ui import Addresses, start_ui
from flows.sources import Export, Labelbox
from flows.training import training

pytest_plugins = ["flow_fixtures"]

Ui = tuple[FlowProject, Addresses]


def export_of(project: FlowProject) -> Export:
    """The same photos as those that are pinned."""
    source = project.root / "prepared/data"
    return Export(file=str(source / "export.ndjson"), images=str(source / "images"))


@pytest.fixture
def project(quick_project: FlowProject) -> FlowProject:
    """The project to run flows in, which is the working directory."""
    return quick_project


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 900
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.2)
    return found


def impatient(monkeypatch: pytest.MonkeyPatch, place: str, retries: int = 2) -> None:
    """Let a task of a flow wait no longer than a moment between its tries."""
    module, _, name = place.rpartition(".")
    task = getattr(sys.modules[module], name)
    quick = task.with_options(retries=retries, retry_delay_seconds=0.01, retry_jitter_factor=0)
    monkeypatch.setattr(place, quick)


def start_deployment(api: Api, flow: str, parameters: dict[str, Any]) -> str:
    """Start a flow as the pages do; give the id of its run."""
    deployment = api.get(f"/deployments/name/{flow}/local")
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    return str(api.post(f"/deployments/{deployment['id']}/create_flow_run", body)["id"])


def version_in(project: FlowProject, mlflow: str) -> str:
    """What MLflow made of the result there; other tests register versions as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow)
        published = find_publication(project.root)
    assert published is not None
    return published.version


def ended(api: Api, flow_run: str) -> dict[str, Any]:
    """Wait for the end of a run."""

    def found() -> Any:
        run = api.get(f"/flow_runs/{flow_run}")
        return run if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    run: dict[str, Any] = wait_for(found)
    return run


@dataclass(frozen=True)
class Deployed:
    """A run of the deployment pipeline/local, what it called, and what MLflow made of the result."""

    run: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    version: str


@pytest.fixture(scope="module")
def deployed(ui: Ui) -> Deployed:
    project, addresses = ui
    api = Api(addresses.prefect)
    run = ended(api, start_deployment(api, "pipeline", {"source": export_of(project).model_dump()}))
    assert run["state"]["name"] == "Completed", run["state"]["message"]
    called = [api.called_by(run["id"], flow) for flow in ("data", "training")]
    return Deployed(run, *called, version_in(project, addresses.mlflow))


def test_deployment_started_through_the_api_completes(ui: Ui, deployed: Deployed, api: Api) -> None:
    project, _ = ui
    brought, trained = deployed.data, deployed.training
    assert {"fetch export", "pin", "convert", "split", "push"} == set(api.tasks_of(brought["id"]))
    tasks = api.tasks_of(trained["id"])
    assert [tasks[name]["state"]["name"] for name in STAGES] == ["Cached", "Cached", *["Completed"] * 3]
    assert tasks["register"]["state"]["message"].startswith(f"version {deployed.version} ")
    assert is_made_of_pinned_data(project.root)


def test_pages_of_the_run_show_stages_epochs_metrics_and_links(ui: Ui, deployed: Deployed, api: Api) -> None:
    artifacts = api.artifacts_of(deployed.training["id"])
    assert set(artifacts) == {"stages", "training", "metrics", "links"}
    assert '"stage": "train", "state": "Completed"' in artifacts["stages"]["data"]
    assert artifacts["training"]["data"] == 100.0
    assert artifacts["training"]["description"].startswith("epoch 2 of 2: ")
    assert "| mAP |" in artifacts["metrics"]["data"]
    published = artifacts["links"]["data"]
    assert f"/#/models/dobble/versions/{deployed.version})" in published
    assert "artifacts/evaluation/report/report.html)" in published


@pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")
def test_browser_finds_the_run_with_its_artifacts_and_the_registered_version(
    ui: Ui, deployed: Deployed, api: Api
) -> None:
    _, addresses = ui
    candidate = MlflowClient(addresses.mlflow).get_model_version_by_alias("dobble", "candidate").version
    with open_page() as page:
        show_run(page, addresses.prefect, deployed.training["id"], "Completed")
        show_version(page, addresses.mlflow, "dobble", candidate)
        assert page.get_by_text("candidate").count() >= 1


def test_every_flow_is_deployed_with_typed_parameters_and_a_schedule_that_is_paused(api: Api) -> None:
    # A training that was sent elsewhere has left a deployment of its own.
    local = {"deployments": {"name": {"any_": ["local"]}}}
    found = {one["name"] + ":" + one["entrypoint"]: one for one in api.post("/deployments/filter", local)}
    names = {"data", "training", "pipeline", "nightly"}
    assert set(found) == {f"local:flows/{name}.py:{name}" for name in names}
    at_night = found["local:flows/nightly.py:nightly"]
    assert [(one["active"], one["schedule"]["cron"]) for one in at_night["schedules"]] == [
        (False, "0 2 * * *")
    ]
    assert "nightly" in at_night["tags"]
    assert "Labelbox" in str(at_night["parameter_openapi_schema"])
    assert all(one["global_concurrency_limit"]["limit"] == 1 for one in found.values())


def test_training_with_nothing_to_do_is_cached_throughout_and_asks_no_server(
    ui: Ui, deployed: Deployed, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ui[0].root)
    assert training(return_state=True).is_completed()
    tasks = api.tasks_of(api.newest_run("training")["id"])
    cached = {name for name, one in tasks.items() if one["state"]["name"] == "Cached"}
    assert cached == {*STAGES, "pull", "register", "push"}


def test_night_without_new_data_trains_nothing(
    ui: Ui, deployed: Deployed, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ui[0].root)
    before = api.newest_run("training")["id"]
    state = nightly(export_of(ui[0]), return_state=True)
    assert (state.name, state.message) == ("Completed", "no new data: nothing to train")
    assert api.newest_run("training")["id"] == before


def test_failing_stage_is_red_with_its_last_line_and_nothing_after_it_starts(
    project: FlowProject, api: Api
) -> None:
    project.mark("broken", "split")
    with pytest.raises(StageFailedError, match="error: split finds nothing to work with"):
        training()
    run = api.newest_run("training")
    tasks = api.tasks_of(run["id"])
    assert run["state_type"] == "FAILED"
    assert "error: split finds nothing to work with" in run["state"]["message"]
    assert tasks["split"]["state_type"] == "FAILED"
    assert "error: split finds nothing to work with" in tasks["split"]["state"]["message"]
    assert tasks["split"]["run_count"] == 1
    assert tasks["convert"]["state"]["name"] == "Completed"
    for name in ("train", "export", "evaluate"):
        assert (tasks[name]["state"]["name"], tasks[name]["start_time"]) == ("NotReady", None)
    assert not {"validate the model", "register", "push"} & set(tasks)
    assert '"stage": "split", "state": "Failed"' in api.artifacts_of(run["id"])["stages"]["data"]


def test_model_below_its_limits_is_not_registered(
    project: FlowProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    (project.root / "params.yaml").write_text(text.replace("min_mAP: 0.0", "min_mAP: 0.99"), encoding="utf-8")
    project.dvc("repro", "--quiet")
    with pytest.raises(ModelRejectedError, match=r"the model is not good enough: mAP [\d.]+ is below 0\.99"):
        training()
    assert "register" not in api.tasks_of(api.newest_run("training")["id"])


def test_data_that_is_not_pinned_stops_the_training_before_any_stage(project: FlowProject, api: Api) -> None:
    (project.root / "data/images/new.jpg").write_bytes(b"new")
    with pytest.raises(PinnedDataError, match="0 changed, 1 new, 0 missing"):
        training()
    assert not set(STAGES) & set(api.tasks_of(api.newest_run("training")["id"]))


def test_mlflow_that_is_away_costs_neither_results_nor_push_and_is_made_up_for_later(
    project: FlowProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    impatient(monkeypatch, "flows.training.register")
    with pytest.raises(TrackingUnreachableError, match="nothing is lost: run `dobble log`"):
        training()
    tasks = api.tasks_of(api.newest_run("training")["id"])
    assert tasks["train"]["state"]["name"] == "Completed"
    assert (tasks["register"]["state"]["name"], tasks["register"]["run_count"]) == ("Failed", 3)
    assert tasks["push"]["state"]["name"] == "Completed"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there)
    assert training(return_state=True).is_completed()
    tasks = api.tasks_of(api.newest_run("training")["id"])
    assert (tasks["train"]["state"]["name"], tasks["register"]["state"]["name"]) == ("Cached", "Completed")
    assert find_publication() is not None


def test_s3_that_is_down_at_push_is_tried_again_and_keeps_the_results_here(
    project: FlowProject, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server = S3Server(tmp_path / "s3")
    (project.root / "stack.yaml").write_text(
        f"remote:\n  url: s3://bucket/dvc\n  endpointurl: {server.endpoint}\n  region: {REGION}\n"
    )
    use_stack("stack.yaml", project.root)
    elsewhere = {"path": "build/bundle", "md5": f"{0:032}.dir", "nfiles": 1}
    lock = {"schema": "2.0", "stages": {"export": {"cmd": "make it", "outs": [elsewhere]}}}
    (project.root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    impatient(monkeypatch, "flows.data.push", retries=1)
    with pytest.raises(RemoteUnreachableError):
        data(export_of(project))
    tasks = api.tasks_of(api.newest_run("data")["id"])
    assert (tasks["push"]["state"]["name"], tasks["push"]["run_count"]) == ("Failed", 2)
    assert tasks["split"]["state"]["name"] == "Completed"
    server.start()
    try:
        data(export_of(project))
    finally:
        server.kill()
    tasks = api.tasks_of(api.newest_run("data")["id"])
    assert (tasks["split"]["state"]["name"], tasks["push"]["state"]["name"]) == ("Cached", "Completed")
    assert len(server.objects()) > 28


def test_labelbox_that_is_busy_twice_is_asked_again(
    project: FlowProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
    from labelbox_fixtures import picture
    from labelbox_standin import KEY as LABELBOX_KEY
    from labelbox_standin import Fault, LabelboxStandIn

    box = ("anchor", 1.0, 1.0, 20.0, 20.0)
    with LabelboxStandIn() as standin:
        standin_project = standin.add_project("cards", {f"{n}.jpg": (picture(n), [box]) for n in range(3)})
        monkeypatch.setenv("LABELBOX_API_KEY", LABELBOX_KEY)
        monkeypatch.setenv("DOBBLE_LABELBOX_ENDPOINT", standin.endpoint)
        standin.fail("photo", Fault(status=429, headers={"Retry-After": "0"}), times=2)
        data(Labelbox(project=standin_project, replace=True))
        assert standin.counts["photo"] == 3 + 2
    assert len(list((project.root / "data/images").iterdir())) == 3
    tasks = api.tasks_of(api.newest_run("data")["id"])
    assert tasks["fetch labelbox"]["state"]["name"] == "Completed"


def test_killed_flow_leaves_nothing_running_and_the_night_goes_on_from_the_last_whole_stage(
    project: FlowProject, api: Api
) -> None:
    slow = project.mark("slow", "train")
    environment = {**os.environ, "PREFECT_API_URL": f"{api.address}/api"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows", "training"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(lambda: slow.read_text() == "at work")
        os.kill(flow.pid, signal.SIGKILL)
    finally:
        flow.kill()
        flow.wait()
    shutil.rmtree(slow.parent)
    night = nightly(export_of(project), return_state=True)
    assert (night.name, night.message) == ("Completed", "trained on new data")
    tasks = api.tasks_of(api.newest_run("training")["id"])
    assert [tasks[name]["state"]["name"] for name in ("convert", "split", "train")] == [
        "Cached", "Cached", "Completed"
    ]  # fmt: skip


def test_servers_are_known_by_their_files(ui: Ui) -> None:
    project, addresses = ui
    found = {name: running(name, project.root) for name in ("server", "mlflow", "worker")}
    assert all(found.values())
    # A worker that is killed in another test comes back elsewhere.
    assert [found[name].address for name in ("server", "mlflow")] == [addresses.prefect, addresses.mlflow]


def test_killed_worker_and_its_run_keep_no_later_run_waiting(ui: Ui, deployed: Deployed, api: Api) -> None:
    project, _ = ui
    params = project.root / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 3"), encoding="utf-8")
    slow = project.mark("slow", "train")
    lost = start_deployment(api, "pipeline", {"source": export_of(project).model_dump()})
    wait_for(lambda: slow.read_text() == "at work")
    worker = running("worker", project.root)
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    os.kill(int(api.get(f"/flow_runs/{lost}")["infrastructure_pid"]), signal.SIGKILL)
    shutil.rmtree(slow.parent)
    start_ui(0, 0, project.root)
    assert api.get(f"/flow_runs/{lost}")["state_type"] == "CRASHED"
    assert api.newest_run("training")["state_type"] == "CRASHED"
    assert ended(api, start_deployment(api, "training", {}))["state_type"] == "COMPLETED"
    tasks = api.tasks_of(api.newest_run("training")["id"])
    assert (tasks["split"]["state"]["name"], tasks["train"]["state"]["name"]) == ("Cached", "Completed")
