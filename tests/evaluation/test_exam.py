"""Photographs with known answers played, counted and shown."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pipelines import SYMBOLS, Pipeline, write_known_cards
from typer.testing import CliRunner

from dobble.cli.main import app
from dobble.detector.dataset import read_photo
from dobble.errors import AnswersError, OutputError
from dobble.evaluation.answers import KnownCard, read_answers
from dobble.evaluation.exam import Answer, Mark, Result, match_cards, take_exam, wilson
from dobble.evaluation.exam_page import FAILURES, summarise, write_exam
from dobble.sample.labelled_photos import render_tables
from jetson.play.bundle import load_bundle
from jetson.play.cards import Card, find_cards
from jetson.play.game import Match
from jetson.runners import open_runner

pytest_plugins = ["pipeline_fixtures"]

ANY = frozenset({"ant"})


def found(x: float, y: float, diameter: float = 100.0) -> Card:
    return Card((0, 0, 0, 0), (x, y), (diameter, diameter), 1.0)


def test_cards_are_assigned_one_to_one_by_the_least_distance_in_all() -> None:
    known = [KnownCard(ANY, at=(0.1, 0.5)), KnownCard(ANY, at=(0.13, 0.5)), KnownCard(ANY, at=(0.9, 0.5))]
    # 30 pixels apart; the first found card is nearer to the second known one, which has a nearer one itself
    assert match_cards(known, [found(125, 100), found(131, 100)], (1000, 200)) == {0: 0, 1: 1}


def test_a_found_card_is_none_that_lies_beyond_its_own_edge() -> None:
    known = [KnownCard(ANY, box=(0, 0, 100, 100))]
    assert match_cards(known, [found(89, 50)], (500, 500)) == {0: 0}
    assert match_cards(known, [found(91, 50)], (500, 500)) == {}
    assert match_cards(known, [], (500, 500)) == {}
    assert match_cards([], [found(1, 1)], (500, 500)) == {}


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(35, 35, 0.9011, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_a_share_is_wilson_s(count: int, total: int, low: float, high: float) -> None:
    assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)


@pytest.fixture(scope="module")
def folder(pipeline: Pipeline, game_symbols: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rendered tables and the seven cards of one session; on one table there is nothing at all."""
    made = tmp_path_factory.mktemp("exam") / "photographs"
    render_tables(made, symbols=game_symbols, frames=3, workers=1)
    bare = next(iter(json.loads((made / "tables.json").read_text(encoding="utf-8"))))
    assert cv2.imwrite(str(made / "images" / bare), np.full((720, 1280, 3), 60, np.uint8))
    write_known_cards(made, pipeline, "deck00")
    return made


@pytest.fixture(scope="module")
def result(pipeline: Pipeline, folder: Path) -> Result:
    bundle = load_bundle(str(pipeline.bundle))
    with open_runner("onnxruntime-cpu", bundle) as runner:
        return take_exam(bundle, runner, read_answers(folder), {"deck": bundle.deck, "joint": None})


def test_every_pair_is_judged_once_by_every_rule(result: Result, folder: Path) -> None:
    counted = summarise(result)
    frames = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    sizes = [len(frame["cards"]) for frame in frames.values()]
    assert counted["cards"]["known"] == sum(sizes)
    for rule in ("deck", "joint"):
        on_tables = counted["answers"]["tables"][rule]
        assert on_tables["pairs"] == sum(size * (size - 1) // 2 for size in sizes)
        assert on_tables["card not found"] >= sizes[0] * (sizes[0] - 1) // 2
        cards = counted["answers"]["deck00"][rule]
        assert cards["pairs"] == 21  # of seven cards
        assert cards["right"] + cards["wrong"] + cards["unanswered"] == 21
    assert len(result.of("tables", "deck")) == len(result.of("tables", "joint"))


def test_cards_that_are_there_are_found_and_on_the_bare_table_none(result: Result, folder: Path) -> None:
    bare, *others = result.tables
    assert (bare.found, bare.missed) == ((), list(range(len(bare.known.cards))))
    for seen in others:
        assert len(seen.found) == len(find_cards(read_photo(seen.known.path)))
        assert len(seen.matched) + len(seen.false) == len(seen.found)
        assert not seen.false


def told(mark: Mark, named: str | None, probability: float = 0.0) -> Answer:
    """What was said of a pair of cards that share the ant."""
    said = None if named is None else Match(0, probability, 1, 0.0, np.zeros((2, 4)), None, "joint")
    return Answer("day", (Path("a.jpg"),), "joint", "ant", said, named, mark)


def test_probabilities_are_held_against_what_came_true_withheld_answers_included() -> None:
    answers = (
        told("right", "ant", 0.9),
        told("wrong", "bee", 0.9),
        told("unanswered", "ant", 0.35),
        told("card not found", None),
    )
    counted = summarise(Result(("joint",), (), answers))["answers"]["day"]["joint"]
    assert [counted[mark] for mark in ("right", "wrong", "unanswered", "card not found")] == [1, 1, 1, 1]
    # Two of probability .9, half of them right, and one of .35 that is right: (2 * .4 + .65) / 3.
    assert counted["calibration_error"] == pytest.approx(0.4833, abs=1e-4)
    unseen = summarise(Result(("joint",), (), answers[3:]))["answers"]["day"]["joint"]
    assert unseen["calibration_error"] is None


def test_the_page_and_the_list_name_every_failure(result: Result, tmp_path: Path) -> None:
    page = write_exam(tmp_path / "exam", result, SYMBOLS, {"bundle": "of the test"})
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    with (tmp_path / "exam" / FAILURES).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    failed = [one for one in result.answers if one.mark != "right"]
    assert sum(row["mark"] not in {"card missed", "false card"} for row in rows) == len(failed)
    assert sum(row["mark"] == "card missed" for row in rows) == sum(
        len(seen.missed) for seen in result.tables
    )


def test_a_folder_with_other_files_is_never_replaced_by_a_page(result: Result, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="holds files that are of no exam"):
        write_exam(tmp_path, result, SYMBOLS, {})
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"
    for _ in range(2):
        write_exam(tmp_path / "exam", result, SYMBOLS, {})


def test_a_symbol_that_the_bundle_does_not_know_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").touch()
    (tmp_path / "cards.json").write_text('{"one.jpg": {"symbols": ["yeti"]}}', encoding="utf-8")
    bundle = load_bundle(str(pipeline.bundle))
    with (
        open_runner("onnxruntime-cpu", bundle) as runner,
        pytest.raises(AnswersError, match="'yeti', which is no symbol of the bundle"),
    ):
        take_exam(bundle, runner, read_answers(tmp_path), {"joint": None})


def test_the_verb_counts_by_rule_and_plays_with_a_deck_from_a_file(
    pipeline: Pipeline, folder: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(str(pipeline.bundle))
    assert bundle.deck is not None
    deck = [[bundle.labels[symbol] for symbol in card] for card in bundle.deck]
    (tmp_path / "mine.json").write_text(json.dumps(deck), encoding="utf-8")
    command = ["exam", str(folder), "--bundle", str(pipeline.bundle), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--deck", str(tmp_path / "mine.json"), "--json"])
    assert done.exit_code == 0, done.output
    counted = json.loads(done.stdout)
    assert list(counted["answers"]["deck00"]) == ["as the bundle plays", "without a deck", "with mine.json"]
    assert (
        counted["answers"]["deck00"]["with mine.json"] == counted["answers"]["deck00"]["as the bundle plays"]
    )
    said = CliRunner().invoke(app, command).stdout.splitlines()
    assert said[0].endswith("cards found, 0 false")
    assert said[-1] == f"page: {tmp_path / 'out' / 'report.html'}"
