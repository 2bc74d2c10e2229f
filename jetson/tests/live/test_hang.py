"""What becomes of a server whose camera or runtime never comes back."""

import os
import threading
from types import SimpleNamespace

import pytest

from jetson.live import command


class _EndedError(Exception):
    pass


@pytest.fixture
def hanging(monkeypatch):
    """A service that hangs from the third look on; what was said to systemd, and the exit status."""
    said, looks = [], []

    def end(status):
        raise _EndedError(status)

    def hangs():
        looks.append(1)
        if len(looks) > 20:
            stop.set()
        return len(looks) > 2

    stop = threading.Event()
    monkeypatch.setattr(command, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(command, "notify", said.append)
    monkeypatch.setattr(command, "measure", lambda _: None)
    monkeypatch.setattr(os, "_exit", end)
    ready = threading.Event()
    ready.set()
    player = SimpleNamespace(ready=ready, failure=None)
    history = SimpleNamespace(add=lambda _: None)
    return SimpleNamespace(player=player, history=history, hangs=hangs), stop, said


def test_it_ends_for_whoever_starts_it_again(hanging, monkeypatch, capfd):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    service, stop, said = hanging
    with pytest.raises(_EndedError) as ended:
        command._tick(service, stop)
    assert ended.value.args == (os.EX_SOFTWARE,)
    assert said == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert "hangs; this ends for whoever starts it again" in capfd.readouterr().err


def test_it_leaves_the_end_to_systemd_where_that_watches(hanging, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "15000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    service, stop, said = hanging
    command._tick(service, stop)
    assert said == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
