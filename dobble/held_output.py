"""Holds the output of a stage while its command runs: no other command, and no orphan, writes there."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dobble.env import torchrun_place
from dobble.errors import OutputBusyError
from dobble.processes import end_with_dvc
from dobble.project_root import find_root

LOCKS = Path(".dobble/locks")
_PATIENCE_SECONDS, _TICK_SECONDS = 15.0, 0.2


@contextmanager
def held_output(output: Path) -> Iterator[None]:
    """Keep others from writing an output, and end this process soon after the DVC that runs it.

    The lock goes with the process, however that ends. What `torchrun` started works for a process that holds
    the output already. Outside a project, where a stage only says so, nothing is held or made.

    Raises:
        OutputBusyError: if another process holds it, and still does when an orphan would have ended.
    """
    end_with_dvc()
    if torchrun_place() is not None or find_root(Path.cwd()) is None:
        yield
        return
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / "-".join(output.parts)).open("a+", encoding="utf-8") as file:
        _hold(file, output)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _hold(file: TextIO, output: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                raise OutputBusyError(output, file.read().strip()) from None
            time.sleep(_TICK_SECONDS)
        else:
            return
