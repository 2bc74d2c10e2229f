"""The stages of `dvc.yaml` in the order of their graph, and one run of a stage, one at a time in a folder."""

import fcntl
import graphlib
import json
import math
import os
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from dobble.paths import DATA_PIN, PARAMS, PIPELINE, PIPELINE_LOCK, WORKSPACE_LOCK
from dobble.pipeline.errors import StageFailedError, StageGraphError, StageTimeoutError, WorkspaceBusyError
from dobble.pipeline.stale_locks import forget_dead_holders
from dobble.storage.dvc_command import dvc, held_lock
from dobble.storage.stack import environment
from dobble.storage.supervised_command import OvertimeError, run_watched

DEFAULT_MINUTES = 720.0

_DECISIVE = (PIPELINE, PIPELINE_LOCK, DATA_PIN, PARAMS, WORKSPACE_LOCK)
_RAN = re.compile(r"^Running stage '")
# How DVC repeats the exit status by which a command asks to be tried again, as `dobble` does
_TEMPORARY = re.compile(rf"^ERROR: .*, exited with {os.EX_TEMPFAIL}$")
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml`: `needs` are the stages whose outputs it reads, `deps` all that it reads."""

    name: str
    needs: tuple[str, ...]
    outs: tuple[str, ...]
    seconds: float = DEFAULT_MINUTES * 60
    deps: tuple[str, ...] = ()

    def reads(self, path: str) -> bool:
        """Whether a file or folder is one of the dependencies, or holds or lies in one."""
        return any(_meet(dep, path) for dep in self.deps)

    def writes(self, path: str) -> bool:
        """Whether a file is one of the outputs, or in one."""
        return any(path == out or path.startswith(f"{out}/") for out in self.outs)


@dataclass(frozen=True)
class StageRun:
    """How a stage came to its outputs: `cached` if its command did not run."""

    stage: str
    cached: bool
    seconds: float


@dataclass(frozen=True)
class Status:
    """The stages that DVC called changed, which holds until a stage runs or what it was read from changes."""

    changed: frozenset[str]
    marks: tuple[tuple[int, int], ...]

    def calls_fresh(self, stage: Stage, root: Path) -> bool:
        """Whether a stage has nothing to do and its outputs are there."""
        there = all((root / out).exists() for out in stage.outs)
        return there and stage.name not in self.changed and self.marks == _marks(root)


def read_stages(root: Path = Path()) -> tuple[Stage, ...]:
    """Read the stages, each after all that it needs, else in the order of the file.

    A stage may say in `meta: {timeout_minutes: 30}` how long it may run.

    Raises:
        StageGraphError: if `dvc.yaml` is missing, cannot be read, or has a circle.
    """
    found = list(_described(root))
    owners = {out: stage for stage, _, outs, _ in found for out in outs}
    needs = {
        stage: tuple(dict.fromkeys(owner for dep in deps for out, owner in owners.items() if _meet(dep, out)))
        for stage, deps, _, _ in found
    }
    rank = {stage: index for index, (stage, *_) in enumerate(found)}
    order = _sorted(needs, rank, root)
    made = {
        name: Stage(name, needs[name], tuple(outs), seconds, tuple(deps))
        for name, deps, outs, seconds in found
    }
    return tuple(made[name] for name in order)


def following(stages: Iterable[Stage], name: str) -> tuple[Stage, ...]:
    """Give a stage and all that need it, in order."""
    chosen: dict[str, Stage] = {}
    for stage in stages:
        if stage.name == name or chosen.keys() & set(stage.needs):
            chosen[stage.name] = stage
    return tuple(chosen.values())


def read_status(root: Path = Path()) -> Status:
    """Ask DVC which stages have something to do; if it cannot say, all have."""
    _open_lock(root).close()
    marks = _marks(root)
    done = subprocess.run(  # noqa: S603
        dvc("status", "--json"), cwd=root, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Status(frozenset(), ())
    return Status(frozenset(json.loads(done.stdout)), marks)


def reproduce(
    stage: Stage,
    root: Path = Path(),
    *,
    status: Status | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> StageRun:
    """Bring a stage's outputs up to date; nothing upstream of it is touched.

    One stage at a time runs in a folder: another process that calls this waits, and a process that dies, in
    whatever way, takes its command with it and leaves no lock behind.

    Args:
        stage: what to run.
        root: folder of the project.
        status: what DVC said; a stage that it called fresh is not asked about again.
        tell: given each line that DVC and the command say.

    Raises:
        StageFailedError: with the last lines of the command.
        StageTimeoutError: if it took longer than it may.
        WorkspaceBusyError: if the folder stays busy for as long, or a DVC that others started uses it.
    """
    start = time.monotonic()
    with _alone(stage, root, tell):
        if status is not None and status.calls_fresh(stage, root):
            return StageRun(stage.name, cached=True, seconds=time.monotonic() - start)
        _sign(root, stage.name)
        start = time.monotonic()
        try:
            cached = _repro(stage, root, tell)
        except WorkspaceBusyError:
            if not forget_dead_holders(root):
                raise
            cached = _repro(stage, root, tell)
    return StageRun(stage.name, cached, time.monotonic() - start)


def _repro(stage: Stage, root: Path, tell: Callable[[str], object]) -> bool:
    """Have DVC bring a stage up to date, and say whether its command did not have to run."""
    cached = True

    def listen(line: str) -> None:
        nonlocal cached
        cached = cached and not _RAN.match(line)
        tell(line)

    command = dvc("repro", "--single-item", stage.name)
    try:
        done = run_watched(command, _environment(), math.inf, root, total_seconds=stage.seconds, tell=listen)
    except OvertimeError:
        raise StageTimeoutError(stage.name, stage.seconds) from None
    if done.status and (held := held_lock(done.lines)):
        raise WorkspaceBusyError(stage.name, held)
    if done.status:
        passing = any(_TEMPORARY.search(line) for line in done.lines)
        raise StageFailedError(stage.name, done.status, done.lines, passing=passing)
    return cached


Described = tuple[str, list[str], list[str], float]


def _described(root: Path) -> Iterator[Described]:
    """Give name, dependencies, outputs and time-out in seconds of every stage."""
    source = root / "dvc.yaml"
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise StageGraphError(f"{source} does not exist: run in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StageGraphError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
    stages: dict[str, Any] = values.get("stages") or {}
    if any("do" in stage or "${" in json.dumps(stage) for stage in stages.values()):
        yield from _resolved(root)
        return
    for name, stage in stages.items():
        folder = stage.get("wdir", ".")
        outs = [
            _path(item, folder) for kind in ("outs", "metrics", "plots") for item in stage.get(kind) or []
        ]
        deps = [_path(item, folder) for item in stage.get("deps") or []]
        yield name, deps, outs, _seconds(stage.get("meta"))


def _resolved(root: Path) -> Iterator[Described]:
    """Let DVC fill in templates and loops."""
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]  # noqa: PLC0415
    from dvc.repo import Repo  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:
            for stage in repo.index.stages:
                if stage.cmd:
                    folder = os.path.relpath(stage.wdir, repo.root_dir)
                    deps = [_path(dep.def_path, folder) for dep in stage.deps]
                    outs = [_path(out.def_path, folder) for out in stage.outs]
                    yield stage.name, deps, outs, _seconds(stage.meta)
    except DvcException as error:
        raise StageGraphError(f"{root / 'dvc.yaml'}: {error}") from error


def _path(item: str | dict[str, Any], folder: str) -> str:
    return posixpath.normpath(posixpath.join(folder, item if isinstance(item, str) else next(iter(item))))


def _seconds(meta: Any) -> float:
    return 60 * float((meta or {}).get("timeout_minutes", DEFAULT_MINUTES))


def _meet(dep: str, out: str) -> bool:
    """Whether one is the other or lies in it."""
    return dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/")


def _sorted(needs: dict[str, tuple[str, ...]], rank: dict[str, int], root: Path) -> list[str]:
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise StageGraphError(f"{root / 'dvc.yaml'}: stages need each other: {error.args[1]}") from error
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=rank.__getitem__)
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return order


def _environment() -> dict[str, str]:
    """The caller's environment, in which the stages' commands are found and say at once what they say."""
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**environment(None), **os.environ, "PATH": found, "PYTHONUNBUFFERED": "1"}


def _marks(root: Path) -> tuple[tuple[int, int], ...]:
    found = []
    for name in _DECISIVE:
        try:
            state = (root / name).stat()
            found.append((state.st_mtime_ns, state.st_size))
        except FileNotFoundError:
            found.append((0, 0))
    return tuple(found)


@contextmanager
def _alone(stage: Stage, root: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Hold the folder's lock, which the system takes back from a process that dies."""
    deadline, said = time.monotonic() + stage.seconds, ""
    with _open_lock(root) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = (root / WORKSPACE_LOCK).read_text(
                    encoding="utf-8"
                ).strip() or "a stage has just started"
            if time.monotonic() > deadline:
                raise WorkspaceBusyError(stage.name, owner)
            if owner != said:
                tell(f"waiting for this folder: {owner}")
                said = owner
            time.sleep(_TICK_SECONDS)
        yield


def _open_lock(root: Path) -> TextIO:
    """Open the lock's file, and make it if need be, without a mark on it."""
    path = root / WORKSPACE_LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")


def _sign(root: Path, stage: str) -> None:
    """Say who holds the lock; it also ends what an earlier `Status` said."""
    (root / WORKSPACE_LOCK).write_text(f"stage {stage!r} of process {os.getpid()}\n", encoding="utf-8")
