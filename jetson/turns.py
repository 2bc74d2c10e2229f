"""Keeps the server and the benchmark of one device from being at work at the same time."""

import contextlib
import fcntl
import os
from typing import Iterator

from jetson.home import home

LOCK = ".turn.lock"


@contextlib.contextmanager
def take_turn(shared: bool) -> Iterator[bool]:
    """Be at work for as long as the block lasts.

    Args:
        shared: beside others that share; else alone.

    Yields:
        Whether one may; where no lock can be kept, such as on a full disk, everybody may.
    """
    try:
        lock = open(os.path.join(home(), LOCK), "a", encoding="ascii")  # noqa: SIM115
    except OSError:
        yield True
        return
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
