"""Prefect's servers and database when a start is broken off, meets another one, or fails."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import prefect
import pytest
import yaml

ROOT = Path(__file__).parents[2]
MIGRATIONS = Path(prefect.__file__).parent / "server/database/_migrations/versions/sqlite"
PREPARE = """
import sys
from flows.server.database import own_database, prepare_database
prepare_database(own_database(), print)
"""
RUN = """
import sys
from prefect import flow
from flows.server.local_run import run_flow
run_flow(flow(lambda: print("it ran"), name="small"))
"""


def environment(**variables: str) -> dict[str, str]:
    """What a terminal in a project has: Prefect's home is the project's own."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))
    }
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


def start(root: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    process = start(root, *arguments, **variables)
    try:
        said, complained = process.communicate(timeout=1800)
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, said, complained)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A project whose first start was killed in the middle of the migrations, and what that left."""
    root = tmp_path_factory.mktemp("killed")
    process = start(root, "-c", PREPARE)
    side = database(root).with_name("prefect.new.db")
    try:
        # What is in the write-ahead log counts as well.
        wait_for(lambda: sum(one.stat().st_size for one in side.parent.glob(f"{side.name}*")) > 100_000)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return root, [path.name for path in side.parent.glob("prefect*.db")]


@pytest.fixture(scope="module")
def migrated(killed: tuple[Path, list[str]]) -> Path:
    """The same project after the next start; to be copied only."""
    root, _ = killed
    done = run(root, "-c", PREPARE)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "project"))


def database(root: Path) -> Path:
    return root / ".dobble/prefect/prefect.db"


def test_start_that_is_killed_leaves_no_half_database_and_the_next_one_makes_it(
    killed: tuple[Path, list[str]], migrated: Path
) -> None:
    assert killed[1] == ["prefect.new.db"]
    with closing(sqlite3.connect(database(migrated))) as connection:
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone() == (0,)
    assert not database(migrated).with_name("prefect.new.db").exists()


@pytest.mark.parametrize("damage", ["half migrated", "garbage"])
def test_database_that_was_left_half_made_is_put_aside_and_flows_run(project: Path, damage: str) -> None:
    database(project).with_name("migrated").unlink()  # as a version without the mark left it
    if damage == "garbage":
        database(project).write_bytes(b"no database" * 1000)
    else:  # tables that are there and migrations that say they are not
        first = min(MIGRATIONS.glob("20*.py")).read_text(encoding="utf-8")
        revision = first.partition('\nrevision = "')[2].partition('"')[0]
        with closing(sqlite3.connect(database(project))) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    # Prefect's own patience with its temporary server is no limit.
    done = run(project, "-c", RUN, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="1")
    assert done.returncode == 0, done.stderr
    assert "it ran" in done.stdout
    assert "a start that was broken off left it half made: a new one begins" in done.stderr
    assert database(project).with_name("prefect.broken.db").is_file()
    assert "Traceback" not in done.stderr
    again = run(project, "-c", PREPARE)
    assert (again.returncode, again.stdout) == (0, "")


def test_database_that_is_whole_is_kept_with_its_runs(project: Path) -> None:
    database(project).with_name("migrated").unlink()
    with closing(sqlite3.connect(database(project))) as connection, connection:
        connection.execute("CREATE TABLE mine (run TEXT)")
    assert run(project, "-c", PREPARE).returncode == 0
    with closing(sqlite3.connect(database(project))) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


@pytest.fixture(scope="module")
def started_twice(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[subprocess.CompletedProcess[str]]]]:
    """A project in which two `make ui` were started at once, and how they ended."""
    root = tmp_path_factory.mktemp("twice") / "project"
    shutil.copytree(migrated, root)
    shutil.copytree(ROOT / "flows", root / "flows")
    shutil.copy(ROOT / "prefect.yaml", root)
    both = [start(root, "-m", "flows", "ui", "--prefect-port", "0", "--mlflow-port", "0") for _ in range(2)]
    try:
        ended = [(one, *one.communicate(timeout=1800)) for one in both]
        yield root, [subprocess.CompletedProcess([], one.returncode, *said) for one, *said in ended]
    finally:
        run(root, "-m", "flows", "ui-stop")


def pids(root: Path) -> dict[str, int]:
    return {
        name: int(json.loads((root / f".dobble/ui/{name}.json").read_text(encoding="utf-8"))["pid"])
        for name in ("server", "worker", "mlflow")
    }


def test_two_starts_at_once_give_the_same_servers(
    started_twice: tuple[Path, list[subprocess.CompletedProcess[str]]],
) -> None:
    root, (one, other) = started_twice
    assert [one.returncode, other.returncode] == [0, 0], one.stderr + other.stderr
    assert one.stdout == other.stdout
    assert one.stdout.startswith("Prefect: http://127.0.0.1:")
    assert "another command starts or ends the servers of this folder: waiting" in one.stderr + other.stderr
    assert all(Path(f"/proc/{pid}").exists() for pid in pids(root).values())


def test_start_that_fails_leaves_the_servers_that_ran_before(
    started_twice: tuple[Path, list[subprocess.CompletedProcess[str]]],
) -> None:
    root, _ = started_twice
    before, described = pids(root), (root / "prefect.yaml").read_text(encoding="utf-8")
    (root / "prefect.yaml").write_text(described.replace("flows/data.py:data", "flows/data.py:none"), "utf-8")
    try:
        failed = run(root, "-m", "flows", "ui")
    finally:
        (root / "prefect.yaml").write_text(described, encoding="utf-8")
    assert failed.returncode == 1
    assert "error: prefect deploy --all failed with" in failed.stderr
    assert "Traceback" not in failed.stderr.partition("error: prefect deploy")[0]
    assert pids(root) == before
    assert all(Path(f"/proc/{pid}").exists() for pid in before.values())


def test_start_beside_a_living_worker_deploys_what_prefect_yaml_says_now(
    started_twice: tuple[Path, list[subprocess.CompletedProcess[str]]],
) -> None:
    root, _ = started_twice
    before = pids(root)
    described = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))
    described["deployments"][0]["description"] = "what it says now"
    (root / "prefect.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    done = run(root, "-m", "flows", "ui")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(database(root))) as connection:
        assert ("what it says now",) in connection.execute("SELECT description FROM deployment").fetchall()
    assert pids(root) == before
