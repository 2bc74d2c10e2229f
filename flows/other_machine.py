"""A stage on another machine: sent to a work pool, run there on a clone, and fetched by its pins."""

import time
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID

from prefect import State, Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Cancelling, Completed

from dobble.env import REPOSITORY, REVISION, STACK, tracking_address
from dobble.files import replaced_file
from dobble.paths import DATA, DATA_PIN
from dobble.pipeline.errors import (
    ElsewhereError,
    FailedElsewhereError,
    InputsChangedError,
    NoWorkerError,
    StageTimeoutError,
)
from dobble.pipeline.lock_entry import take_over
from dobble.pipeline.own_code import run_own_code
from dobble.pipeline.revision import PINS, pushed_revision
from dobble.pipeline.stages import Stage, StageRun, Status, read_stages, read_status, reproduce
from dobble.storage.pins import outputs
from dobble.storage.remote import pull as pull_pinned
from dobble.storage.stack import current_stack
from flows.stages import CACHED, PATIENT, run_stage
from flows.transfer import push

FLOW, ENTRYPOINT = "stage", "flows/other_machine.py:stage_there"
_CLONE = {
    "prefect.deployments.steps.git_clone": {
        "repository": f"{{{{ ${REPOSITORY} }}}}",
        "commit_sha": f"{{{{ ${REVISION} }}}}",
    }
}
_LOCK = "dvc.lock"
_POLL_SECONDS, _LAST_LINES = 2.0, 6


def sent_to(pool: str, worker_seconds: float) -> Task[..., Any]:
    """Give a task that takes the place of `run_stage` and has a worker of a pool run the stage.

    Code and parameters go as the commit, which must be pushed; data and results as what `data.dvc` and
    `dvc.lock` pin, through the remote. Of the `dvc.lock` that comes back, the stage's own entry is taken
    over, which is the one that a run here would leave. A stage that DVC calls fresh is not sent, nor is one
    whose inputs are not what is pinned: it would run there on others than those that are here.

    Args:
        pool: name of the work pool.
        worker_seconds: how long to wait until a worker has begun.
    """

    @task(task_run_name=f"{{stage.name}} on {pool}", cache_policy=NO_CACHE, persist_result=False)
    def run_stage_elsewhere(stage: Stage, status: Status | None = None) -> Any:
        start = time.monotonic()
        now = read_status()
        if now.calls_fresh(stage, Path()):
            done = reproduce(stage, status=status, tell=get_run_logger().info)
            return Completed(name=CACHED, message="DVC calls it fresh, and its outputs are here", data=done)
        pins = (*stage.needs, *([str(DATA_PIN)] if stage.reads(str(DATA)) else []))
        if stale := [name for name in pins if name in now.changed]:
            raise InputsChangedError(stage.name, stale)
        lock = _run_there(stage, pool, worker_seconds)
        fetch_outputs(stage, lock)
        done = StageRun(stage.name, cached=False, seconds=time.monotonic() - start)
        return Completed(message=f"ran on {pool} for {done.seconds:.1f} s", data=done)

    return run_stage_elsewhere


@flow(name=FLOW)
def stage_there(stage: str, pins: dict[str, str]) -> None:
    """Run a stage in the clone that this process was started in, and push what it made.

    Args:
        stage: its name.
        pins: texts of `data.dvc` and `dvc.lock` of where it was sent from.
    """
    run_own_code()
    for name in PINS:
        if name in pins:
            with replaced_file(Path(name)) as side:
                side.write_text(pins[name], encoding="utf-8")
    wanted = next(one for one in read_stages() if one.name == stage)
    pull_inputs(wanted)
    _: Any = run_stage(wanted)
    push(wanted.outs)
    create_markdown_artifact(Path(_LOCK).read_text(encoding="utf-8"), description=f"{_LOCK} after {stage}")


@task(task_run_name="pull what {stage.name} reads", **PATIENT)
def pull_inputs(stage: Stage) -> State[None]:
    """Bring the pinned data and results that a stage depends on."""
    inputs = _inputs(stage)
    return Completed(message=f"pulled {', '.join(inputs)} from {pull_pinned(paths=inputs)}")


@task(task_run_name="fetch {stage.name}", **PATIENT)
def fetch_outputs(stage: Stage, lock: str) -> State[None]:
    """Take over what `dvc.lock` says about a stage elsewhere, and bring its outputs; it does not run here."""
    take_over(stage, lock)
    made = [output.path for output in outputs() if stage.writes(output.path)]
    remote = pull_pinned(paths=made)
    return Completed(message=f"pulled {', '.join(made)} from {remote}")


def _inputs(stage: Stage) -> list[str]:
    return [output.path for output in outputs() if stage.reads(output.path)]


def _run_there(stage: Stage, pool: str, worker_seconds: float) -> str:
    """Have the stage run and give the `dvc.lock` that it left."""
    if get_current_settings().api.url is None:
        raise ElsewhereError("train_on needs a Prefect server that the worker knows: set PREFECT_API_URL")
    variables = _job_environment()
    push.fn(_inputs(stage))
    pins = {name: Path(name).read_text(encoding="utf-8") for name in PINS if Path(name).is_file()}
    with get_client(sync_client=True) as client:
        deployment = _deploy(client, pool)
        sent: Any = run_deployment(
            deployment,
            parameters={"stage": stage.name, "pins": pins},
            job_variables={"env": variables},
            timeout=0,
        )
        get_run_logger().info("sent to pool %s as run %s", pool, sent.name)
        try:
            run = _follow(client, sent, stage, pool, worker_seconds)
        except BaseException:
            _cancel(client, sent.id)
            raise
        if run.state is None or not run.state.is_completed():
            ended = "unknown" if run.state is None else f"{run.state.name} ({run.state.message})"
            raise FailedElsewhereError(stage.name, pool, ended, _last_lines(client, run.id))
        found = client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    locks = [one.data for one in found if one.description == f"{_LOCK} after {stage.name}"]
    if not locks:
        raise ElsewhereError(f"stage {stage.name!r} ran on pool {pool!r} but left no {_LOCK}: run it again")
    return str(locks[0])


def _job_environment() -> dict[str, str]:
    """What the worker's process must know; credentials are no part of it, they are the worker's own."""
    revision = pushed_revision()
    variables = {REPOSITORY: revision.repository, REVISION: revision.commit}
    used = current_stack()
    if used is not None:
        if not used.stack.remote.is_s3:
            raise ElsewhereError(
                f"stack {used.choice!r} keeps data in a folder of this machine: `dobble stack use s3` first"
            )
        variables[STACK] = used.choice
    tracking = tracking_address()
    if tracking is not None and tracking.startswith("http") and "@" not in tracking:
        variables["MLFLOW_TRACKING_URI"] = tracking
    return variables


def _deploy(client: SyncPrefectClient, pool: str) -> UUID:
    """Make the pool's deployment, the same each time: which commit it runs, each run is told."""
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        cure = "make it by `prefect work-pool create`, or correct train_on"
        raise ElsewhereError(f"there is no work pool {pool!r}: {cure}") from None
    return client.create_deployment(
        client.create_flow_from_name(FLOW),
        pool,
        work_pool_name=pool,
        path=".",
        entrypoint=ENTRYPOINT,
        pull_steps=[_CLONE],
        tags=["elsewhere"],
        enforce_parameter_schema=False,
    )


def _follow(
    client: SyncPrefectClient, run: FlowRun, stage: Stage, pool: str, worker_seconds: float
) -> FlowRun:
    """Log what the run logs until it ends."""
    start, told, tell = time.monotonic(), 0, get_run_logger().info
    while True:
        run = client.read_flow_run(run.id)
        while lines := _log_lines(client, run.id, told):
            told += len(lines)
            for line in lines:
                tell("%s: %s", pool, line)
        state, waited = run.state, time.monotonic() - start
        if state is not None and state.is_final():
            return run
        if (state is None or state.is_scheduled() or state.is_pending()) and waited > worker_seconds:
            raise NoWorkerError(stage.name, pool, worker_seconds)
        if waited > worker_seconds + stage.seconds:
            raise StageTimeoutError(stage.name, stage.seconds)
        sleep(_POLL_SECONDS)


def _log_lines(client: SyncPrefectClient, run: UUID, after: int) -> list[str]:
    found = client.read_logs(_log_of(run), limit=200, offset=after, sort=LogSort.TIMESTAMP_ASC)
    return [log.message for log in found]


def _last_lines(client: SyncPrefectClient, run: UUID) -> list[str]:
    found = client.read_logs(_log_of(run), limit=_LAST_LINES, sort=LogSort.TIMESTAMP_DESC)
    return [log.message for log in reversed(found)]


def _log_of(run: UUID) -> LogFilter:
    return LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]), level=LogFilterLevel(ge_=20))


def _cancel(client: SyncPrefectClient, run: UUID) -> None:
    """Ask the worker to end the run; one that nobody has begun ends at once."""
    with suppress(Exception):
        state = client.read_flow_run(run).state
        begun = state is not None and state.is_running()
        client.set_flow_run_state(run, Cancelling() if begun else Cancelled())
