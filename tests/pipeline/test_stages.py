"""Stages of a tiny DVC project, run, killed and run again, with real processes and real signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dvc.lock import make_lock

from dobble.pipeline.errors import StageFailedError, StageGraphError, StageTimeoutError, WorkspaceBusyError
from dobble.pipeline.stages import Stage, StageRun, following, read_stages, read_status, reproduce
from dobble.pipeline.stale_locks import forget_dead_holders

TOY = """
stages:
  last:
    cmd: cp build/folder/middle build/last
    deps: [build/folder/middle]
    outs: [build/last]
  first:
    cmd: cp data build/first && echo first is made
    deps: [data]
    outs: [build/first]
  middle:
    cmd: sh middle.sh
    deps: [build/first, middle.sh]
    outs: [build/folder]
    meta: {timeout_minutes: 30}
"""
MIDDLE = "mkdir -p build/folder\ncp build/first build/folder/middle\n"
SLOW = "echo $$ > pid\necho waiting\nsleep 600\n"

RUN = """
import sys
from dobble.pipeline.stages import read_stages, reproduce
stage = {stage.name: stage for stage in read_stages()}[sys.argv[1]]
print(reproduce(stage, tell=lambda line: print(line, flush=True)))
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose stages have run."""
    root = tmp_path_factory.mktemp("template") / "project"
    (root / "build").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.parent / "site"))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        (root / "dvc.yaml").write_text(TOY)
        (root / "middle.sh").write_text(MIDDLE)
        (root / "data").write_text("a\n")
        for command in (["git", "init", "--quiet"], [*DVC, "init", "--quiet"], [*DVC, "repro", "--quiet"]):
            subprocess.run(command, cwd=root, check=True)
        yield root


DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


def stages_of(root: Path) -> dict[str, Stage]:
    return {stage.name: stage for stage in read_stages(root)}


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def patiently(root: Path, stage: str) -> StageRun:
    """Run a stage as a flow does: again if what stopped it passes."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            return reproduce(stages_of(root)[stage], root)
        except WorkspaceBusyError:
            time.sleep(1)
    raise AssertionError("the folder stays busy")


def at_work_in(folder: Path) -> list[int]:
    return [one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(folder)]


def run_in_process(root: Path, stage: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, stage],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_stages_come_after_what_they_need_whatever_their_place_in_the_file(template: Path) -> None:
    stages = read_stages(template)
    assert [(stage.name, stage.needs) for stage in stages] == [
        ("first", ()), ("middle", ("first",)), ("last", ("middle",))
    ]  # fmt: skip
    assert [stage.seconds for stage in stages] == [12 * 3600, 30 * 60, 12 * 3600]
    assert [stage.name for stage in following(stages, "middle")] == ["middle", "last"]
    assert stages[1].writes("build/folder/middle")
    assert not stages[1].writes("build/folder2")


def test_loops_and_templates_are_resolved(template: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(template, tmp_path / "project", symlinks=True))
    (root / "dvc.yaml").write_text(
        "stages:\n  copy:\n    foreach: [a, b]\n    do:\n      cmd: cp data build/${item}\n"
        "      deps: [data]\n      outs: ['build/${item}']\n  join:\n    cmd: cat build/a build/b > build/c\n"
        "    deps: [build/a, build/b]\n    outs: [build/c]\n"
    )
    assert [(stage.name, set(stage.needs)) for stage in read_stages(root)] == [
        ("copy@a", set()), ("copy@b", set()), ("join", {"copy@a", "copy@b"})
    ]  # fmt: skip


def test_file_that_gives_no_order_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StageGraphError, match=r"dvc\.yaml does not exist"):
        read_stages(tmp_path)
    circle = "stages:\n  a: {cmd: x, deps: [two], outs: [one]}\n  b: {cmd: x, deps: [one], outs: [two]}\n"
    (tmp_path / "dvc.yaml").write_text(circle)
    with pytest.raises(StageGraphError, match="stages need each other"):
        read_stages(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(StageGraphError, match="is no YAML"):
        read_stages(tmp_path)


def test_fresh_stage_is_cached_without_a_process_until_something_has_run(project: Path) -> None:
    stages, status = stages_of(project), read_status(project)
    assert status.changed == frozenset()
    said: list[str] = []
    for stage in stages.values():
        assert reproduce(stage, project, status=status, tell=said.append).cached
    assert said == []
    (project / "dvc.lock").touch()  # as when another one has run a stage
    assert not status.calls_fresh(stages["last"], project)


def test_changed_data_is_run_through_stage_by_stage(project: Path) -> None:
    (project / "data").write_text("b\n")
    status = read_status(project)
    assert "first" in status.changed
    said: list[str] = []
    runs = [reproduce(stage, project, status=status, tell=said.append) for stage in read_stages(project)]
    assert [run.cached for run in runs] == [False, False, False]
    assert "first is made" in said
    assert (project / "build/last").read_text() == "b\n"


def test_output_that_is_gone_is_really_there_after_a_cached_run(project: Path) -> None:
    status = read_status(project)
    shutil.rmtree(project / "build/folder")
    done = reproduce(stages_of(project)["middle"], project, status=status)
    assert done.cached  # from DVC's run cache
    assert (project / "build/folder/middle").read_text() == "a\n"


def test_failed_command_is_in_the_error_with_its_last_lines_and_does_not_pass(project: Path) -> None:
    (project / "middle.sh").write_text("echo step one\necho no space for step two\nexit 3\n")
    stages = stages_of(project)
    reproduce(stages["first"], project)
    with pytest.raises(
        StageFailedError, match=r"stage 'middle' failed:(.|\n)*no space for step two"
    ) as failed:
        reproduce(stages["middle"], project)
    assert not failed.value.passing


@pytest.mark.parametrize(
    ("ending", "again"),
    [("exit 75", True), ("echo http error 502: 502 findings, connection refused; exit 1", False)],
)
def test_failure_passes_if_the_command_says_so_by_its_exit_status_not_by_its_words(
    project: Path, ending: str, again: bool
) -> None:
    (project / "middle.sh").write_text(f"echo cannot go on\n{ending}\n")
    with pytest.raises(StageFailedError, match="cannot go on") as failed:
        reproduce(stages_of(project)["middle"], project)
    assert failed.value.passing == again


def test_stage_that_says_much_is_not_taken_for_cached(project: Path) -> None:
    (project / "middle.sh").write_text(f"seq 1 500\n{MIDDLE}")
    assert not reproduce(stages_of(project)["middle"], project).cached
    assert reproduce(stages_of(project)["middle"], project).cached


def test_stage_that_takes_too_long_is_ended_with_all_it_started(project: Path) -> None:
    (project / "middle.sh").write_text(SLOW)
    (project / "dvc.yaml").write_text(TOY.replace("30}", "0.05}"))
    with pytest.raises(
        StageTimeoutError, match=r"'middle' was ended after 0\.05 minutes: raise meta\.timeout"
    ):
        reproduce(stages_of(project)["middle"], project)
    wait_for(lambda: not at_work_in(project))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_killed_runner_takes_its_command_along_and_leaves_no_lock(
    project: Path, sign: signal.Signals
) -> None:
    (project / "middle.sh").write_text(SLOW)
    runner = run_in_process(project, "middle")
    try:
        wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
        pid = int((project / "pid").read_text())
        runner.send_signal(sign)
        runner.communicate(timeout=300)
        wait_for(lambda: not is_alive(pid))
    finally:
        runner.kill()
    (project / "middle.sh").write_text(f"{MIDDLE}# mended\n")
    assert not patiently(project, "middle").cached


def test_killed_dvc_fails_the_stage_and_the_next_run_goes_on(project: Path) -> None:
    (project / "middle.sh").write_text(
        "echo $$ > pid\nkill -KILL $(cut -d' ' -f5 /proc/$$/stat)\nsleep 600\n"
    )
    with pytest.raises(StageFailedError):
        reproduce(stages_of(project)["middle"], project)
    wait_for(lambda: not is_alive(int((project / "pid").read_text())))
    (project / "middle.sh").write_text(f"{MIDDLE}# mended\n")
    assert not reproduce(stages_of(project)["middle"], project).cached


def test_second_runner_waits_and_says_for_whom(project: Path) -> None:
    (project / "middle.sh").write_text("touch started\nuntil [ -e go ]; do sleep 0.1; done\n" + MIDDLE)
    (project / "build/last").unlink()
    runner = run_in_process(project, "middle")
    try:
        wait_for((project / "started").exists)
        said: list[str] = []

        def go_on(line: str) -> None:
            said.append(line)
            (project / "go").touch()

        done = reproduce(stages_of(project)["last"], project, tell=go_on)
        assert runner.wait(300) == 0
    finally:
        runner.kill()
        runner.communicate()
    assert said[0] == f"waiting for this folder: stage 'middle' of process {runner.pid}"
    assert done.cached
    assert (project / "build/last").read_text() == "a\n"


def test_dvc_that_somebody_else_started_makes_the_folder_busy_which_passes(project: Path) -> None:
    (project / "middle.sh").write_text("touch started\nsleep 600\n")
    stages = stages_of(project)
    foreign = subprocess.Popen(
        [*DVC, "repro", "middle"], cwd=project, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for((project / "started").exists)
        with pytest.raises(WorkspaceBusyError, match=r"'middle' cannot start: this folder is busy") as busy:
            reproduce(stages["middle"], project)
        assert busy.value.passing
    finally:
        os.killpg(foreign.pid, signal.SIGKILL)
        foreign.wait()


def test_holder_of_dvcs_lock_whose_pid_is_another_programs_is_forgotten(project: Path) -> None:
    (project / "data").write_text("c\n")
    another = subprocess.Popen(["sleep", "600"])
    info = {"pid": another.pid, "cmd": "another run"}
    rwlock = {"read": {str(project / "data"): [info]}, "write": {str(project / "build/first"): info}}
    path = project / ".dvc/tmp/rwlock"
    path.write_text(json.dumps(rwlock))
    before_it_began = time.time() - 600
    os.utime(path, (before_it_began, before_it_began))
    try:
        assert not reproduce(stages_of(project)["first"], project).cached
    finally:
        another.kill()
        another.wait()


def test_living_holder_of_dvcs_lock_keeps_it_whatever_its_command_line_says(project: Path) -> None:
    notebook = subprocess.Popen(["sleep", "600"])
    info = {"pid": notebook.pid, "cmd": "ipykernel_launcher.py -f kernel.json"}
    rwlock = {"read": {}, "write": {str(project / "build/first"): info}}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(rwlock))
    (project / "data").write_text("c\n")
    try:
        with pytest.raises(WorkspaceBusyError, match=rf"blocked by: \(PID {notebook.pid}\): ipykernel"):
            reproduce(stages_of(project)["first"], project)
    finally:
        notebook.kill()
        notebook.wait()
    assert not reproduce(stages_of(project)["first"], project).cached


def test_dvcs_lock_file_is_left_alone_while_dvc_is_at_it(project: Path) -> None:
    path = project / ".dvc/tmp/rwlock"
    path.write_text(json.dumps({"read": {}, "write": {"x": {"pid": 2**22, "cmd": "gone"}}}))
    with make_lock(f"{path}.lock", str(path.parent)):
        assert not forget_dead_holders(project)
    assert forget_dead_holders(project)
    assert json.loads(path.read_text()) == {"read": {}, "write": {}}
