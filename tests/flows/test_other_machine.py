"""The training sent to a second work pool, whose worker clones, pulls from S3, trains and pushes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_api import Api
from flow_project import GIT_USER, FlowProject
from pipelines import ROOT, files_of, write_params
from prefect import flow
from prefect.client.orchestration import get_client
from s3_server import KEY, REGION, SECRET, s3_server

from dobble.pipeline.errors import ElsewhereError, FailedElsewhereError, NoWorkerError, RevisionError
from dobble.pipeline.stages import following, read_stages
from dobble.storage.stack import use_stack
from flows.other_machine import _last_lines, sent_to
from flows.stages import run_stages
from flows.training import training

pytest_plugins = ["flow_fixtures"]

POOL, IDLE = "gpu", "idle"
ANY_MODEL = {"min_mAP": 0.0, "min_game_accuracy": 0.0}
CODE = (
    "dobble",
    "flows",
    "jetson",
    "decks",
    "photographs",
    "dvc.yaml",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    "pyproject.toml",
)


@flow
def until_train(pool: str = POOL, worker_seconds: float = 900.0) -> Any:
    """What `training` does until the training is done, with other patience."""
    later = {stage.name for stage in following(read_stages(), "export")}
    stages = [stage for stage in read_stages() if stage.name not in later]
    return run_stages(stages, {"train": sent_to(pool, worker_seconds)})


@dataclass(frozen=True)
class Caller(FlowProject):
    """A clone with real stages, its data in S3."""

    def publish(self, branch: str, **train: Any) -> None:
        """Commit and push, with other parameters of the training if they are given."""
        if train:
            write_params(self.root, train={"epochs": 1, **train}, accept=ANY_MODEL)
        self.commit()
        self.run("git", "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", *GIT_USER, "commit", "--quiet", "--message", "State")


@pytest.fixture(scope="module")
def caller(game_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with s3_server(folder / "s3") as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.delenv("DOBBLE_STACK", raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        made = Caller(folder / "caller")
        subprocess.run(["git", "init", "--quiet", "--bare", folder / "origin"], check=True)
        subprocess.run(["git", "clone", "--quiet", folder / "origin", made.root], check=True)
        for name in CODE:
            source, target = ROOT / name, made.root / name
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tests"))
            else:
                shutil.copy(source, target)
        shutil.copytree(game_data, made.root / "data")
        write_params(made.root, train={"epochs": 1}, accept=ANY_MODEL)
        remote = {"url": "s3://bucket/dvc", "endpointurl": server.endpoint, "region": REGION}
        (made.root / "stacks").mkdir()
        (made.root / "stacks/test.yaml").write_text(yaml.safe_dump({"remote": remote}))
        use_stack("test", made.root)
        made.dvc("add", "--quiet", "data")
        made.dvc("repro", "--quiet", "validate")
        made.publish("main")
        yield made


@pytest.fixture(scope="module")
def here(caller: Caller) -> Caller:
    """A copy whose training ran where it lies."""
    copy = Caller(Path(shutil.copytree(caller.root, caller.root.parent / "here", symlinks=True)))
    copy.dvc("repro", "--quiet", "--single-item", "train")
    return copy


@pytest.fixture(scope="module")
def worker(ui: Any, caller: Caller, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a worker as another machine has one, with credentials of its own and no project."""
    home = tmp_path_factory.mktemp("worker")
    address = ui[1].prefect
    for pool in (POOL, IDLE):
        Api(address).post("/work_pools/", {"name": pool, "type": "process"})
    environment = {
        **os.environ,
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", POOL]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT)
    yield home / "log"
    process.terminate()
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def at_work(
    caller: Caller, worker: Path, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Caller:
    """A copy of the caller as working directory, where the server is known."""
    copy = Caller(Path(shutil.copytree(caller.root, tmp_path / "caller", symlinks=True)))
    monkeypatch.chdir(copy.root)
    return copy


def lock_of(clone: Caller) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((clone.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return stages


def sent_runs(api: Api) -> list[Any]:
    found: list[Any] = api.post("/flow_runs/filter", {"flows": {"name": {"any_": ["stage"]}}})
    return found


def test_training_on_another_machine_leaves_the_dvc_lock_of_a_training_here(
    at_work: Caller, here: Caller, api: Api, worker: Path
) -> None:
    before = {run["id"] for run in sent_runs(api)}
    state = training(POOL, return_state=True)
    assert state.is_completed(), worker.read_text(errors="replace")[-4000:]
    there = lock_of(at_work)
    assert {"export", "evaluate"} < set(there)
    assert {name: there[name] for name in lock_of(here)} == lock_of(here)
    assert files_of(at_work.root / "build/train") == files_of(here.root / "build/train")
    assert at_work.dvc("status", "train") == here.dvc("status", "train")
    (run,) = [run for run in sent_runs(api) if run["id"] not in before]
    assert (run["state_type"], run["work_pool_name"]) == ("COMPLETED", POOL)
    assert run["parent_task_run_id"] is not None


def test_training_that_is_up_to_date_is_not_sent(at_work: Caller, api: Api) -> None:
    at_work.dvc("repro", "--quiet", "--single-item", "train")
    before = len(sent_runs(api))
    outcomes = until_train()
    assert {one.stage: one.state for one in outcomes} == dict.fromkeys(
        ("convert", "split", "validate", "train"), "Cached"
    )
    assert len(sent_runs(api)) == before


def test_failure_on_the_other_machine_comes_back_with_its_last_lines(at_work: Caller) -> None:
    lock = (at_work.root / "dvc.lock").read_bytes()
    at_work.publish(at_work.root.parent.name, weights="gone.pt")
    with pytest.raises(FailedElsewhereError, match=r"gone\.pt: train\.weights names it, but there is no"):
        until_train()
    assert (at_work.root / "dvc.lock").read_bytes() == lock


def test_last_lines_of_a_long_log_are_its_last(api: Api) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(until_train)
        lines = [
            {"name": "stage", "level": 20, "message": f"line {number}", "flow_run_id": str(run.id)}
            | {"timestamp": (begin + timedelta(seconds=number)).isoformat()}
            for number in range(1, 301)
        ]
        client.create_logs(lines)
        assert _last_lines(client, run.id) == [f"line {number}" for number in range(295, 301)]


def test_pool_that_no_worker_listens_to_is_named_after_the_time_given(at_work: Caller, api: Api) -> None:
    at_work.publish(at_work.root.parent.name, weight_decay=0.5)
    with pytest.raises(NoWorkerError) as error:
        until_train(IDLE, 1.0)
    assert str(error.value) == (
        "stage 'train': no worker of pool 'idle' began within 1 s: start one where the stage shall run:"
        " `prefect worker start --pool idle`"
    )
    (left,) = [run for run in sent_runs(api) if run["work_pool_name"] == IDLE]
    assert left["state_type"] == "CANCELLED"


def test_pool_that_does_not_exist_is_named(at_work: Caller) -> None:
    with pytest.raises(ElsewhereError, match=r"there is no work pool 'no-such': make it by"):
        until_train("no-such")


def test_ctrl_c_ends_the_training_on_the_other_machine(
    at_work: Caller, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running() -> list[Any]:
        return [run for run in sent_runs(api) if run["state_type"] in {"RUNNING", "CANCELLING"}]

    def press(_seconds: float) -> None:
        if running():
            raise KeyboardInterrupt
        wait(0.5)

    wait = time.sleep
    monkeypatch.setattr("flows.other_machine.sleep", press)
    at_work.publish(at_work.root.parent.name, weight_decay=0.25)
    with pytest.raises(KeyboardInterrupt):
        until_train()
    deadline = time.monotonic() + 900
    while running() and time.monotonic() < deadline:
        time.sleep(0.5)
    newest = max(sent_runs(api), key=lambda run: run["created"])
    assert newest["state_type"] == "CANCELLED"


def test_code_that_is_not_pushed_is_refused(at_work: Caller) -> None:
    (at_work.root / "dobble/extra.py").write_text("")
    with pytest.raises(RevisionError, match=r"dobble/extra\.py is not committed: commit and push it"):
        until_train()
    at_work.commit()
    with pytest.raises(RevisionError, match=r"commit [0-9a-f]{8} is on no remote: `git push` it"):
        until_train()
