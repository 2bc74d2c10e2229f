"""Processes whose parent is killed with SIGKILL, which nobody can answer: they end, and replace nothing."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml
from pipelines import ROOT, full_disk

import dobble.pipeline.output_lock
from dobble.errors import OutputError
from dobble.pipeline.errors import OutputBusyError
from dobble.pipeline.output_lock import held_output

MINUTES = 10 * 60
Squares = tuple[Path, Path]

RENDER = """
from pathlib import Path
from dobble.sample.labelled_photos import render_photos
render_photos(Path("data"), decks=200, workers=2)
"""
# Ends only when it has been told to: what comes after the death of its parent can be looked at.
STUBBORN = """
import signal, sys, time
from pathlib import Path
from dobble.files import replaced_folder
from dobble.pipeline.output_lock import held_output
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with held_output(Path("build/train")), replaced_folder(Path("build/train")) as side:
    (side / "checkpoint.pt").write_text("late")
    Path("ready").touch()
    while not Path("go").exists():
        time.sleep(0.05)
"""
# Looks only when its parent has ended.
ADOPTED = """
import atexit, os, time
from pathlib import Path
from dobble.pipeline.output_lock import held_output
atexit.register(Path("ended").touch)
while Path(f"/proc/{os.getppid()}/cmdline").read_bytes() != b"/bin/sh\\0adopts.sh\\0":
    time.sleep(0.05)
with held_output(Path("build/train")):
    Path("build").mkdir()
"""
HOLD = """
from pathlib import Path
import time
from dobble.pipeline.output_lock import held_output
with held_output(Path("build/train")):
    print("held", flush=True)
    time.sleep(600)
"""


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + MINUTES
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def started(
    folder: Path, *command: str, preexec_fn: Callable[[], object] | None = None, **variables: str
) -> Iterator[psutil.Popen]:
    """A process that is killed at the end, with all that it started and that still runs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    process = psutil.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=preexec_fn
    )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            for one in (*process.children(recursive=True), process):
                one.kill()
        process.communicate()


def adopt_orphans() -> None:
    """Be what init is to the descendants of this process, also after it has become another program."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def killed(process: psutil.Popen) -> list[psutil.Process]:
    """Kill a process and give those of its descendants that still run when they should long have ended."""
    family = process.children(recursive=True)
    assert family
    process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=MINUTES)
    for one in alive:
        one.kill()
    return [one for one in alive if one.is_running()]


def test_lock_that_a_full_disk_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    expected = r"\.dobble/locks/build-train could not be written: File too large"
    with full_disk(0), pytest.raises(OutputError, match=expected), held_output(Path("build/train")):
        pass
    with held_output(Path("build/train")):
        pass


@pytest.mark.parametrize("command", ["python -m dobble train", "python -m dobble train; true"])
def test_training_ends_with_the_dvc_that_runs_it_even_behind_a_shell(
    tmp_path: Path, squares: Squares, command: str
) -> None:
    (tmp_path / "build").mkdir()
    for name, source in zip(("voc", "splits"), squares, strict=True):
        (tmp_path / "build" / name).symlink_to(source)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["train"] |= {"epochs": 1000, "window": 96, "batch_size": 4, "device": "cpu", "threads": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    stage = {"cmd": command, "params": ["train"], "outs": ["build/train"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--quiet", "--no-scm"], cwd=tmp_path, check=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    site = {"DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "DVC_NO_ANALYTICS": "1"}
    with started(tmp_path, *dvc, "repro", PATH=path, SHELL="/bin/sh", **site) as repro:
        wait_for((tmp_path / "build/.train.resume/state.pt").is_file)
        assert killed(repro) == []
    assert not (tmp_path / "build/train").exists()


def test_orphan_that_goes_on_does_not_replace_what_others_have_made(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STUBBORN)
    shell = f"DVC_STAGE=train {sys.executable} stage.py 2> said; true"
    with started(tmp_path, "/bin/sh", "-c", shell) as parent:
        wait_for((tmp_path / "ready").exists)
        (stage,) = parent.children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        (tmp_path / "build/train").mkdir()
        (tmp_path / "build/train/checkpoint.pt").write_text("of another run")
        (tmp_path / "go").touch()
        psutil.wait_procs([stage], timeout=MINUTES)
    assert "OrphanedError: whoever started this has ended, so nothing is replaced" in (
        tmp_path / "said"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "build/train/checkpoint.pt").read_text() == "of another run"


def test_stage_whose_dvc_has_ended_before_it_could_look_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(ADOPTED)
    (tmp_path / "adopts.sh").write_text(
        f"(DVC_STAGE=train {sys.executable} stage.py 2> said &)\nuntil test -e ended; do sleep 0.05; done\n"
    )
    with started(tmp_path, "/bin/sh", "adopts.sh", preexec_fn=adopt_orphans) as adopting:
        assert adopting.wait(MINUTES) == 0
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "OrphanedError: whoever started this has ended, so nothing is replaced" in said
    assert not (tmp_path / "build").exists()


def test_output_that_another_command_writes_is_not_written_and_the_holder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dobble.pipeline.output_lock, "_PATIENCE_SECONDS", 0.0)
    with started(tmp_path, sys.executable, "-c", HOLD) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputBusyError) as error, held_output(Path("build/train")):
            pass
        assert str(error.value) == (
            f"build/train is being written by process {holder.pid}:"
            f" wait for its end, or end it (`kill {holder.pid}`)"
        )
        with held_output(Path("build/voc")):
            pass
    with held_output(Path("build/train")):
        pass


def test_render_workers_end_with_the_process_that_renders(tmp_path: Path) -> None:
    with started(tmp_path, sys.executable, "-c", RENDER) as rendering:
        wait_for(lambda: list(tmp_path.glob(".data.new/images/*.jpg")))
        assert len(rendering.children()) >= 2
        assert killed(rendering) == []


def test_prefects_temporary_server_ends_with_the_flow(tmp_path: Path) -> None:
    def servers() -> list[psutil.Process]:
        return [one for one in flow.children() if "prefect.server.api.server:create_app" in one.cmdline()]

    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with started(tmp_path, sys.executable, "-m", "flows", "training", PREFECT_HOME=str(tmp_path)) as flow:
        wait_for(servers)
        assert killed(flow) == []
