"""A file with the symbols of each card into a checked deck."""

import json
from pathlib import Path

import pytest

from dobble.deck.deck_file import class_ids, read_deck_file
from dobble.deck.mathematics import make_deck
from dobble.errors import DeckError, MissingInputError

# The plane of seven points, worked out by hand.
FANO = ["abc", "ade", "afg", "bdf", "beg", "cdg", "cef"]
CSV = "".join(",".join(card) + "\n" for card in FANO)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deck.csv", CSV),
        ("deck.csv", "\ufeff" + CSV),
        ("deck.csv", CSV.replace(",", " ; ") + "\n\n"),
        ("deck.json", json.dumps([list(card) for card in FANO])),
        ("deck.json", json.dumps({str(number): list(card) for number, card in enumerate(FANO)})),
        ("deck.json", json.dumps({"about": "mine", "cards": [list(card) for card in FANO]})),
    ],
)  # fmt: skip
def test_every_way_to_write_a_deck_gives_the_same(tmp_path: Path, name: str, text: str) -> None:
    deck = read_deck_file(write(tmp_path, name, text))
    assert deck.symbols == tuple("abcdefg")
    assert deck.cards == tuple(tuple(card) for card in FANO)


def test_cards_keep_the_order_of_the_file_so_that_names_of_photos_can_follow_it(tmp_path: Path) -> None:
    turned = "".join(reversed(CSV.splitlines(keepends=True)))
    deck = read_deck_file(write(tmp_path, "deck.csv", turned))
    assert deck.cards == tuple(tuple(card) for card in reversed(FANO))


def test_the_printed_game_may_leave_two_cards_out_and_no_more(tmp_path: Path) -> None:
    cards = make_deck([f"s{number:02d}" for number in range(57)]).cards
    assert len(read_deck_file(write(tmp_path, "55.json", json.dumps(cards[:55]))).cards) == 55
    with pytest.raises(DeckError, match=r"54\.json: 54 cards are too few for a deck of 57 symbols"):
        read_deck_file(write(tmp_path, "54.json", json.dumps(cards[:54])))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", CSV.replace("c,e,f", "c,e,a"), "line 7"),
        ("a.csv", CSV.replace("c,e,f", "c,e"), "line 7 has 2 different symbols, not 3: c, e"),
        ("a.csv", CSV.replace("c,e,f", "c,c,e,f"), "line 7 has more than one of c"),
        ("a.csv", "a,b,c\n", "lists 1 cards"),
        ("a.json", "{", "is no JSON"),
        ("a.json", '{"1": "abc"}', "card 1 is no list of symbols"),
        ("a.json", "3", "is no list of cards, nor an object of them by name"),
        ("a.json", "{}", "lists 0 cards"),
    ],
)
def test_what_is_no_deck_is_said_by_file_card_and_rule(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(DeckError) as caught:
        read_deck_file(write(tmp_path, name, text))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.csv does not exist"):
        read_deck_file(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DeckError, match="save it as UTF-8"):
        read_deck_file(tmp_path / "picture.csv")


def test_class_ids_follow_the_labels_and_an_unknown_symbol_is_named(tmp_path: Path) -> None:
    source = write(tmp_path, "deck.csv", CSV)
    deck = read_deck_file(source)
    assert class_ids(deck, "gfedcba", source)[:2] == ((4, 5, 6), (2, 3, 6))
    with pytest.raises(DeckError, match=r"deck\.csv: g is no symbol of the labels"):
        class_ids(deck, "abcdefx", source)
