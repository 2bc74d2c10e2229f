"""What is skipped for want of a tool that has to be here fails instead."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no Chromium here: apt-get install chromium")
def test_page(): pass

def test_infra(): pytest.skip("Terraform is not here")

def test_gpu(): pytest.skip("needs a CUDA device")
"""


@pytest.mark.parametrize(
    ("needed", "failed"),
    [("", []), ("Chromium", ["test_page"]), ("Chromium,Terraform", ["test_page", "test_infra"])],
)
def test_skip_for_want_of_a_needed_tool_fails(tmp_path: Path, needed: str, failed: list[str]) -> None:
    shutil.copy(REPOSITORY / "conftest.py", tmp_path)
    (tmp_path / "test_tools.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "DOBBLE_TESTS_NEED": needed},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR "))]
    assert sorted(line.split("::")[1].split()[0] for line in told) == sorted(failed), done.stdout
    assert done.returncode == (1 if failed else 0)
