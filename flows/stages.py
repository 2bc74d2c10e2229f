"""Stages of `dvc.yaml` as Prefect tasks, whatever stages there are."""

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

from prefect import State, Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from dobble.errors import DobbleError
from dobble.paths import HISTORY
from dobble.pipeline.stages import Stage, StageRun, Status, read_status, reproduce
from flows.artifacts import StageOutcome, show_stages
from flows.epochs import epochs_shown

CACHED = "Cached"


def worth_another_try(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether Prefect should run a failed task again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, DobbleError) and error.passing


# For tasks that hold locks or talk to servers; what does not pass is tried once.
PATIENT: dict[str, Any] = {
    "retries": 5,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(task_run_name="{stage.name}", **PATIENT)
def run_stage(stage: Stage, status: Status | None = None) -> Any:
    """Run `dvc repro --single-item` for a stage and log each line; give a StageRun.

    The state is called Cached if there was nothing to run.
    """
    with epochs_shown() if stage.writes(str(HISTORY)) else nullcontext():
        done = reproduce(stage, status=status, tell=get_run_logger().info)
    if done.cached:
        return Completed(name=CACHED, message="DVC calls it fresh, and its outputs are here", data=done)
    return Completed(message=f"ran for {done.seconds:.1f} s", data=done)


def run_stages(
    stages: Iterable[Stage], instead: Mapping[str, Task[..., Any]] | None = None
) -> tuple[StageOutcome, ...]:
    """Run stages in order; one whose upstream did not succeed never starts.

    Args:
        stages: what to run.
        instead: by the names of stages, tasks that take the place of `run_stage`.

    Raises:
        StageError: the first that a stage failed with, after all that do not need it have run.
    """
    status = read_status()
    states: dict[str, State[StageRun]] = {}
    outcomes = []
    for stage in stages:
        start = time.monotonic()
        upstream = [states[name] for name in stage.needs if name in states]
        chosen: Any = (instead or {}).get(stage.name, run_stage)
        state: State[StageRun] = chosen(stage, status, wait_for=upstream, return_state=True)
        states[stage.name] = state
        seconds = time.monotonic() - start
        outcomes.append(StageOutcome(stage.name, str(state.name), seconds, state.name == CACHED))
    show_stages(outcomes)
    for state in states.values():
        if state.is_failed() or state.is_crashed() or state.is_cancelled():
            state.result()
    return tuple(outcomes)
