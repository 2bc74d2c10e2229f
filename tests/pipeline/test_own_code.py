"""Which code runs where several copies of it lie about, in real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALLED = Path(sys.executable).with_name("dobble")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder whose own code only says which it is and what it was asked."""
    (tmp_path / "dobble").mkdir()
    (tmp_path / "dobble/__init__.py").touch()
    (tmp_path / "dobble/__main__.py").write_text("import sys\nprint('the clone', *sys.argv[1:])\n")
    return tmp_path


def run(folder: Path, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_installed_command_hands_over_to_the_code_of_the_folder(clone: Path) -> None:
    done = run(clone, INSTALLED, "import", "an export.json", "photos")
    assert (done.stdout, done.stderr) == ("the clone import an export.json photos\n", "")


def test_folder_without_code_is_served_by_what_is_installed(tmp_path: Path) -> None:
    done = run(tmp_path, INSTALLED, "split")
    assert done.stderr == "error: params.yaml does not exist: run in the project's folder\n"


@pytest.mark.parametrize("module", ["dobble", "flows"])
@pytest.mark.parametrize("package", ["dobble", "jetson"])
def test_python_that_looks_elsewhere_than_in_the_folder_is_refused(
    tmp_path: Path, package: str, module: str
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    done = run(tmp_path, sys.executable, "-m", module, "--help", PYTHONSAFEPATH="1")
    assert done.returncode == 1
    assert f"would run instead of {tmp_path / package}: unset PYTHONSAFEPATH" in done.stderr
    assert done.stderr.count("\n") == 1
