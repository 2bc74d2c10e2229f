"""Turns labels, or a file, into the deck that a bundle knows, and tells where it is from."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dobble.deck.deck_file import class_ids, read_deck_file
from dobble.deck.mathematics import Deck, complete_deck


class KnownDeck(NamedTuple):
    """A deck and its source.

    `labels` are those of photos of real cards, `file` is named by a parameter, and `made up` is what the
    renderer invented: it holds for pictures of the same renderer only.
    """

    deck: Deck
    source: Literal["labels", "file", "made up"]


def choose_deck(
    choice: str, cards: Mapping[str, Collection[str]], made_up: Collection[str], labels: Sequence[str]
) -> KnownDeck | None:
    """Give the deck that a bundle may know, None if there is none.

    Args:
        choice: `labels`, `none`, or the path of a file with the real cards.
        cards: the symbols on each labelled photo, by the photo's name.
        made_up: names of the photos whose deck was made up; where others are there, these do not count.
        labels: names of all symbols.

    Raises:
        MissingInputError, DeckError: if the file is missing, wrong, or names a symbol that `labels` lack.
    """
    if choice == "none":
        return None
    if choice != "labels":
        deck = read_deck_file(Path(choice))
        class_ids(deck, labels, Path(choice))
        return KnownDeck(deck, "file")
    real = {name: symbols for name, symbols in cards.items() if name not in made_up}
    learned = complete_deck(real or cards)
    return None if learned is None else KnownDeck(learned, "labels" if real else "made up")
