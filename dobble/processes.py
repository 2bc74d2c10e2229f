"""Tells whether a process still is the one that was started, and ends this one when nobody wants it."""

import os
import signal
import threading
import time

import psutil  # type: ignore[import-untyped]

from dobble.errors import OrphanedError

_LOOK_SECONDS = 0.5
_ended_with: list[psutil.Process] = []


def runs(pid: int, program: str) -> bool:
    """Whether a process runs and its command line names a program; pids are used again, mostly by others."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and program in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def end_with_parent() -> None:
    """Have this process end soon after its parent, however that ends."""
    _end_with(psutil.Process().parent())


def end_with_dvc() -> None:
    """Have the command of a stage end soon after the DVC that runs it; without DVC, nothing happens.

    A shell may stand between the two, and outlive DVC.

    Raises:
        OrphanedError: if DVC has ended before this could look.
    """
    process = psutil.Process()
    while process is not None and _is_of_a_stage(process):
        process = process.parent()
    if process is None or not _can_run_dvc(process):
        raise OrphanedError
    if process.pid != os.getpid():
        _end_with(process)


def check_wanted() -> None:
    """Make sure that whoever wanted this process still runs.

    Raises:
        OrphanedError: if not; others may already have made anew what this process is about to replace.
    """
    if not all(_is_alive(process) for process in _ended_with):
        raise OrphanedError


def _end_with(process: psutil.Process) -> None:
    _ended_with.append(process)
    threading.Thread(target=_watch, args=(process,), daemon=True).start()


def _watch(process: psutil.Process) -> None:
    # Not the kernel's PR_SET_PDEATHSIG, which also ends a child of a thread that has done its work.
    while _is_alive(process):
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_of_a_stage(process: psutil.Process) -> bool:
    """Whether DVC started a process, or its parent: it sets a variable for the commands of stages."""
    try:
        return "DVC_STAGE" in process.environ()
    except psutil.Error:
        return False


def _can_run_dvc(process: psutil.Process) -> bool:
    """Whether it is DVC, or a program in Python that calls it; who adopts orphans is neither."""
    try:
        return any(name in part for part in process.cmdline() for name in ("dvc", "python"))
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
