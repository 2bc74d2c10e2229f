"""The server with a real network, under a short version of the load of `benchmarks/serve_load.py`."""

import subprocess
import sys

from pipelines import ROOT, Pipeline

pytest_plugins = ["pipeline_fixtures"]


def test_the_server_is_never_down_and_its_memory_and_threads_stay_flat(pipeline: Pipeline) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/serve_load.py"), "--seconds", "15"]
    command += ["--patience", "60"]  # of a machine that is slow
    done = subprocess.run(
        [*command, "--bundle", str(pipeline.bundle)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| match: 200 |" in done.stdout
    assert "| camera lost |" in done.stdout
