"""Runs DVC as a command, without telemetry, and turns what it complains of into an error of a type."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dobble.storage.errors import DvcBusyError, DvcError
from dobble.storage.stack import environment

_HELD = re.compile(r"is busy, it is being blocked by|Unable to acquire lock")


def dvc(*arguments: str) -> list[str]:
    """Give the command line of this interpreter's DVC."""
    return [sys.executable, "-m", "dvc", *arguments]


def run_dvc(arguments: list[str], root: Path) -> str:
    """Run DVC in a folder and give what it answers; the caller's variables win.

    Raises:
        DvcBusyError: if another process holds one of DVC's locks.
        DvcError: with DVC's reason, if it fails otherwise.
    """
    done = subprocess.run(  # noqa: S603
        dvc(*arguments),
        cwd=root,
        env={**environment(None), **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        raise dvc_failure(f"dvc {' '.join(arguments)}", done.returncode, said)
    return done.stdout


def dvc_failure(command: str, status: int, said: Sequence[str]) -> DvcError:
    """Give the error that says why a DVC command failed, by the lines that it said."""
    if held := held_lock(said):
        return DvcBusyError(command, held)
    reasons = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    last = [line.strip() for line in said if line.strip()][-1:]
    return DvcError(command, "; ".join(reasons or last) or f"exit status {status}")


def held_lock(said: Sequence[str]) -> str | None:
    """Give what DVC says about a lock that another process holds, None if that is not what it says."""
    for index, line in enumerate(said):
        if line.startswith("ERROR: ") and _HELD.search(line):
            holders = [rest.strip() for rest in said[index + 1 :] if rest.strip().startswith("(PID ")]
            return " ".join([line.removeprefix("ERROR: "), *holders])
    return None
