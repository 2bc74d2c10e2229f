"""Prefect's server, a worker and MLflow on 127.0.0.1, and the flows of `prefect.yaml` deployed."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dobble.env import tracking_address
from dobble.errors import ServiceError
from dobble.paths import MLFLOW_ARTIFACTS, MLFLOW_DATABASE, SERVICES
from dobble.tracking.mlflow_client import open_mlflow
from flows.server.api import ask
from flows.server.database import own_database, prepare_database
from flows.server.history import forget_old_runs
from flows.server.orphaned_runs import give_up_lost_runs
from flows.server.services import (
    PATIENCE_SECONDS,
    Service,
    alone,
    free_port,
    running,
    start,
    started,
    stop,
    wait_until_healthy,
)

POOL = "local"
SERVER, WORKER, MLFLOW = "server", "worker", "mlflow"
_IN_ORDER = (WORKER, SERVER, MLFLOW)  # to end them: the worker talks to the server


@dataclass(frozen=True)
class Addresses:
    """Where the pages are, and where the worker says that it lives."""

    prefect: str
    mlflow: str
    worker: str


def start_ui(prefect_port: int, mlflow_port: int, root: Path = Path()) -> Addresses:
    """Start what does not run yet, wait until all of it answers, and deploy the flows.

    A port that is taken is replaced by a free one. An MLflow that the environment names is used as it is.

    Raises:
        ServiceError: if something does not start; then what ran before still does, and nothing else.
    """
    root = root.absolute()
    with alone(_tell, root):
        before = [name for name in _IN_ORDER if running(name, root) is not None]
        try:
            return _start(prefect_port, mlflow_port, root)
        except BaseException:
            for name in _IN_ORDER:
                if name not in before:
                    stop(name, root)
            raise


def stop_ui(root: Path = Path()) -> list[str]:
    """End what runs, the worker before the server that it talks to; give the names of what ran."""
    with alone(_tell, root):
        return [name for name in _IN_ORDER if stop(name, root)]


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _start(prefect_port: int, mlflow_port: int, root: Path) -> Addresses:
    chosen = tracking_address()
    server = running(SERVER, root)
    if server is None:
        if (database := own_database(root)) is not None:
            prepare_database(database, _tell)
            forget_old_runs(database)
        server = _start_server(_port(SERVER, prefect_port, root), root)
    mlflow = running(MLFLOW, root) if chosen is None else None
    if chosen is None and mlflow is None:
        mlflow = _start_mlflow(_port(MLFLOW, mlflow_port, root), root)
    wait_until_healthy(server, "/api/health", PATIENCE_SECONDS, root)
    tracking = chosen or ""
    if mlflow is not None:
        tracking = mlflow.address
        wait_until_healthy(mlflow, "/health", PATIENCE_SECONDS, root)
    environment = {**_environment(server.address, root), "MLFLOW_TRACKING_URI": tracking}
    # Deployed anew it would be paused again, whatever schedule somebody has started.
    described, deployed = (root / "prefect.yaml").read_bytes(), root / SERVICES / "deployed.yaml"
    worker = running(WORKER, root)
    if worker is None:
        _make_pool(server.address)
        give_up_lost_runs(server.address, POOL)
        worker = _start_worker(free_port(0), environment, root)
        _deploy(environment, root)
    elif not deployed.is_file() or deployed.read_bytes() != described:
        _deploy(environment, root)
    deployed.write_bytes(described)
    wait_until_healthy(worker, "/health", PATIENCE_SECONDS, root)
    return Addresses(server.address, tracking, worker.address)


def _port(name: str, wanted: int, root: Path) -> int:
    """Give the port for a server: a living worker knows it by the one that it had before it died."""
    died = started(name, root)
    if died is not None and running(WORKER, root) is not None:
        wanted = int(died.address.rpartition(":")[2])
    return free_port(wanted)


def _start_server(port: int, root: Path) -> Service:
    address = f"http://127.0.0.1:{port}"
    command = _python("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    return start(SERVER, command, address, _environment(address, root), root)


def _start_mlflow(port: int, root: Path) -> Service:
    # Made without the server, the experiment keeps its artifacts where they are found without it as well.
    with open_mlflow(root):
        pass
    command = _python("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    command += ["--backend-store-uri", f"sqlite:///{root / MLFLOW_DATABASE}"]
    command += ["--artifacts-destination", str(root / MLFLOW_ARTIFACTS)]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes for nothing
    return start(MLFLOW, command, f"http://127.0.0.1:{port}", quiet, root)


def _start_worker(port: int, environment: dict[str, str], root: Path) -> Service:
    command = _python("prefect", "worker", "start", "--pool", POOL, "--name", POOL, "--with-healthcheck")
    own = {**environment, "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
    return start(WORKER, command, f"http://127.0.0.1:{port}", own, root)


def _environment(server: str, root: Path) -> dict[str, str]:
    """The caller's environment, with the server in it and the programs of this Python in front."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PWD": str(root),  # prefect.yaml asks for it
        "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PREFECT_API_URL": f"{server}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    if own_database(root) is not None:
        environment["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] = "true"
        environment["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] = str(30 * 24 * 3600)
    return environment


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _make_pool(server: str) -> None:
    """Make the pool in which one flow runs at a time, since all of them work in this folder."""
    pool: Any = {"name": POOL, "type": "process", "concurrency_limit": 1}
    ask(f"{server}/api/work_pools/", pool, allowed=(409,))  # it is there


def _deploy(environment: dict[str, str], root: Path) -> None:
    command = _python("prefect", "--no-prompt", "deploy", "--all")
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise ServiceError("prefect deploy --all", f"failed with {done.returncode}", said[-5:])
