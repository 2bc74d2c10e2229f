"""One stage's entry of `dvc.lock` taken over from a copy of the project in which the stage has run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dobble.pipeline.errors import ElsewhereError, InputsChangedError
from dobble.pipeline.lock_entry import take_over
from dobble.pipeline.stages import Stage, read_stages
from dobble.storage.errors import DvcBusyError

STAGES = """
stages:
  first: {cmd: cp data build/first, deps: [data], outs: [build/first]}
  train: {cmd: cp build/first build/train, deps: [build/first], params: [epochs], outs: [build/train]}
  other: {cmd: cp data build/other, deps: [data], outs: [build/other]}
"""


def dvc(root: Path, *arguments: str) -> None:
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(root.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=True)


def entries(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`here`, where all but the training has run, and `there`, where the training has."""
    folder = tmp_path_factory.mktemp("both")
    here, there = folder / "here", folder / "there"
    (here / "build").mkdir(parents=True)
    (here / "dvc.yaml").write_text(STAGES)
    (here / "data").write_text("a\n")
    (here / "params.yaml").write_text("epochs: 3\n")
    dvc(here, "init", "--quiet", "--no-scm")
    dvc(here, "repro", "--quiet", "first")
    shutil.copytree(here, there)
    dvc(here, "repro", "--quiet", "other")
    dvc(there, "repro", "--quiet", "train")
    return folder


@pytest.fixture
def here(both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(both / "site"))
    return Path(shutil.copytree(both / "here", tmp_path / "here"))


@pytest.fixture
def lock(both: Path) -> str:
    return (both / "there/dvc.lock").read_text(encoding="utf-8")


def stage(root: Path, name: str = "train") -> Stage:
    return next(one for one in read_stages(root) if one.name == name)


def test_only_the_stages_own_entry_changes(both: Path, here: Path, lock: str) -> None:
    before = entries(here)
    take_over(stage(here), lock, here)
    assert entries(here) == {**before, "train": entries(both / "there")["train"]}


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [("build/first", "b\n", ["build/first"]), ("params.yaml", "epochs: 4\n", ["params.yaml"])],
)
def test_inputs_that_changed_in_the_meantime_are_named_and_the_lock_stays(
    here: Path, lock: str, file: str, text: str, changed: list[str]
) -> None:
    before = entries(here)
    (here / file).unlink()
    (here / file).write_text(text)
    with pytest.raises(InputsChangedError, match="nothing is taken over") as error:
        take_over(stage(here), lock, here)
    assert error.value.changed == changed
    assert entries(here) == before
    assert not (here / "build/train").exists()


def test_lock_without_the_stage_is_refused(here: Path) -> None:
    with pytest.raises(ElsewhereError, match=r"'train' ran elsewhere but left no result: run it again"):
        take_over(stage(here), json.dumps({"stages": {}}), here)


def test_dvc_at_work_is_waited_for_by_whoever_tries_again(here: Path, lock: str) -> None:
    from dvc.repo import Repo

    before = entries(here)
    with Repo(str(here)).lock, pytest.raises(DvcBusyError):
        take_over(stage(here), lock, here)
    assert entries(here) == before
