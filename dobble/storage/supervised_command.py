"""Runs a command in a process group of its own and ends the whole group when it no longer gets anywhere."""

import math
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TIMES = re.compile(r"\[[^\]]*\]|\x1b\[[0-9;]*[A-Za-z]|[|█▏▎▍▌▋▊▉#]+")
_KEPT_LINES = 200
_GRACE_SECONDS, _TICK_SECONDS = 3.0, 0.2
# The reader's end of the pipe is closed with this process, however it dies; then the group ends as well.
_LEASHED = f"""
exec 3<&0
(read -r _ <&3; trap '' TERM; kill -TERM 0; sleep {_GRACE_SECONDS:g}; kill -KILL 0) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"""


class StalledError(Exception):
    """Nothing new was said or moved for too long; the command has been ended."""


class OvertimeError(Exception):
    """The command took too long; it has been ended."""


@dataclass(frozen=True)
class Finished:
    """How a command ended, and the last lines that it said."""

    status: int
    lines: tuple[str, ...]


def run_watched(
    command: list[str],
    environment: Mapping[str, str],
    stall_seconds: float,
    folder: Path = Path(),
    echo: Callable[[str], object] | None = None,
    *,
    total_seconds: float = math.inf,
    tell: Callable[[str], object] | None = None,
) -> Finished:
    """Run a command to its end; if this process dies, even by SIGKILL, all that the command started ends.

    Progress is a state that was never reported before: a line, or a progress bar's counts with its clock,
    rate and drawing left out, so that a bar that is only redrawn, or an attempt that is only repeated, does
    not count.

    Args:
        command: program and arguments.
        environment: its whole environment.
        stall_seconds: how long it may go without progress.
        folder: where it runs.
        echo: given all that it says, as it comes.
        total_seconds: how long it may take.
        tell: given each line that is not blank, in the caller's thread.

    Raises:
        StalledError: if it went longer without progress; nothing that it started is left.
        OvertimeError: if it took longer; nothing that it started is left.
    """
    process = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _LEASHED, "sh", *command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said: queue.Queue[str] = queue.Queue()
    listener = threading.Thread(target=_listen, args=(process, said, echo), daemon=True)
    listener.start()
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    seen: set[str] = set()
    deadline, end = time.monotonic() + stall_seconds, time.monotonic() + total_seconds
    try:
        while process.poll() is None:
            line = ""
            with suppress(queue.Empty):
                line = said.get(timeout=_TICK_SECONDS)
            if tell is not None and line.strip():
                tell(line.rstrip())
            if time.monotonic() > end:
                raise OvertimeError
            state = _TIMES.sub("", line).strip()
            if state and state not in seen:
                seen.add(state)
                lines.append(line.strip())
                deadline = time.monotonic() + stall_seconds
            elif time.monotonic() > deadline:
                raise StalledError
    finally:
        _end(process)
    listener.join(_GRACE_SECONDS)
    while not said.empty():
        line = said.get()
        lines.append(line.strip())
        if tell is not None and line.strip():
            tell(line.rstrip())
    return Finished(process.returncode, tuple(filter(None, lines)))


def _listen(
    process: subprocess.Popen[bytes], said: "queue.Queue[str]", echo: Callable[[str], object] | None
) -> None:
    """Cut what a command says into states: a bar is redrawn after a carriage return."""
    assert process.stdout is not None
    rest = ""
    while piece := os.read(process.stdout.fileno(), 1 << 16):
        text = piece.decode(errors="replace")
        if echo is not None:
            echo(text)
        *whole, rest = re.split(r"[\r\n]", rest + text)
        for line in whole:
            said.put(line)
    said.put(rest)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group, asking first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, sign)
            process.wait(_GRACE_SECONDS)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
