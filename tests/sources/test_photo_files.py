"""Photos in a folder: at their external id, or found by the end of a path, one file for one row."""

import unicodedata
from pathlib import Path

import pytest

from dobble.errors import BadRowsError, PhotoError
from dobble.sources.import_export import import_export
from dobble.sources.photo_files import PhotoFiles

CASE = Path(__file__).parents[3] / "shared/cases/04-same-basename"


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


FOUND = {
    "at its external id": ("deck/a.png", ["deck/a.png", "a.png"], "deck/a.png"),
    "flat": ("deck/a.png", ["a.png"], "a.png"),
    "deeper": ("deck/a.png", ["all/deck/a.png", "other/a.png"], "all/deck/a.png"),
    "in any folder, for a name without one": ("a.png", ["x/a.png"], "x/a.png"),
    "decomposed": ("é.png", [unicodedata.normalize("NFD", "é.png")], unicodedata.normalize("NFD", "é.png")),
    "other case": ("A.PNG", ["a.png"], "a.png"),
    "without its suffix": ("deck/card.01", ["deck/card.01.png"], "deck/card.01.png"),
}


@pytest.mark.parametrize(("name", "there", "found"), FOUND.values(), ids=FOUND.keys())
def test_photo_is_found(tmp_path, name, there, found):
    finder = PhotoFiles(files(tmp_path, *there), [name])
    assert finder.find(name) == tmp_path / found
    assert finder.elsewhere == ({} if found == name else {name: tmp_path / found})


@pytest.mark.parametrize(
    ("names", "there", "message"),
    [
        (["deck01/a.png"], ["deck02/a.png"], "is nowhere in"),
        (["deck01/a.png", "deck02/a.png"], ["deck02/a.png"], "is nowhere in"),
        (["a.png", "deck02/a.png"], ["deck02/a.png"], "is nowhere in"),
        (["deck01/a.png", "deck02/a.png"], ["a.png"], "could be .*a.png, but so could 'deck02/a.png'"),
        (["a.png"], ["x/a.png", "y/a.png"], "could be .*x/a.png and .*y/a.png"),
        (["card01", "card01.png"], ["x/card01.png"], "but so could 'card01.png'"),
        (["a.png"], ["a.jpg"], "is nowhere in"),
    ],
)
def test_photo_that_may_be_another_is_refused(tmp_path, names, there, message):
    finder = PhotoFiles(files(tmp_path, *there), names)
    with pytest.raises(PhotoError, match=message):
        finder.find(names[0])


@pytest.mark.skipif(not CASE.is_dir(), reason="the shared cases are not here")
def test_shared_case_names_the_photo_that_is_missing(tmp_path):
    with pytest.raises(BadRowsError) as caught:
        import_export(CASE / "export.ndjson", CASE / "photos", tmp_path / "data")
    assert [problem.photo for problem in caught.value.problems] == ["deck01/card01.jpg"]
