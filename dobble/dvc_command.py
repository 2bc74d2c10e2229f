"""Runs DVC as a command, without telemetry and without hanging on a remote that is away."""

import os
import subprocess
import sys
from pathlib import Path

from dobble.stack import environment


def dvc(*arguments: str) -> list[str]:
    """Give the command line of this interpreter's DVC."""
    return [sys.executable, "-m", "dvc", *arguments]


def run_dvc(arguments: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    """Run DVC in a folder and give its exit status and what it said; the caller's variables win."""
    return subprocess.run(  # noqa: S603
        dvc(*arguments),
        cwd=root,
        env={**environment(None), **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
