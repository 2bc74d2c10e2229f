"""Servers that outlive the command that started them, each known by a file in `.dobble/ui`."""

import fcntl
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from dobble.errors import ServiceError
from dobble.files import replaced_file
from dobble.paths import SERVICES

PATIENCE_SECONDS = 600.0  # a slow machine needs minutes for a start
_GRACE_SECONDS, _TICK_SECONDS = 10.0, 0.2


@dataclass(frozen=True)
class Service:
    """A running server; pids are used again, so `started` (seconds since 1970) belongs to its identity."""

    name: str
    pid: int
    started: float
    address: str


@contextmanager
def alone(tell: Callable[[str], object], root: Path = Path()) -> Iterator[None]:
    """Hold what says who starts and ends servers of a folder; the system takes it back from the dead."""
    (root / SERVICES).mkdir(parents=True, exist_ok=True)
    with (root / SERVICES / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another command starts or ends the servers of this folder: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def running(name: str, root: Path = Path()) -> Service | None:
    """Give a server that was started in a folder and still runs; a copy of the folder has none."""
    found = started(name, root)
    process = None if found is None else _process(found)
    try:
        return None if process is None or not Path(process.cwd()).samefile(root) else found
    except (psutil.Error, OSError):
        return None


def started(name: str, root: Path = Path()) -> Service | None:
    """Give a server that was started in a folder and not stopped since; it may have died."""
    try:
        return Service(**json.loads(_file(name, root).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def start(
    name: str, command: list[str], address: str, environment: Mapping[str, str], root: Path = Path()
) -> Service:
    """Start a server in a session of its own; what it says goes to `.dobble/ui/<name>.log`."""
    _file(name, root).parent.mkdir(parents=True, exist_ok=True)
    with _log(name, root).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(name, process.pid, psutil.Process(process.pid).create_time(), address)
    with replaced_file(_file(name, root)) as side:
        side.write_text(json.dumps(asdict(service)) + "\n", encoding="utf-8")
    return service


def wait_until_healthy(service: Service, route: str, seconds: float, root: Path = Path()) -> None:
    """Wait until a server answers.

    Raises:
        ServiceError: with the last lines of its log, if it ends or does not answer in time.
    """
    deadline = time.monotonic() + seconds
    while not _answers(service.address + route):
        process = _process(service)
        if process is None or time.monotonic() > deadline:
            said = _log(service.name, root).read_text(encoding="utf-8", errors="replace").splitlines()
            problem = "ended" if process is None else f"does not answer within {seconds:g} s"
            raise ServiceError(service.name, problem, said[-5:])
        time.sleep(_TICK_SECONDS)


def stop(name: str, root: Path = Path()) -> bool:
    """End a server and all that it started, by force if asking does not help; False if it did not run."""
    service = running(name, root)
    process = None if service is None else _process(service)
    if process is not None:
        family = [process]
        with suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        _, alive = psutil.wait_procs(family, _GRACE_SECONDS)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(alive, _GRACE_SECONDS)
    _file(name, root).unlink(missing_ok=True)
    return process is not None


def free_port(wanted: int) -> int:
    """Give a port of 127.0.0.1 that nobody listens on: the wanted one, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise ServiceError("127.0.0.1", "has no free port", [])


def _answers(address: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _process(service: Service) -> psutil.Process | None:
    try:
        process = psutil.Process(service.pid)
        same = abs(process.create_time() - service.started) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _file(name: str, root: Path) -> Path:
    return root / SERVICES / f"{name}.json"


def _log(name: str, root: Path) -> Path:
    return root / SERVICES / f"{name}.log"
