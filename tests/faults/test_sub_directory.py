"""Commands that are called in a sub-directory of the project."""

import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import write_params

from dobble.pipeline.project_root import find_root

INSTALLED = str(Path(sys.executable).with_name("dobble"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project, whose path is free of links, with a photo in a sub-directory."""
    root = tmp_path.resolve() / "project"
    (root / "photos/new").mkdir(parents=True)
    (root / ".dvc").mkdir()
    write_params(root)
    return root


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_root_is_the_nearest_folder_that_holds_the_project(project: Path, tmp_path: Path) -> None:
    assert find_root(project / "photos/new") == project
    assert find_root(project) == project
    assert find_root(tmp_path.resolve()) is None


@pytest.mark.parametrize("command", [[INSTALLED], [sys.executable, "-m", "dobble"]])
def test_project_is_found_from_below_and_typed_paths_start_where_they_are_typed(
    project: Path, command: list[str]
) -> None:
    below = project / "photos/new"
    done = run(below, *command, "convert")
    assert done.stderr == "error: data does not exist: run `dobble sample`, `dobble import` or `dvc pull`\n"
    done = run(below, *command, "import", "none.ndjson", ".")
    assert str(below / "none.ndjson") in done.stderr


def test_installed_command_hands_over_from_below_and_says_where_it_was_called(project: Path) -> None:
    (project / "dobble").mkdir()
    (project / "dobble/__init__.py").touch()
    (project / "dobble/__main__.py").write_text(
        "import os, sys\nprint(os.getcwd(), os.environ['DOBBLE_CALLED_FROM'], *sys.argv[1:])\n"
    )
    done = run(project / "photos", INSTALLED, "import", "x", "y")
    assert done.stdout == f"{project} {project / 'photos'} import x y\n"


def test_flows_find_the_project_and_its_prefect_from_below(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)  # tests that import flows leave theirs to the process
    ask = "import os, flows; print(os.environ['PREFECT_HOME'])"
    done = run(project / "photos", sys.executable, "-c", ask)
    assert done.stdout == f"{project / '.dobble/prefect'}\n"
    done = run(
        project / "photos/new", sys.executable, "-m", "flows", "data", "--source", "export", "--export", "x"
    )
    assert "--images with --source export" in done.stderr
