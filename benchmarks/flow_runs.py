"""Measures what a flow adds to `dvc repro` with nothing to do, task by task, and what runs leave.

Run it in a project whose `dvc repro` is up to date and whose training flow has run once.
"""

import argparse
import os
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from flows.server.history import forget_old_runs
from flows.training import training

HERE = Path(__file__).parent
machine = runpy.run_path(str(HERE / "machine.py"))
DATABASE = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
ALLOWED_SECONDS = 3.0


def main() -> None:
    """Print the tables; exit with 1 if a flow adds more than 3 s or leaves something behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each")
    parser.add_argument("--runs", type=int, default=20, help="runs in a row, counted for what they leave")
    parser.add_argument("--kept", type=int, default=5, help="runs that the database keeps meanwhile")
    arguments = parser.parse_args()
    print(f"Nothing to do, on {machine['machine']()}\n")
    start = time.perf_counter()
    training()  # starts the ephemeral server, where none is set
    first = time.perf_counter() - start
    flows, tasks = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        state = training(return_state=True)
        flows.append(time.perf_counter() - start)
        tasks.append(task_seconds(state.state_details.flow_run_id))
    repro = [timed([sys.executable, "-m", "dvc", "repro", "--quiet"]) for _ in range(arguments.rounds)]
    added = statistics.median(flows) - statistics.median(repro)
    rows = [("dvc repro", statistics.median(repro)), ("training flow", statistics.median(flows))]
    rows += [(f"  {name}", statistics.median(one[name] for one in tasks)) for name in tasks[0]]
    rows += [("first run, with the start of the server", first), ("flow beyond dvc repro", added)]
    machine["print_table"](("nothing to do", "seconds"), ((name, f"{value:.2f}") for name, value in rows))
    left, sizes = leavings(arguments.runs, arguments.kept)
    print(f"\n{arguments.runs} runs in a row, the newest {arguments.kept} kept: {left} processes more,")
    print("database in kB after each: " + ", ".join(f"{size / 1000:.0f}" for size in sizes))
    print(f"\nbar: at most {ALLOWED_SECONDS:g} s more: {'reached' if added <= ALLOWED_SECONDS else 'missed'}")
    sys.exit(added > ALLOWED_SECONDS or left > 0)


def task_seconds(flow_run: Any) -> dict[str, float]:
    """Ask the server how long each task of a run took."""
    # Imported only now: Prefect reads its settings then, and the import of flows makes them.
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId  # noqa: PLC0415

    time.sleep(1)  # it hears of the last ones a little later
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
    ordered = sorted(found, key=lambda one: one.start_time)
    return {one.name: (one.end_time - one.start_time).total_seconds() for one in ordered}


def leavings(runs: int, kept: int) -> tuple[int, list[int]]:
    """Run the flow as a command again and again; give processes left and the database's sizes in bytes."""
    before, sizes = processes(), []
    for _ in range(runs):
        timed([sys.executable, "-m", "flows", "training"])
        forget_old_runs(DATABASE, kept)
        sizes.append(sum(path.stat().st_size for path in DATABASE.parent.glob("prefect.db*")))
    return len(processes() - before), sizes


def processes() -> set[int]:
    """List the processes that work in this folder, this one and its children left out."""
    own = {os.getpid(), *(one.pid for one in psutil.Process().children(recursive=True))}
    here = str(Path.cwd())
    return {one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == here} - own


def timed(command: list[str]) -> float:
    """Run a command that must succeed; give its seconds."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout.decode(errors='replace')}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
