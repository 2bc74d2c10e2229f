"""Sends pinned data and results to the remote, brings them back, and checks what is really there."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dobble.storage.audit import FILES, Finding, Inventory, has_bytes, is_intact, key_of, md5_of, take_stock
from dobble.storage.dvc_transfer import push_by_dvc, run_dvc_transfer
from dobble.storage.errors import DvcError, NotKeptError, RemoteError, RemoteObjectsError
from dobble.storage.kept_objects import Storage
from dobble.storage.parallel import for_each
from dobble.storage.pins import Output, outputs
from dobble.storage.places import Remote, cache_folder, file_md5, open_remote
from dobble.storage.stack import current_stack

STALL_SECONDS, SAMPLE = 30.0, 32
_RUNS = "runs"
_WORKERS = 8
_HASHERS = os.cpu_count() or 1


@dataclass(frozen=True)
class Pushed:
    """What a push sent.

    Attributes:
        remote: where to.
        objects: how many were sent; None if DVC, to which the remote is left, does not say.
        bytes: their size; None where DVC has sent them, which does not say.
        mended: how many of them DVC would have taken for present.
    """

    remote: str
    objects: int | None
    bytes: int | None
    mended: int

    def describe(self) -> str:
        """Say it in one line."""
        if self.objects is None:
            return f"{self.remote}: DVC has sent what was missing"
        size = "" if self.bytes is None else f" ({self.bytes / 1e6:.1f} MB), {self.mended} mended"
        return f"{self.remote}: {self.objects} objects sent{size}"


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
        NoStorageError, NotKeptError: if what answers is no storage, or does not keep what it takes.
        RemoteObjectsError: if neither the cache nor the remote has a good copy; all else has been sent.
        DvcError: if the remote is of a kind that is left to DVC, and DVC fails.
    """
    remote = _remote(root, stall_seconds)
    if remote.storage is None:
        names = [output.name for output in _chosen(root, paths)]
        return Pushed(remote.url, push_by_dvc(remote, root, stall_seconds, paths, names), None, 0)
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
        run_dvc_transfer("pull", remote, root, stall_seconds, paths, again=not before, echo=echo)
    except DvcError:
        missing = before or _unavailable(remote, root, None, paths)
        if not missing:
            raise
        cure = "`dobble push` on a machine that has them mends the remote"
        raise _objects_error(remote.url, missing, cure) from None
    return remote.url


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
        raise RemoteError(f"{remote.url}: only folders and plain s3:// remotes can be checked")
    inventory = take_stock(remote.storage, cache_folder(root), outputs(root), sample)
    return Verified(remote.storage.name, len(inventory.files), inventory.hashed, inventory.findings)


def _remote(root: Path, stall_seconds: float) -> Remote:
    used = current_stack(root)
    return open_remote(root, stall_seconds, None if used is None else used.remote)


def _send(storage: Storage, cache: Path, names: Sequence[str]) -> list[int]:
    """Send objects of the cache and give their sizes."""
    keys = [key_of(name).removeprefix(f"{FILES}/") for name in names]
    return _send_files(
        storage, cache, FILES, {key: md5_of(name) for key, name in zip(keys, names, strict=True)}
    )


def _send_runs(storage: Storage, cache: Path) -> None:
    """Send what DVC remembers of stages that ran, so that another machine takes their results."""
    runs = [
        path.relative_to(cache / _RUNS).as_posix() for path in (cache / _RUNS).rglob("*") if path.is_file()
    ]
    there = storage.list(_RUNS) if runs else {}
    fresh = {run: file_md5(cache / _RUNS / run) for run in runs if run not in there}
    _send_files(storage, cache, _RUNS, fresh)


def _send_files(storage: Storage, cache: Path, folder: str, md5s: Mapping[str, str]) -> list[int]:
    """Send files of a folder of the cache, by their keys in it, and look whether they have arrived.

    Raises:
        NotKeptError: if the remote does not have each with its size and MD5 then.
    """
    if not md5s:
        return []

    def send(key: str) -> int:
        source = cache / folder / key
        storage.write(f"{folder}/{key}", source, md5s[key])
        return source.stat().st_size

    keys = list(md5s)
    sizes = for_each(send, keys, workers=_WORKERS, title=f"push {folder}")
    there = storage.list(folder)
    kept = {key for key, size in zip(keys, sizes, strict=True) if key in there and there[key].size == size}
    # An object that is encrypted, or was put together of parts, is listed with another hash than its own
    unsure = sorted(key for key in kept if there[key].md5 != md5s[key])
    good = for_each(
        lambda key: has_bytes(storage, f"{folder}/{key}", md5s[key]), unsure, workers=_WORKERS, title="hash"
    )
    lost = sorted({*md5s} - kept | {key for key, is_good in zip(unsure, good, strict=True) if not is_good})
    if lost:
        raise NotKeptError(storage.name, len(lost), lost[0])
    return sizes


def _unavailable(remote: Remote, root: Path, sample: int | None, paths: Sequence[str] = ()) -> list[Finding]:
    """Find what neither the remote nor the cache has; on the way, name what is wrong with the remote."""
    if remote.storage is None:
        return []
    cache = cache_folder(root)
    inventory: Inventory = take_stock(remote.storage, cache, _chosen(root, paths), sample)
    return [finding for finding in inventory.findings if not is_intact(cache, finding.name)]


def _chosen(root: Path, paths: Sequence[str]) -> list[Output]:
    return [output for output in outputs(root) if not paths or output.path in paths]


def _objects_error(remote: str, findings: Sequence[Finding], cure: str) -> RemoteObjectsError:
    example = f"{findings[0].files[0]} ({findings[0].problem})"
    return RemoteObjectsError(remote, len(findings), example, cure)
