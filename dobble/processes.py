"""Tells whether a process is still there and still is the program that was started."""

import psutil  # type: ignore[import-untyped]


def runs(pid: int, program: str) -> bool:
    """Whether a process runs and its command line names a program; pids are used again, mostly by others."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and program in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
