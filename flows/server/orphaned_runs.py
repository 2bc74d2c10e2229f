"""Ends in Prefect's eyes the runs that died with their worker: they would keep every later one waiting."""

from typing import Any

from dobble.processes import runs
from flows.server.api import ask

UNFINISHED = ["PENDING", "RUNNING", "CANCELLING"]
MESSAGE = "The worker and this run's process were killed; the next run goes on from the last whole stage."


def give_up_lost_runs(server: str, pool: str) -> None:
    """Mark as crashed what no process works on any more; only while no worker serves the pool.

    Args:
        server: address of Prefect's server.
        pool: a pool of processes on this machine.
    """
    lost = [one for one in _unfinished(server, {}, {"name": {"any_": [pool]}}) if not _works(one)]
    crashed = {"state": {"type": "CRASHED", "name": "Crashed", "message": MESSAGE}, "force": True}
    while lost:
        for one in lost:
            ask(f"{server}/api/flow_runs/{one['id']}/set_state", crashed)
        # The flows that they had called ran in the same process.
        lost = _unfinished(server, {"parent_flow_run_id": {"any_": [one["id"] for one in lost]}})


def _unfinished(
    server: str, runs: dict[str, Any], pools: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"state": {"type": {"any_": UNFINISHED}}, **runs}, "work_pools": pools}
    found: list[dict[str, Any]] = ask(f"{server}/api/flow_runs/filter", wanted)
    return found


def _works(run: dict[str, Any]) -> bool:
    pid = run["infrastructure_pid"]  # none if the worker died before it had one
    return pid is not None and runs(int(pid), "prefect")
