import os
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from dobble.errors import OutputError
from dobble.files import copy, link_or_copy, replaced_file, replaced_folder


def write_folder(folder, **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def write_half(target, stop):
    with replaced_folder(target) as side:
        (side / "a").write_text("half")
        raise stop


def write_half_file(target, stop, *, begun):
    with replaced_file(target) as side:
        if begun:
            side.write_text("half")
        raise stop


@contextmanager
def largest_file(size):
    """A write beyond `size` bytes fails with "File too large", as one on a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_folder_appears_when_all_is_written(tmp_path):
    target = tmp_path / "build" / "out"
    with replaced_folder(target) as side:
        (side / "a").write_text("new")
        assert not target.exists()
    assert contents(target) == {"a": "new"}
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_folder_replaces_the_whole_earlier_one(tmp_path):
    target = tmp_path / "out"
    write_folder(target, a="old", b="old")
    with replaced_folder(target) as side:
        assert contents(side) == {}
        (side / "a").write_text("new")
        assert contents(target) == {"a": "old", "b": "old"}
    assert contents(target) == {"a": "new"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_earlier_folder_stays_when_writing_stops(tmp_path, stop):
    target = tmp_path / "out"
    write_folder(target, a="old")
    with pytest.raises(stop):
        write_half(target, stop)
    assert contents(target) == {"a": "old"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_nothing_appears_when_writing_of_a_first_folder_stops(tmp_path, stop):
    with pytest.raises(stop):
        write_half(tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_run_do_not_get_into_the_folder(tmp_path):
    target = tmp_path / "out"
    write_folder(target, a="old")
    with pytest.raises(ChildProcessError):
        kill_while_writing(target)
    assert contents(target) == {"a": "old"}
    assert contents(tmp_path / ".out.new") == {"half": "half"}
    with replaced_folder(target) as side:
        (side / "a").write_text("new")
    assert contents(target) == {"a": "new"}
    assert list(tmp_path.iterdir()) == [target]


def kill_while_writing(target):
    child = os.fork()
    if child == 0:
        with replaced_folder(target) as side:
            (side / "half").write_text("half")
            os._exit(9)
    if os.waitpid(child, 0)[1]:
        raise ChildProcessError


def test_folder_that_a_kill_left_aside_in_the_middle_of_the_swap_comes_back(tmp_path):
    write_folder(tmp_path / ".out.old", a="old")
    write_folder(tmp_path / ".out.new", a="new")
    with pytest.raises(ValueError, match="later"), replaced_folder(tmp_path / "out"):
        raise ValueError("later")
    assert contents(tmp_path / "out") == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_that_a_kill_left_aside_after_the_swap_goes(tmp_path):
    write_folder(tmp_path / ".out.old", a="old")
    write_folder(tmp_path / "out", a="new")
    with pytest.raises(ValueError, match="later"), replaced_folder(tmp_path / "out"):
        raise ValueError("later")
    assert contents(tmp_path / "out") == {"a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_disk_that_is_full_is_named_with_the_folder(tmp_path):
    target = tmp_path / "out"
    write_folder(target, a="old")
    with pytest.raises(OutputError) as caught, largest_file(1000), replaced_folder(target) as side:
        (side / "a").write_bytes(bytes(2000))
    problem = "could not be written: File too large; what was there before is untouched"
    assert str(caught.value) == f"{target} {problem}"
    assert contents(target) == {"a": "old"}
    assert list(tmp_path.iterdir()) == [target]


def test_disk_that_is_full_is_named_with_the_file(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")
    full = pytest.raises(OutputError, match=r"out\.json could not be written: File too large")
    with full, largest_file(1000), replaced_file(target) as side:
        side.write_bytes(bytes(2000))
    assert contents(tmp_path) == {"out.json": "old"}


@pytest.mark.parametrize("replaced", [replaced_file, replaced_folder])
def test_file_in_the_place_of_a_parent_folder_is_an_error_that_names_the_output(tmp_path, replaced):
    (tmp_path / "build").write_text("a file")
    target = tmp_path / "build" / "deep" / "out"
    with pytest.raises(OutputError, match="deep/out could not be written: Not a directory"), replaced(target):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can make a folder")
@pytest.mark.parametrize("replaced", [replaced_file, replaced_folder])
def test_parent_folder_that_cannot_be_made_is_an_error_that_names_the_output(replaced):
    target = Path("/proc/nothing/deep/out")
    with pytest.raises(OutputError, match=r"^/proc/nothing/deep/out could not be written"), replaced(target):
        pass


@pytest.mark.parametrize("replaced", [replaced_file, replaced_folder])
def test_input_that_is_missing_is_not_taken_for_an_output_that_cannot_be_written(tmp_path, replaced):
    missing, target = tmp_path / "input" / "photo.jpg", tmp_path / "build" / "out"
    with pytest.raises(FileNotFoundError, match=r"input/photo\.jpg"), replaced(target):
        missing.read_bytes()


def test_file_appears_when_all_is_written(tmp_path):
    target = tmp_path / "deep" / "out.json"
    with replaced_file(target) as side:
        side.write_text("new")
        assert not target.exists()
    assert contents(target.parent) == {"out.json": "new"}


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("begun", [True, False])
def test_earlier_file_stays_when_writing_stops(tmp_path, stop, begun):
    target = tmp_path / "out.json"
    target.write_text("old")
    with pytest.raises(stop):
        write_half_file(target, stop, begun=begun)
    assert contents(tmp_path) == {"out.json": "old"}


@pytest.fixture
def large_disk(tmp_path):
    """A folder that `project/out` is a relative link to."""
    write_folder(tmp_path / "disk" / "out", a="old")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "out").symlink_to("../disk/out")
    return tmp_path / "disk"


def test_link_to_a_large_disk_stays_and_the_folder_there_is_replaced(tmp_path, large_disk):
    target = tmp_path / "project" / "out"
    with replaced_folder(target) as side:
        assert side.parent == large_disk, "what is written must not fill the small disk first"
        (side / "a").write_text("new")
    assert target.readlink() == Path("../disk/out")
    assert contents(large_disk / "out") == {"a": "new"}
    assert [path.name for path in large_disk.iterdir()] == ["out"]


def test_folder_behind_a_link_stays_when_writing_stops(tmp_path, large_disk):
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "project" / "out", KeyboardInterrupt)
    assert contents(tmp_path / "project" / "out") == {"a": "old"}
    assert [path.name for path in large_disk.iterdir()] == ["out"]


def test_link_in_the_place_of_a_file_stays_and_the_file_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    with replaced_file(tmp_path / "link.json") as side:
        side.write_text("new")
    assert (tmp_path / "link.json").readlink() == Path("real.json")
    assert (tmp_path / "real.json").read_text() == "new"


@pytest.mark.parametrize("leads_to", ["disk/not/mounted", "out"])
@pytest.mark.parametrize("replaced", [replaced_file, replaced_folder])
def test_link_that_leads_nowhere_is_refused_and_stays(tmp_path, replaced, leads_to):
    target = tmp_path / "out"
    target.symlink_to(leads_to)
    cure = f"it is a link to {leads_to}, which is not there: mount or make what it leads to, or remove the"
    with pytest.raises(OutputError, match=cure), replaced(target):
        pass
    assert target.readlink() == Path(leads_to)
    assert list(tmp_path.iterdir()) == [target]


def test_file_in_the_place_of_a_folder_is_refused_and_stays(tmp_path):
    (tmp_path / "out").write_text("somebody's own")
    with pytest.raises(OutputError, match="a file is there: move it away"), replaced_folder(tmp_path / "out"):
        pass
    assert contents(tmp_path) == {"out": "somebody's own"}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project" / ".dvc").mkdir(parents=True)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "project" / "photo.jpg").write_bytes(b"\xff\xd8")
    return tmp_path / "project"


@pytest.mark.parametrize("give", [copy, link_or_copy])
def test_file_has_the_bytes_of_its_source(project, give):
    give(project / "photo.jpg", project / "given.jpg")
    assert (project / "given.jpg").read_bytes() == b"\xff\xd8"


def test_photo_of_the_project_is_linked_within_it(project):
    link_or_copy(project / "photo.jpg", project / "given.jpg")
    assert (project / "given.jpg").samefile(project / "photo.jpg")


@pytest.mark.parametrize("source", ["photo.jpg", "project/link.jpg", "project/folder/photo.jpg"])
def test_photo_outside_the_project_is_never_linked_into_it(project, source):
    (project / "link.jpg").symlink_to("../photo.jpg")
    (project / "folder").symlink_to("..")
    link_or_copy(project.parent / source, project / "given.jpg")
    (project / "given.jpg").write_bytes(b"changed")
    assert (project.parent / "photo.jpg").read_bytes() == b"\xff\xd8"
    assert (project.parent / "photo.jpg").stat().st_nlink == 1


def test_photo_of_one_project_is_never_linked_into_another(project):
    (project / "inner" / ".dvc").mkdir(parents=True)
    link_or_copy(project / "photo.jpg", project / "inner" / "given.jpg")
    assert not (project / "inner" / "given.jpg").samefile(project / "photo.jpg")


def test_copy_takes_the_place_of_no_file(project):
    with pytest.raises(FileExistsError):
        copy(project.parent / "photo.jpg", project / "photo.jpg")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_source_on_another_file_system_is_copied(tmp_path):
    source = Path("/dev/shm") / f"dobble-test-{os.getpid()}"
    source.write_bytes(b"bytes")
    try:
        link_or_copy(source, tmp_path / "copy")
    finally:
        source.unlink()
    assert (tmp_path / "copy").read_bytes() == b"bytes"
