"""Labels, or a file, into the deck that a bundle knows."""

from pathlib import Path

import pytest

from dobble.detector.known_deck import choose_deck
from dobble.errors import DeckError, MissingInputError

PLANE = ["abc", "ade", "afg", "bdf", "beg", "cdg", "cef"]
OTHER = ["abd", "ace", "afg", "bcf", "beg", "cdg", "def"]  # of the same seven symbols
PHOTOS = {f"photo{number}": list(card) for number, card in enumerate(PLANE)}
CARDS = tuple(tuple(card) for card in PLANE)


def test_labels_of_photographed_cards_say_the_deck() -> None:
    known = choose_deck("labels", PHOTOS, (), "abcdefg")
    assert known is not None
    assert (known.deck.cards, known.source) == (CARDS, "labels")


def test_a_deck_that_the_renderer_made_up_says_so() -> None:
    known = choose_deck("labels", PHOTOS, PHOTOS, "abcdefg")
    assert known is not None
    assert (known.deck.cards, known.source) == (CARDS, "made up")


def test_beside_photos_of_real_cards_a_made_up_deck_does_not_count() -> None:
    rendered = {f"rendered{number}": list(card) for number, card in enumerate(OTHER)}
    known = choose_deck("labels", PHOTOS | rendered, rendered, "abcdefg")
    assert known is not None
    assert (known.deck.cards, known.source) == (CARDS, "labels")


def test_labels_that_break_the_rules_or_no_wish_for_a_deck_give_none() -> None:
    assert choose_deck("labels", PHOTOS | {"wrong": ["a", "b", "d"]}, (), "abcdefg") is None
    assert choose_deck("none", PHOTOS, (), "abcdefg") is None


def test_a_file_wins_over_labels_and_must_name_their_symbols(tmp_path: Path) -> None:
    file = tmp_path / "real.csv"
    file.write_text("".join(",".join(card) + "\n" for card in OTHER), encoding="utf-8")
    known = choose_deck(str(file), PHOTOS, (), "abcdefg")
    assert known is not None
    assert known.source == "file"
    assert known.deck.cards == tuple(tuple(card) for card in OTHER)
    with pytest.raises(DeckError, match="g is no symbol of the labels"):
        choose_deck(str(file), PHOTOS, (), "abcdef")
    with pytest.raises(MissingInputError, match=r"none\.csv does not exist"):
        choose_deck(str(tmp_path / "none.csv"), PHOTOS, (), "abcdefg")
