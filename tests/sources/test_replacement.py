"""Data that are here, and others that would take their place; DVC is the real one."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dobble.errors import OutputError, ReplaceDataError
from dobble.sources.replacement import replaced_data
from dobble.storage.pins import pin

OWN, OTHER = "own", "another"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with three photos of one Labelbox project, pinned."""
    root = tmp_path_factory.mktemp("template") / "project"
    fill(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.parent / "site"))
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        dvc(root, "init")
        pin(root)
        yield root


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """`data/` of a copy of the project."""
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True)) / "data"


def fill(folder: Path, project: str = OWN, photos: int = 3) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = [
        {"data_row": {"external_id": f"{number}.jpg"}, "projects": {project: {"labels": []}}}
        for number in range(photos)
    ]
    (folder / "export.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number in range(photos):
        (folder / f"images/{number}.jpg").write_text(f"photo {number} of {project}")


def dvc(root: Path, *arguments: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run(
        [sys.executable, "-m", "dvc", "--quiet", *arguments], cwd=root, env=environment, check=True
    )


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def bring(folder: Path, projects: set[str], *, replace: bool = False) -> None:
    """Put another photo into the place of a data folder."""
    with replaced_data(folder, projects, replace=replace) as side:
        (side / "new.jpg").write_text("new")


def refused(folder: Path, projects: set[str], message: str) -> None:
    before = snapshot(folder)
    with pytest.raises(ReplaceDataError, match=re.escape(message)):
        bring(folder, projects)
    assert snapshot(folder) == before


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_where_nothing_is_nothing_is_asked(tmp_path: Path, make) -> None:
    make(tmp_path / "data")
    bring(tmp_path / "data", {OWN})
    assert snapshot(tmp_path / "data") == {"new.jpg": "new"}


def test_pinned_data_make_room_for_those_of_the_same_project_and_come_back_by_their_pin(data: Path) -> None:
    before = snapshot(data)
    bring(data, {OWN, OTHER})
    assert snapshot(data) == {"new.jpg": "new"}
    shutil.rmtree(data)
    dvc(data.parent, "checkout", "data.dvc")
    assert snapshot(data) == before


def test_pinned_photo_that_the_cache_lost_is_kept_there_before_it_is_replaced(data: Path) -> None:
    before = snapshot(data)
    for cached in (data.parent / ".dvc/cache/files/md5").rglob("*"):
        if cached.is_file() and cached.read_text() == "photo 1 of own":
            cached.unlink()
    bring(data, {OWN})
    shutil.rmtree(data)
    dvc(data.parent, "checkout", "data.dvc")
    assert snapshot(data) == before


def test_data_that_were_never_pinned_stay_and_are_counted(data: Path) -> None:
    (data.parent / "data.dvc").unlink()
    what = "data holds 3 photos, 3 rows of own; they are not pinned and would be lost"
    refused(data, {OWN}, f"{what}: keep them by `dobble pin` and a commit of data.dvc, or give --replace")


def test_data_that_were_changed_since_they_were_pinned_stay(data: Path) -> None:
    (data / "images/1.jpg").write_text("retouched")
    (data / "notes.txt").write_text("somebody's own")
    what = "data holds 3 photos, 3 rows of own, 1 other files; not all of it is pinned"
    refused(data, {OWN}, f"{what} (1 changed, 1 new, 0 missing), and that would be lost")


def test_pinned_data_of_another_project_stay_until_it_is_said(data: Path) -> None:
    refused(data, {OTHER}, "3 rows of own; they are pinned, and what comes is of another: commit data.dvc")
    refused(data, set(), "they are pinned, and what comes is of no project")
    bring(data, {OTHER}, replace=True)
    assert snapshot(data) == {"new.jpg": "new"}


def test_folder_that_dvc_does_not_keep_stays(data: Path) -> None:
    own = data.parent / "holiday"
    own.mkdir()
    (own / "beach.jpg").write_text("sea")
    refused(own, {OWN}, "holiday holds 1 other files; DVC does not keep them, and they would be lost")


def test_data_behind_a_link_stay_because_dvc_cannot_pin_them(data: Path) -> None:
    disk = data.rename(data.parent.parent / "disk")
    data.symlink_to(disk)
    refused(data, {OWN}, "3 rows of own; DVC cannot pin what is behind a link, and they would be lost")
    bring(data, {OWN}, replace=True)
    assert data.is_symlink()
    assert snapshot(disk) == {"new.jpg": "new"}


def test_data_that_change_while_new_ones_are_made_stay(data: Path) -> None:
    with (
        pytest.raises(ReplaceDataError, match="changed while new ones were made"),
        replaced_data(data, {OWN}, replace=False),
    ):
        (data / "images/3.jpg").write_text("a labeller's")
    assert (data / "images/3.jpg").read_text() == "a labeller's"


@pytest.mark.parametrize("named", [".", "..", "../data"])
def test_folder_of_the_program_is_never_replaced(
    data: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(data)
    before = snapshot(data)
    with pytest.raises(OutputError, match="it is the folder you work in, or one above it"):
        bring(Path(named), {OWN}, replace=True)
    assert snapshot(data) == before
