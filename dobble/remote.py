"""Sends pinned data and results to the remote, brings them back, and checks what is really there."""

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dobble.dvc_command import dvc
from dobble.errors import (
    DvcError,
    RemoteError,
    RemoteObjectsError,
    RemoteStalledError,
)
from dobble.inventory import Finding, Inventory, is_intact, key_of, md5_of, take_stock
from dobble.pinned import Output, outputs
from dobble.stack import current_stack, environment
from dobble.storage import Remote, Storage, cache_folder, file_md5, open_remote
from dobble.watched import Finished, StalledError, run_watched
from dobble.workers import for_each

STALL_SECONDS, SAMPLE = 30.0, 32
_RUNS = "runs"
_WORKERS = 8
_HASHERS = os.cpu_count() or 1
_PAUSES = (1.0, 4.0)
_PASSES = re.compile(
    r"failed to (transfer|connect|pull|download|push|upload)|timed? ?out|reset", re.IGNORECASE
)


@dataclass(frozen=True)
class Pushed:
    """What a push sent; `mended` of the objects DVC would have taken for present."""

    remote: str
    objects: int
    bytes: int
    mended: int


@dataclass(frozen=True)
class Verified:
    """What a check of the remote found, with the number of objects and how many of them were hashed."""

    remote: str
    objects: int
    hashed: int
    findings: tuple[Finding, ...]

    def check(self) -> None:
        """Raise RemoteObjectsError if anything is missing or damaged."""
        if self.findings:
            cure = "`dobble push --sample all` sends them again where the cache has them"
            raise _objects_error(self.remote, self.findings, cure)


def push(
    root: Path = Path(),
    *,
    paths: Sequence[str] = (),
    sample: int | None = 0,
    stall_seconds: float = STALL_SECONDS,
) -> Pushed:
    """Send what `data.dvc`, `dvc.lock` and the run cache name and the remote lacks, or has in another size.

    A folder's list of members goes last, so that an interrupted push leaves nothing that looks complete. What
    was sent stays, and the next push goes on from there.

    Args:
        root: folder of the project.
        paths: pinned files and folders, if not all of them are to be sent.
        sample: how many objects to fetch and hash as well, None for all; damaged ones are sent again.
        stall_seconds: how long nothing may move.

    Raises:
        StackError, NoRemoteError: if no remote can be told from the settings.
        RemoteAccessError, BucketMissingError, RemoteUnreachableError, RemoteStalledError: by what went wrong.
        RemoteObjectsError: if neither the cache nor the remote has a good copy; all else has been sent.
        DvcError: if the remote is of a kind that is left to DVC, and DVC fails.
    """
    remote = _remote(root, stall_seconds)
    if remote.storage is None:
        _run_dvc("push", remote, root, stall_seconds, _PAUSES, paths=paths)
        return Pushed(remote.name, 0, 0, 0)
    storage, cache = remote.storage, cache_folder(root)
    inventory = take_stock(storage, cache, _chosen(root, paths), sample)
    found = [finding.name for finding in inventory.findings]
    intact = for_each(lambda name: is_intact(cache, name), found, workers=_HASHERS, title="hash")
    good = {name for name, whole in zip(found, intact, strict=True) if whole}
    lost = [finding for finding in inventory.findings if finding.name not in good]
    torn = {folder for finding in lost for folder in inventory.folders.get(finding.name, ())}
    lists = {name for name in good if name.endswith(".dir")}
    sizes = _send(storage, cache, sorted(good - lists)) + _send(storage, cache, sorted(lists - torn))
    _send_runs(storage, cache)
    if lost:
        cure = "the cache has no good copy either: push from a machine that has one, or make them again"
        raise _objects_error(storage.name, lost, cure)
    mended = sum(inventory.is_overlooked(finding) for finding in inventory.findings)
    return Pushed(storage.name, len(sizes), sum(sizes), mended)


def pull(
    root: Path = Path(),
    *,
    paths: Sequence[str] = (),
    stall_seconds: float = STALL_SECONDS,
    echo: Callable[[str], object] | None = None,
) -> str:
    """Bring all that is pinned, and the run cache, from the remote by `dvc pull`; give the remote's name.

    Args:
        root: folder of the project.
        paths: pinned files and folders, if not all of them are needed.
        stall_seconds: how long nothing may move.
        echo: given all that DVC says, as it comes.

    Raises:
        StackError, NoRemoteError: if no remote can be told from the settings.
        RemoteAccessError, BucketMissingError, RemoteUnreachableError, RemoteStalledError: by what went wrong.
        RemoteObjectsError: if the remote lacks objects; all else has been fetched.
        DvcError: if DVC fails for another reason, e.g. a changed file that it will not overwrite.
    """
    remote = _remote(root, stall_seconds)
    before = _unavailable(remote, root, 0, paths)
    try:
        _run_dvc("pull", remote, root, stall_seconds, () if before else _PAUSES, echo, paths)
    except DvcError:
        missing = before or _unavailable(remote, root, None, paths)
        if not missing:
            raise
        cure = "`dobble push` on a machine that has them mends the remote"
        raise _objects_error(remote.name, missing, cure) from None
    return remote.name


def verify(
    root: Path = Path(), *, sample: int | None = SAMPLE, stall_seconds: float = STALL_SECONDS
) -> Verified:
    """Check that the remote has every object that `data.dvc` and `dvc.lock` name, members of folders as well.

    Args:
        root: folder of the project.
        sample: how many objects to fetch and hash, drawn anew each time; None for all.
        stall_seconds: how long nothing may move.

    Raises:
        StackError, NoRemoteError: if no remote can be told from the settings.
        RemoteAccessError, BucketMissingError, RemoteUnreachableError, RemoteStalledError: by what went wrong.
        RemoteError: if the remote is of a kind that cannot be checked.
    """
    remote = _remote(root, stall_seconds)
    if remote.storage is None:
        raise RemoteError(f"{remote.name}: only folders and plain s3:// remotes can be checked")
    inventory = take_stock(remote.storage, cache_folder(root), outputs(root), sample)
    return Verified(remote.storage.name, len(inventory.files), inventory.hashed, inventory.findings)


def _remote(root: Path, stall_seconds: float) -> Remote:
    current_stack(root)
    return open_remote(root, stall_seconds)


def _send(storage: Storage, cache: Path, names: Sequence[str]) -> list[int]:
    def send(name: str) -> int:
        source = cache / key_of(name)
        storage.write(key_of(name), source, md5_of(name))
        return source.stat().st_size

    return for_each(send, names, workers=_WORKERS, title="push")


def _send_runs(storage: Storage, cache: Path) -> None:
    """Send what DVC remembers of stages that ran, so that another machine takes their results."""
    runs = [
        path.relative_to(cache / _RUNS).as_posix() for path in (cache / _RUNS).rglob("*") if path.is_file()
    ]
    if not runs:
        return
    there = storage.list(_RUNS)
    fresh = [run for run in runs if run not in there]

    def send(run: str) -> None:
        source = cache / _RUNS / run
        storage.write(f"{_RUNS}/{run}", source, file_md5(source))

    for_each(send, fresh, workers=_WORKERS, title="push runs")


def _unavailable(remote: Remote, root: Path, sample: int | None, paths: Sequence[str] = ()) -> list[Finding]:
    """Find what neither the remote nor the cache has; on the way, name what is wrong with the remote."""
    if remote.storage is None:
        return []
    cache = cache_folder(root)
    inventory: Inventory = take_stock(remote.storage, cache, _chosen(root, paths), sample)
    return [finding for finding in inventory.findings if not is_intact(cache, finding.name)]


def _chosen(root: Path, paths: Sequence[str]) -> list[Output]:
    return [output for output in outputs(root) if not paths or output.path in paths]


def _run_dvc(
    verb: str,
    remote: Remote,
    root: Path,
    stall_seconds: float,
    pauses: Sequence[float],
    echo: Callable[[str], object] | None = None,
    paths: Sequence[str] = (),
) -> None:
    """Run `dvc push` or `dvc pull`, again if it failed for what may pass."""
    command = dvc(verb, "--run-cache", *paths)
    variables = {**environment(remote.endpoint), **os.environ, "DVC_IGNORE_ISATTY": "1"}
    failure: Finished | None = None
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            failure = run_watched(command, variables, stall_seconds, root, echo)
        except StalledError:
            failure = None
            continue
        if failure.status == 0:
            return
        if not any(_PASSES.search(line) for line in failure.lines):
            break
    if failure is None:
        raise RemoteStalledError(remote.name, stall_seconds)
    complaints = [line.removeprefix("ERROR: ") for line in failure.lines if line.startswith("ERROR: ")]
    problem = complaints[-1] if complaints else f"exit status {failure.status}"
    raise DvcError(f"dvc {verb}", problem)


def _objects_error(remote: str, findings: Sequence[Finding], cure: str) -> RemoteObjectsError:
    example = f"{findings[0].files[0]} ({findings[0].problem})"
    return RemoteObjectsError(remote, len(findings), example, cure)
