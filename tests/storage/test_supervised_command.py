import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dobble.storage.supervised_command import StalledError, run_watched

WITH_CHILD = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("child").write_text(str(child.pid))
print("started", flush=True)
time.sleep(600)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def wait_for(condition, seconds: float = 300) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_command_ends_with_its_status_and_lines() -> None:
    done = run_watched(
        python("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"), os.environ, 20
    )
    assert done.status == 3
    assert sorted(done.lines) == ["one", "two"]


def test_silent_command_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(StalledError):
        run_watched(python(WITH_CHILD), os.environ, 5, tmp_path)
    assert time.monotonic() - start < 300  # it sleeps for longer
    child = int((tmp_path / "child").read_text())
    assert wait_for(lambda: not is_alive(child))


def test_slow_command_that_gets_on_outlives_the_limit() -> None:
    code = "import time\nfor n in range(7): print(f'\\r{n}/7 [00:0{n}]', end='', flush=True); time.sleep(0.9)"
    done = run_watched(python(code), os.environ, 5)
    assert done.status == 0


def test_bar_that_is_only_redrawn_is_no_progress() -> None:
    bar = "\\r 50%|##  |3/6 [00:{n:02}, 1.{n}B/s]"
    code = f"import time\nfor n in range(100): print(f'{bar}', flush=True); time.sleep(0.1)"
    with pytest.raises(StalledError):
        run_watched(python(code), os.environ, 1.5)


def test_interrupt_ends_everything_that_the_command_started(tmp_path: Path) -> None:
    code = (
        "import os\nfrom dobble.storage.supervised_command import run_watched\n"
        f"run_watched([{sys.executable!r}, '-c', {WITH_CHILD!r}], os.environ, 600)"
    )
    process = subprocess.Popen(python(code), cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        process.send_signal(signal.SIGINT)
        process.wait(300)
        child = int((tmp_path / "child").read_text())
        assert wait_for(lambda: not is_alive(child))
    finally:
        process.kill()
