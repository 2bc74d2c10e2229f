"""A device's `fetch` against a real MLflow server, whose files come in chunks from a bucket."""

import os
from pathlib import Path

import pytest
from mlflow_server import Line
from pipelines import files_of
from tracked_project import Project

from dobble.registry.versions import promote, register
from dobble.tracking.runs import log_run
from jetson.__main__ import main
from jetson.fetch import sources
from jetson.fetch.command import origin
from jetson.home import bundle_folder
from jetson.play.bundle import load_bundle

pytest_plugins = ["tracked_fixtures"]


def test_device_takes_the_champion_and_goes_back(
    project: Project,
    line: Line,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "device"))
    monkeypatch.setattr(sources, "PAUSES", (0.0,))
    bundle = project.root / "build/bundle"
    assert main(["fetch"]) == 1
    assert "knows no model dobble with alias champion" in capsys.readouterr().err
    assert main(["fetch", str(bundle)]) == 0
    before = fetched()
    assert before == files_of(bundle)

    project.rerun(bundle="another revision")
    run = log_run(project.root)
    promote(register(run, project.root).version, project.root)
    capsys.readouterr()
    assert main(["fetch"]) == 0
    assert f"{line.address}, dobble version 1 is in use" in capsys.readouterr().out
    assert fetched() == files_of(bundle) != before
    known = origin(load_bundle(bundle_folder()))
    assert (known["version"], known["alias"], known["run_id"]) == ("1", "champion", run.run_id)
    assert main(["fetch", "--rollback"]) == 0
    assert fetched() == before

    line.cut()
    capsys.readouterr()
    assert main(["fetch", "--version", "1"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {line.address}: cannot be reached (")
    assert fetched() == before


def fetched() -> dict[str, bytes]:
    """The bundle in use, without fetch's own note."""
    files = files_of(Path(os.path.realpath(bundle_folder())))
    return {name: content for name, content in files.items() if name != "source.json"}
