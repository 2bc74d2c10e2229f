"""What is known of photographs: cards, symbols, right answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from dobble.errors import AnswersError, MissingInputError
from dobble.evaluation.answers import KnownCard, read_answers
from dobble.sample.labelled_photos import render_tables

A, B = {"at": [0.2, 0.5], "symbols": ["ant", "bee"]}, {"at": [0.8, 0.5], "symbols": ["bee", "cat"]}


def write(folder: Path, name: str, content: Any, pictures: tuple[str, ...] = ("one.jpg",)) -> Path:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for picture in pictures:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        (folder / picture).touch()
    return folder


def test_pairs_that_share_one_symbol_are_matches_unless_the_file_names_them(tmp_path: Path) -> None:
    far = {"at": [0.5, 0.9], "symbols": ["dog"]}
    (table,) = read_answers(
        write(tmp_path, "tables.json", {"photos": {"one.jpg": {"cards": [A, B, far]}}})
    ).tables
    assert table.matches == ((0, 1, "bee"),)
    assert table.cards[0] == KnownCard(frozenset({"ant", "bee"}), at=(0.2, 0.5))
    none = {"photos": {"one.jpg": {"cards": [A, B], "matches": []}}}
    assert read_answers(write(tmp_path, "tables.json", none)).tables[0].matches == ()


def test_what_sample_renders_as_tables_is_an_exam(tmp_path: Path) -> None:
    render_tables(tmp_path / "tables", frames=3, workers=1)
    answers = read_answers(tmp_path / "tables")
    rendered = json.loads((tmp_path / "tables/tables.json").read_text(encoding="utf-8"))
    assert [table.path.name for table in answers.tables] == list(rendered)
    for table, frame in zip(answers.tables, rendered.values(), strict=True):
        assert len(table.matches) == len(frame["cards"]) * (len(frame["cards"]) - 1) // 2
        if frame["shared"] is not None:
            assert table.matches == ((0, 1, frame["shared"]),)


def test_a_centre_is_in_pixels_whether_a_box_or_a_share_says_it() -> None:
    assert KnownCard(frozenset("a"), at=(0.25, 0.5)).centre(400, 200) == (100, 100)
    assert KnownCard(frozenset("a"), box=(10, 20, 30, 60)).centre(400, 200) == (20, 40)


def test_sessions_are_named_by_the_file_or_by_the_photos(tmp_path: Path) -> None:
    files = {
        "desk/day1_card01.jpg": {"symbols": ["ant"]},
        "desk/day1_card02.jpg": {"symbols": ["ant"], "session": "lamp"},
        "lone.jpg": {"symbols": ["ant"]},
    }
    answers = read_answers(write(tmp_path, "cards.json", {"files": files}, tuple(files)))
    assert [photo.session for photo in answers.photos] == ["day1", "lamp", "lone"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"cards": [{"symbols": ["ant"]}]}, "one.jpg: card 0 needs `at` or `box`"),
        ({"cards": [{"at": [0, 0], "symbols": []}]}, "one.jpg: cards: 0: symbols"),
        ({"cards": [A, B], "matches": [[0, 2, "bee"]]}, "one.jpg: match 0, 2 is of no two of its cards"),
        ({"cards": [A, B], "matches": [[0, 1, "ant"]]}, "one.jpg: ant is not on both cards 0 and 1"),
        ({}, "one.jpg: cards: field required"),
    ],
)
def test_a_wrong_entry_is_said_by_file_picture_and_place(tmp_path: Path, entry: Any, said: str) -> None:
    write(tmp_path, "tables.json", {"one.jpg": entry})
    with pytest.raises(AnswersError) as caught:
        read_answers(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'tables.json'}: ")
    assert said in str(caught.value)


def test_missing_folder_files_and_pictures_are_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="none does not exist"):
        read_answers(tmp_path / "none")
    with pytest.raises(MissingInputError, match=r"tables\.json does not exist"):
        read_answers(tmp_path)
    with pytest.raises(MissingInputError, match=r"gone\.jpg does not exist: cards\.json names it"):
        read_answers(write(tmp_path, "cards.json", {"gone.jpg": {"symbols": ["ant"]}}))
    (tmp_path / "cards.json").write_text("{", encoding="utf-8")
    with pytest.raises(AnswersError, match="is no JSON"):
        read_answers(tmp_path)
