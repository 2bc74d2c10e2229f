"""Lets DVC send and fetch, watches that it gets on, and says what it did."""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dobble.storage.audit import key_of, md5_of
from dobble.storage.dvc_command import dvc, dvc_failure
from dobble.storage.errors import NotKeptError, RemoteStalledError
from dobble.storage.places import Remote, file_md5
from dobble.storage.stack import environment
from dobble.storage.supervised_command import Finished, StalledError, run_watched

_PAUSES = (1.0, 4.0)
_PASSES = re.compile(
    r"failed to (transfer|connect|pull|download|push|upload)|timed? ?out|reset", re.IGNORECASE
)
_PUSHED, _NOTHING = re.compile(r"(\d+) files? pushed"), "Everything is up to date."


def push_by_dvc(
    remote: Remote, root: Path, stall_seconds: float, paths: Sequence[str], names: Sequence[str]
) -> int | None:
    """Run `dvc push`, fetch what is pinned back, and give the number of files that DVC sent.

    DVC asks a remote only whether it has an object, and anything that answers 200 to all says so. It sends a
    folder's list after its members: a list that is there with its MD5 stands for them.

    Args:
        remote: one that is left to DVC.
        root: folder of the project.
        stall_seconds: how long nothing may move.
        paths: pinned files and folders, if not all of them are to be sent.
        names: objects to fetch back: pinned files, and lists of pinned folders.

    Raises:
        DvcError, RemoteStalledError: if DVC fails, or does not get on.
        NotKeptError: if one does not come back as it was sent.
    """
    done = run_dvc_transfer("push", remote, root, stall_seconds, paths)
    lost = [name for name in names if not _comes_back(name, remote, root, stall_seconds)]
    if lost:
        raise NotKeptError(remote.url, len(lost), lost[0])
    for line in done.lines:
        if found := _PUSHED.search(line):
            return int(found[1])
    return 0 if _NOTHING in done.lines else None


def run_dvc_transfer(
    verb: str,
    remote: Remote,
    root: Path,
    stall_seconds: float,
    paths: Sequence[str] = (),
    *,
    again: bool = True,
    echo: Callable[[str], object] | None = None,
) -> Finished:
    """Run `dvc push` or `dvc pull`, again if it failed for what may pass.

    Raises:
        DvcBusyError: if another process holds one of DVC's locks.
        DvcError: if it failed otherwise.
        RemoteStalledError: if nothing moved for too long.
    """
    command = dvc(verb, "--run-cache", "--remote", remote.name, *paths)
    failure: Finished | None = None
    for pause in (0.0, *(_PAUSES if again else ())):
        time.sleep(pause)
        try:
            failure = run_watched(command, _variables(remote), stall_seconds, root, echo)
        except StalledError:
            failure = None
            continue
        if failure.status == 0:
            return failure
        if not any(_PASSES.search(line) for line in failure.lines):
            break
    if failure is None:
        raise RemoteStalledError(remote.url, stall_seconds)
    raise dvc_failure(f"dvc {verb}", failure.status, failure.lines)


def _comes_back(name: str, remote: Remote, root: Path, stall_seconds: float) -> bool:
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        command = dvc("get-url", f"remote://{remote.name}/{key_of(name)}", str(copy))
        try:
            run_watched(command, _variables(remote), stall_seconds, root)
        except StalledError:
            raise RemoteStalledError(remote.url, stall_seconds) from None
        return copy.is_file() and file_md5(copy) == md5_of(name)


def _variables(remote: Remote) -> dict[str, str]:
    return {**environment(remote.endpoint), **os.environ, "DVC_IGNORE_ISATTY": "1"}
