"""Pictures of cards to the symbol that they share."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from pipelines import SYMBOLS, Pipeline

from dobble.detector.dataset import read_photo
from dobble.errors import MissingInputError, OutputError, PhotoError
from dobble.evaluation.play import play_pictures, write_picture
from dobble.sample.labelled_photos import render_tables
from jetson.play.bundle import load_bundle
from jetson.play.cards import find_cards
from jetson.play.detect import Detector
from jetson.play.game import play
from jetson.play.table import read_photo_of_card
from jetson.runners import open_runner

pytest_plugins = ["pipeline_fixtures"]

NAME = "|".join(SYMBOLS)
ANSWER = rf"({NAME}) \(\d+\.\d%; next ({NAME}) \d+\.\d%\)(, without the deck, which these cards are not of)?"


@pytest.fixture(scope="module")
def tables(game_symbols: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Frames by the number of their cards, all of which can be found."""
    folder = tmp_path_factory.mktemp("play") / "tables"
    render_tables(folder, symbols=game_symbols, frames=8, workers=1)
    frames = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    paths = {folder / "images" / name: len(frame["cards"]) for name, frame in frames.items()}
    return {number: path for path, number in paths.items() if len(find_cards(read_photo(path))) == number}


def test_two_photos_give_the_device_s_own_answer(pipeline: Pipeline) -> None:
    photos = [pipeline.photo(deck=0, card=3), pipeline.photo(deck=0, card=4)]
    outcome = play_pictures(pipeline.bundle, photos)
    bundle = load_bundle(str(pipeline.bundle))
    with open_runner("onnxruntime-cpu", bundle) as runner:
        detector = Detector(bundle, runner)
        match = play(bundle, *(read_photo_of_card(detector, read_photo(photo)) for photo in photos))
    assert match.no_answer is None
    (line,) = outcome.lines
    assert re.fullmatch(ANSWER, line)
    assert line.startswith(f"{bundle.labels[match.symbol]} ({match.probability:.1%}; next")
    assert outcome.answered
    assert outcome.picture.dtype == np.uint8
    assert outcome.picture.ndim == 3


def test_a_table_with_two_cards_gives_one_answer_above_the_whole_frame(
    pipeline: Pipeline, tables: dict[int, Path]
) -> None:
    outcome = play_pictures(pipeline.bundle, [tables[2]])
    (line,) = outcome.lines
    assert re.fullmatch(rf"{ANSWER}|no answer: .+", line)
    height, width, _ = outcome.picture.shape
    assert width == 1280
    assert height > 720


def test_a_table_with_three_cards_lists_all_three_pairs(pipeline: Pipeline, tables: dict[int, Path]) -> None:
    outcome = play_pictures(pipeline.bundle, [tables[3]])
    pairs = [re.match(r"cards (\d) and (\d) from the left: ", line) for line in outcome.lines]
    assert sorted(pair.groups() for pair in pairs if pair) == [("1", "2"), ("1", "3"), ("2", "3")]


def test_a_picture_without_a_card_says_what_to_do(pipeline: Pipeline, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((360, 640, 3), 60, np.uint8))
    outcome = play_pictures(pipeline.bundle, [empty])
    assert outcome.lines == [
        "no answer: no card found: lay two whole cards apart from each other on a darker table"
    ]
    assert not outcome.answered
    assert outcome.picture.shape == (400, 640, 3)  # a banner of 40 rows says so too


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_an_unreadable_picture_is_named(pipeline: Pipeline, tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(content)
    with pytest.raises(PhotoError, match=r"bad\.jpg: is no picture that OpenCV can decode"):
        play_pictures(pipeline.bundle, [pipeline.photo(deck=0, card=0), bad])


@pytest.mark.parametrize("name", ["missing.jpg", "."])
def test_a_picture_that_is_not_there_is_named(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingInputError, match="does not exist: check the name"):
        play_pictures(pipeline.bundle, [tmp_path / name])


@pytest.mark.parametrize("name", ["match.jpg", "match.PNG", "match"])
def test_a_picture_is_written_in_the_format_of_its_suffix(tmp_path: Path, name: str) -> None:
    picture = np.full((20, 30, 3), 200, np.uint8)
    write_picture(tmp_path / "new" / name, picture)
    assert cv2.imread(str(tmp_path / "new" / name)).shape == (20, 30, 3)
    starts = (tmp_path / "new" / name).read_bytes().startswith
    assert starts(b"\x89PNG") if name.endswith("PNG") else starts(b"\xff\xd8")


@pytest.mark.parametrize("name", ["match.txt", "match.xyz", "match.j"])
def test_a_suffix_of_no_picture_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"name it \.jpg or \.png"):
        write_picture(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(OutputError, match="could not be written"):
        write_picture(tmp_path / "file/match.jpg", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "file").read_bytes() == b"kept"
