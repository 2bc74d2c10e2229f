"""Holds the output of a stage while its command runs: no other command, and no orphan, writes there."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

from dobble.env import torchrun_place
from dobble.files import named_write_errors
from dobble.paths import OUTPUT_LOCKS
from dobble.pipeline.errors import OutputBusyError
from dobble.pipeline.project_root import find_root
from dobble.processes import end_with_dvc

_PATIENCE_SECONDS, _TICK_SECONDS = 15.0, 0.2


@contextmanager
def held_output(output: Path) -> Iterator[None]:
    """Keep others from writing an output, and end this process soon after the DVC that runs it.

    The lock goes with the process, however that ends. What `torchrun` started works for a process that holds
    the output already. Outside a project, where a stage only says so, nothing is held or made.

    Raises:
        OutputBusyError: if another process holds it, and still does when an orphan would have ended.
        OutputError: if the lock cannot be written.
        OrphanedError: if the DVC that ran this has ended already.
    """
    end_with_dvc()
    if torchrun_place() is not None or find_root(Path.cwd()) is None:
        yield
        return
    lock = OUTPUT_LOCKS / "-".join(output.parts)
    with ExitStack() as stack:
        with named_write_errors(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(lock.open("a+b", buffering=0))
            _hold(file, output)
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        yield


def _hold(file: FileIO, output: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                raise OutputBusyError(output, file.read().decode().strip()) from None
            time.sleep(_TICK_SECONDS)
        else:
            return
