import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dobble.errors import MissingInputError
from dobble.sources.import_export import import_export
from dobble.storage.errors import DvcBusyError, DvcError, PinnedDataError
from dobble.storage.pins import check_pinned, outputs, pin

PIPELINE = """
stages:
  count:
    cmd: echo
    outs: [build/list.txt, build/folder]
    metrics:
      - build/metrics.json: {cache: false}
"""
LOCK = """
schema: '2.0'
stages:
  count:
    cmd: echo
    outs:
    - {path: build/folder, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 7, nfiles: 2}
    - {path: build/list.txt, hash: md5, md5: a0000000000000000000000000000001, size: 5}
    - {path: build/metrics.json, hash: md5, md5: a0000000000000000000000000000002, size: 9}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("template") / "project"
    render(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.parent / "site"))
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        dvc("init", root)
        (root / ".dvcignore").write_text("*.part\n")
        pin(root)
        yield root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


def render(root: Path) -> None:
    images = root / "data/images"
    images.mkdir(parents=True)
    generator = random.Random(0)
    for number in range(4):
        (images / f"{number}.jpg").write_bytes(generator.randbytes(100))
    (root / "data/export.ndjson").write_text("{}\n")


def dvc(verb: str, root: Path) -> str:
    command = [sys.executable, "-m", "dvc", verb]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(command, cwd=root, env=environment, stdout=-1, text=True, check=True).stdout


def test_photos_that_were_imported_stay_apart_from_what_is_pinned(project: Path) -> None:
    own = project / "own.jpg"
    Image.new("RGB", (40, 30)).save(own)
    row = {"data_row": {"id": "1", "external_id": "own.jpg"}, "projects": {"p": {"labels": []}}}
    (project / "export.ndjson").write_text(json.dumps(row) + "\n")
    shutil.rmtree(project / "data")
    import_export(project / "export.ndjson", project, project / "data")
    pin(project)
    assert own.stat().st_mode & 0o200, "DVC makes the files of its cache read-only"
    own.write_bytes(b"edited")
    check_pinned(project)
    assert not dvc("status", project).count("data.dvc")


def test_untouched_data_passes_without_a_word(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_pinned(project)
    assert capfd.readouterr() == ("", "")


def test_same_bytes_rendered_again_into_a_clone_without_cache_pass_and_leave_dvc_clean(project: Path) -> None:
    before = (project / "data.dvc").read_bytes()
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data")
    render(project)
    check_pinned(project)
    assert (project / "data.dvc").read_bytes() == before
    assert "up to date" in dvc("status", project)


def test_difference_is_counted_and_nothing_is_pinned_anew(project: Path) -> None:
    before = (project / "data.dvc").read_bytes()
    images = project / "data/images"
    for name in ("0.jpg", "1.jpg"):
        (images / name).unlink()
        (images / name).write_bytes(b"changed")
    (images / "2.jpg").unlink()
    for name in ("new1.jpg", "new2.jpg", "new3.jpg"):
        (images / name).write_bytes(b"new")
    message = r"pinned data differs: 2 changed, 3 new, 1 missing; run `dobble pin` to accept it"
    with pytest.raises(PinnedDataError, match=message):
        check_pinned(project)
    assert (project / "data.dvc").read_bytes() == before


HOLD = """
import time
from dvc.repo import Repo
with Repo(".").lock:
    print("held", flush=True)
    time.sleep(600)
"""


def test_lock_that_another_dvc_holds_is_named_and_passes(project: Path) -> None:
    (project / "data/images/new.jpg").write_bytes(b"new")
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=project, stdout=-1, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            for function in (pin, check_pinned):
                with pytest.raises(DvcBusyError, match=r"Unable to acquire lock\. .* run it again") as error:
                    function(project)
                assert error.value.passing
        finally:
            holder.kill()
    pin(project)


def test_reason_for_which_dvc_refuses_data_is_in_the_error(project: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    autostage = perhaps\n")
    with pytest.raises(DvcError, match=r"`dvc add data` failed: .*autostage") as error:
        pin(project)
    assert not error.value.passing


def test_pin_accepts_the_difference(project: Path) -> None:
    (project / "data/images/new.jpg").write_bytes(b"new")
    pinned = pin(project)
    check_pinned(project)
    assert (pinned.path, pinned.is_folder, pinned.size) == ("data", True, 4 * 100 + 3 + 3)


def test_difference_without_a_cache_says_how_to_see_more(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    (project / "data/images/new.jpg").write_bytes(b"new")
    with pytest.raises(
        PinnedDataError, match=r"6 files here are other data, .* not in the cache \(`dobble pull`\)"
    ):
        check_pinned(project)


def test_what_dvcignore_leaves_out_is_no_difference(project: Path) -> None:
    (project / "data/images/half.part").write_bytes(b"half")
    check_pinned(project)


def test_data_that_is_gone_or_was_never_pinned_is_named_with_its_cure(project: Path) -> None:
    shutil.rmtree(project / "data")
    with pytest.raises(MissingInputError, match=r"data does not exist: run `dobble pull`"):
        check_pinned(project)
    with pytest.raises(MissingInputError, match=r"data does not exist: run `dobble sample`"):
        pin(project)
    (project / "data.dvc").unlink()
    with pytest.raises(MissingInputError, match=r"data\.dvc does not exist: run `dobble pin`"):
        check_pinned(project)


@pytest.mark.parametrize("templated", [False, True], ids=["plain", "templated"])
def test_outputs_are_what_dvc_keeps_and_not_what_git_keeps(project: Path, templated: bool) -> None:
    text = PIPELINE.replace("build/metrics", "${where}/metrics") if templated else PIPELINE
    (project / "dvc.yaml").write_text("vars: [{where: build}]\n" + text)
    (project / "dvc.lock").write_text(LOCK)
    found = {(output.path, output.is_folder, output.size) for output in outputs(project)}
    assert found == {("data", True, 403), ("build/folder", True, 7), ("build/list.txt", False, 5)}
