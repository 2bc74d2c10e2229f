"""`python -m flows` when Prefect or a stage fails."""

import os
import subprocess
import sys
from pathlib import Path

import flow_project  # noqa: F401 - gives Prefect a home of the tests
import pytest
from pipelines import ROOT
from s3_server import free_port


def flows(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_server_that_is_dead_is_named(debug: tuple[str, ...], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    done = flows(tmp_path, *debug, "training", PREFECT_API_URL=address)
    assert done.returncode == 1
    assert f"\nerror: Prefect does not answer at {address}; it said last:\n" in f"\n{done.stderr}"
    assert ("Traceback" in done.stderr) == bool(debug)


def test_flow_that_fails_ends_with_its_reason_and_no_traceback(tmp_path: Path) -> None:
    done = flows(tmp_path, "training")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "data.dvc does not exist" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr + done.stdout
