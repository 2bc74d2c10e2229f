import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dobble.data.export_rows import data_row
from dobble.deck.mathematics import make_deck
from dobble.errors import DeckError, OutputError, ParameterError, SymbolError
from dobble.sample.labelled_photos import render_photos, render_tables
from dobble.sample.symbols import sample_symbols
from dobble.sources.import_export import canonical_row

Json = dict[str, Any]


@pytest.fixture
def symbols(tmp_path: Path) -> Path:
    """Seven symbols, polygons of three to nine corners: scan 1 of each is red, scan 2 blue."""
    folder = tmp_path / "symbols"
    for corners in range(3, 10):
        for number, colour in ((1, (0, 0, 220)), (2, (220, 0, 0))):
            image = np.full((90, 90, 3), 255, np.uint8)
            turns = np.arange(corners) * 2 * np.pi / corners
            points = 45 + 40 * np.stack([np.cos(turns), np.sin(turns)], 1)
            cv2.fillPoly(image, [points.astype(np.int32)], colour)
            file = folder / f"corners{corners}" / f"scan{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(file), image)
    return folder


def rows(folder: Path) -> list[Json]:
    return [json.loads(line) for line in (folder / "export.ndjson").read_text(encoding="utf-8").splitlines()]


def objects(row: Json) -> list[Json]:
    (project,) = row["projects"].values()
    (label,) = project["labels"]
    found: list[Json] = label["annotations"]["objects"]
    return found


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_data_row_has_the_form_of_an_export() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    row = data_row("a/deck01_card02.jpg", image, ["sun"], np.array([[1.004, 2.006, 11.5, 32.25]]), "p1")
    assert canonical_row(row) == row
    assert row["data_row"]["external_id"] == "a/deck01_card02.jpg"
    assert row["media_attributes"] == {"height": 40, "width": 60, "mime_type": "image/jpeg"}
    (label,) = row["projects"]["p1"]["labels"]
    assert label["label_kind"] == "Default"
    (sun,) = label["annotations"]["objects"]
    assert sun["name"] == "sun"
    assert sun["annotation_kind"] == "ImageBoundingBox"
    assert sun["bounding_box"] == {"left": 1.0, "top": 2.01, "width": 10.5, "height": 30.24}


def test_every_photo_of_the_sample_deck_shows_the_eight_symbols_of_its_card(tmp_path: Path) -> None:
    summary = render_photos(tmp_path / "data", decks=1, size=128, workers=2)
    assert (summary.photos, summary.boxes, summary.symbols) == (57, 456, 57)
    deck = make_deck(list(sample_symbols()))
    exported = rows(tmp_path / "data")
    assert [row["data_row"]["external_id"] for row in exported] == [
        f"deck00_card{card:02d}.jpg" for card in range(57)
    ]
    for row, card in zip(exported, deck.cards, strict=True):
        assert sorted(symbol["name"] for symbol in objects(row)) == sorted(card)
        image = cv2.imread(str(tmp_path / "data" / "images" / row["data_row"]["external_id"]))
        assert image.shape == (128, 128, 3)
        for box in (symbol["bounding_box"] for symbol in objects(row)):
            assert box["left"] >= 0
            assert box["top"] >= 0
            assert 0 < box["left"] + box["width"] <= 128
            assert 0 < box["top"] + box["height"] <= 128
    identifiers = [symbol["feature_id"] for row in exported for symbol in objects(row)]
    assert len(set(identifiers)) == 456


def test_bytes_depend_neither_on_the_process_nor_on_the_number_of_workers(tmp_path: Path) -> None:
    render_photos(tmp_path / "two", decks=1, size=96, seed=3, workers=2)
    program = (
        "import sys, pathlib, dobble.sample.labelled_photos as s\n"
        "s.render_photos(pathlib.Path(sys.argv[1]), decks=1, size=96, seed=3, workers=1)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "one")], check=True, capture_output=True)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_other_photos_of_the_same_cards(tmp_path: Path, symbols: Path) -> None:
    for seed in (0, 1):
        render_photos(tmp_path / str(seed), symbols=symbols, decks=1, size=96, seed=seed, workers=1)
    first, second = (digests(tmp_path / seed / "images") for seed in "01")
    assert list(first) == list(second)
    assert not set(first.values()) & set(second.values())


def test_one_more_session_leaves_the_photos_of_the_first_as_they_were(tmp_path: Path) -> None:
    render_photos(tmp_path / "one", decks=1, size=64, workers=1)
    render_photos(tmp_path / "two", decks=2, size=64, workers=1)
    one, two = (digests(tmp_path / name / "images") for name in ("one", "two"))
    assert len(two) == 2 * len(one)
    assert one.items() <= two.items()


def test_later_sessions_show_other_scans_of_own_symbols(tmp_path: Path, symbols: Path) -> None:
    render_photos(tmp_path / "data", symbols=symbols, decks=4, size=240, workers=1)
    for row in rows(tmp_path / "data"):
        file = row["data_row"]["external_id"]
        image = cv2.imread(str(tmp_path / "data" / "images" / file)).astype(int)
        red_first = file.startswith(("deck00", "deck01"))
        for box in (symbol["bounding_box"] for symbol in objects(row)):
            x, y = (int(box[edge] + box[side] / 2) for edge, side in (("left", "width"), ("top", "height")))
            blue, _, red = image[y, x]
            assert (red > blue) == red_first, file


def test_a_card_of_own_symbols_shows_what_its_labels_say(tmp_path: Path, symbols: Path) -> None:
    summary = render_photos(tmp_path / "data", symbols=symbols, decks=2, size=96, workers=1)
    assert (summary.photos, summary.boxes, summary.symbols) == (14, 42, 7)
    deck = make_deck([f"corners{corners}" for corners in range(3, 10)])
    for row in rows(tmp_path / "data"):
        card = int(row["data_row"]["external_id"][len("deck00_card") :].removesuffix(".jpg"))
        assert {symbol["name"] for symbol in objects(row)} == set(deck.cards[card])


def test_a_number_of_own_symbols_that_makes_no_deck_is_refused(tmp_path: Path, symbols: Path) -> None:
    for scan in (symbols / "corners3").iterdir():
        scan.unlink()
    (symbols / "corners3").rmdir()
    with pytest.raises(SymbolError, match=r"symbols: 6 symbols make no deck: take 3 or 7 symbols"):
        render_photos(tmp_path / "data", symbols=symbols, workers=1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("wrong", [{"decks": 0}, {"size": 10}, {"seed": -1}, {"workers": -2}])
def test_numbers_that_are_too_small_are_named(tmp_path: Path, wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ParameterError, match=f"{name} must be at least"):
        render_photos(tmp_path / "data", **wrong)  # type: ignore[arg-type]


def test_earlier_data_stay_whole_when_rendering_fails(tmp_path: Path, symbols: Path) -> None:
    out = tmp_path / "data"
    render_photos(out, symbols=symbols, decks=1, size=64, workers=1)
    before = digests(out)
    (symbols / "corners4" / "scan1.png").write_bytes(b"torn")
    with pytest.raises(SymbolError, match=r"scan1.png cannot be read"):
        render_photos(out, symbols=symbols, decks=1, size=64, workers=1)
    assert digests(out) == before
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/data could not be written"):
        render_photos(tmp_path / "file" / "data", decks=1, size=64, workers=1)


def test_earlier_data_stay_whole_after_ctrl_c(tmp_path: Path) -> None:
    out = tmp_path / "data"
    (out / "images").mkdir(parents=True)
    (out / "export.ndjson").write_text("earlier\n")
    program = (
        "import sys, pathlib, dobble.sample.labelled_photos as s\n"
        "s.render_photos(pathlib.Path(sys.argv[1]), workers=2, replace=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(out)], stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(".data.new/images/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert b"KeyboardInterrupt" in errors
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (out / "export.ndjson").read_text() == "earlier\n"


def test_the_cards_are_those_of_the_file_and_the_project_says_that_they_are_printed_so(
    symbols: Path, tmp_path: Path
) -> None:
    # The plane of seven points, on other symbols than in the deck that is made up.
    plane = ["987", "965", "943", "864", "853", "754", "763"]
    cards = [[f"corners{corners}" for corners in card] for card in plane]
    (tmp_path / "deck.json").write_text(json.dumps(cards), encoding="utf-8")
    render_photos(
        tmp_path / "data", symbols=symbols, deck=tmp_path / "deck.json", decks=1, size=160, workers=1
    )
    shown = [frozenset(one["name"] for one in objects(row)) for row in rows(tmp_path / "data")]
    assert set(shown) == {frozenset(card) for card in cards}
    assert {project for row in rows(tmp_path / "data") for project in row["projects"]} == {"printed-deck"}


def test_a_symbol_of_the_file_without_a_picture_is_named(symbols: Path, tmp_path: Path) -> None:
    (tmp_path / "deck.csv").write_text("sun,moon\nmoon,star\nstar,sun\n", encoding="utf-8")
    with pytest.raises(
        DeckError, match=r"deck\.csv: moon has no picture in .*symbols: name it alike in both"
    ):
        render_photos(tmp_path / "data", symbols=symbols, deck=tmp_path / "deck.csv", workers=1)
    assert not (tmp_path / "data").exists()


def test_frames_of_tables_name_their_cards_and_the_shared_symbol(tmp_path: Path) -> None:
    summary = render_tables(tmp_path / "tables", frames=8, workers=1)
    tables = json.loads((tmp_path / "tables" / "tables.json").read_text(encoding="utf-8"))
    deck = make_deck(list(sample_symbols()))
    exported = rows(tmp_path / "tables")
    assert list(tables) == [row["data_row"]["external_id"] for row in exported]
    assert list(tables) == [f"table{frame:03d}.jpg" for frame in range(8)]
    assert summary.boxes == sum(8 * len(table["cards"]) for table in tables.values())
    for row in exported:
        table = tables[row["data_row"]["external_id"]]
        on_cards = [card["symbols"] for card in table["cards"]]
        assert on_cards == [sorted(deck.cards[card["card"]]) for card in table["cards"]]
        assert sorted(symbol["name"] for symbol in objects(row)) == sorted(
            name for card in on_cards for name in card
        )
        if len(on_cards) == 2:
            assert {table["shared"]} == set(on_cards[0]) & set(on_cards[1])
        else:
            assert table["shared"] is None
        image = cv2.imread(str(tmp_path / "tables" / "images" / row["data_row"]["external_id"]))
        assert image.shape == (720, 1280, 3)
    assert {len(table["cards"]) for table in tables.values()} >= {2, 3}
