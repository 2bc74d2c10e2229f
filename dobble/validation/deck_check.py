"""Labels of card photos into the labelling mistakes that the mathematics of the game gives away."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dobble.validation.deck_repair import LabelTable, broken_pairs, estimate_cards, group_photos, vote

Kind = Literal["wrong", "missing", "extra", "swapped", "count", "pair", "symbol", "no deck"]

_NO_DECK = 0.5  # share of broken pairs above which labels are no mistakes but another kind of data
_TRUSTED_NAMES = 0.7  # share of photos whose names must agree with what is on them


_FINDINGS: dict[Kind, str] = {
    "wrong": "{symbols} {are} probably {instead}",
    "missing": "no box for {instead}",
    "extra": "a box too many: {symbols}",
    "swapped": "is probably a photo of another card, that of {other}",
    "count": "has {number} different symbols, not {expected}",
    "pair": "shares {number} symbols with {other}, not one: {symbols}",
    "symbol": "{symbols} stands on {broken} cards, not {expected}",
    "no deck": "{broken} pairs of cards do not share exactly one symbol: these are no cards of Dobble",
}
_SUGGESTIONS: dict[Kind, str] = {
    "wrong": "label {symbols} as {instead}: {evidence}",
    "missing": "draw the box of {instead}: {evidence}",
    "extra": "delete a box of {symbols}: {evidence}",
    "swapped": "rename the photo, or put the right one there: {evidence}",
    "count": "label the card anew, or remove the photo if it does not show one whole card",
    "pair": "compare both photos with their labels: one label is wrong",
    "symbol": "look for cards on which it is labelled by mistake",
    "no deck": "set validate.deck to none in params.yaml",
}


@dataclass(frozen=True)
class Suspicion:
    """Probable mistakes of one photo or of the whole deck.

    Attributes:
        kind: `wrong` class, `missing` or `extra` box, photo `swapped` for one of another card, wrong `count`
            of symbols, `pair` of cards that breaks the rule without showing where, `symbol` on too many or
            too few cards, or `no deck` at all.
        photo: the photo; empty if the mistake is none of one photo.
        symbols: the labels in doubt.
        instead: what the card has instead, in an order that says nothing. One less than `symbols`: one of
            those has a box too many. One more: one has no box.
        other: the photo to compare with, if there is one.
        mended: pairs of this photo with other cards that the change would mend, …
        broken: … of so many that break the rule now. For `symbol`, the cards that have it.
        agreeing: other photos of this card that are labelled like the change, …
        others: … of so many.
        expected: the right number of symbols or cards.
    """

    kind: Kind
    photo: str = ""
    symbols: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    other: str = ""
    mended: int = 0
    broken: int = 0
    agreeing: int = 0
    others: int = 0
    expected: int = 0

    def __str__(self) -> str:
        return f"photo {self.photo}: {self.finding}: {self.suggestion.rpartition(': ')[2]}"

    @property
    def finding(self) -> str:
        """What is wrong, in a few words."""
        return _FINDINGS[self.kind].format_map(self._words)

    @property
    def suggestion(self) -> str:
        """What to do about it, and what speaks for that."""
        return _SUGGESTIONS[self.kind].format_map(self._words)

    @property
    def certainty(self) -> tuple[int, int]:
        """Greater where more pairs are mended and more photos agree, then where less stays unexplained."""
        return self.mended + self.agreeing, self.mended - self.broken + self.agreeing - self.others

    @property
    def _words(self) -> dict[str, object]:
        evidence = []
        if self.broken:
            evidence.append(f"the change would mend {self.mended} of {self.broken} broken pairs")
        if self.others:
            evidence.append(f"{self.agreeing} of {self.others} other photos of this card agree")
        return {
            **vars(self),
            "symbols": _listed(self.symbols),
            "instead": _listed(self.instead),
            "are": "is" if len(self.symbols) == 1 else "are",
            "number": len(self.symbols),
            "evidence": ", ".join(evidence) or "a card has different symbols",
        }


def find_mistakes(
    photos: Mapping[str, Sequence[str]],
    cards: Mapping[str, str] | None = None,
    per_card: int | None = None,
) -> list[Suspicion]:
    """Find what is probably labelled wrong on photos of single cards, best founded first.

    The deck is a finite projective plane or a part of one: any two cards share exactly one symbol. Photos
    that share nearly all symbols show one card, and its photos vote on what it has. Where photos are few, the
    other cards decide: the likeliest mistake is the one whose change mends most pairs.

    Args:
        photos: the labels of each photo, by its name; one label per box.
        cards: which card a photo shows, as far as its name says so. Names are only believed where
            most of them agree with what is on the photos.
        per_card: how many symbols a card has; None takes what most photos have.
    """
    if not photos:
        return []
    table = LabelTable.of(photos)
    sizes = Counter(table.labels.sum(1).tolist())
    expected = per_card or max(sizes, key=lambda size: (sizes[size], size))
    named = [(cards or {}).get(photo) for photo in table.photos]
    card_of = group_photos(table.labels, named, expected)
    votes = vote(table.labels, card_of)
    broken = int(broken_pairs(votes > 0.5).sum()) // 2
    pairs = len(votes) * (len(votes) - 1) // 2
    if expected < 2 or (pairs > 1 and broken > _NO_DECK * pairs):
        return [Suspicion("no deck", broken=broken)]
    estimate = estimate_cards(votes, card_of, expected)
    deck = _Deck(table, estimate.symbols, estimate.card_of, expected)
    found = [
        *_swapped(deck, named),
        *(mistake for photo in range(len(table.photos)) for mistake in _of_photo(deck, photo, photos)),
        *_unexplained(deck),
        *_symbol_counts(deck),
    ]
    return sorted(found, key=lambda mistake: (mistake.kind == "pair", [-v for v in mistake.certainty]))


class _Deck(NamedTuple):
    """The labels, the cards they most likely mean (bool [K, S]), and which of them each photo shows."""

    table: LabelTable
    truth: NDArray[np.bool_]
    card_of: NDArray[np.int64]
    per_card: int

    def photo_of(self, card: int) -> str:
        return self.table.photos[int(np.flatnonzero(self.card_of == card)[0])]


def _swapped(deck: _Deck, named: list[str | None]) -> list[Suspicion]:
    """Photos whose name says another card than the other photos of what they show."""
    names_on: dict[int, Counter[str]] = {}
    for card, name in zip(deck.card_of.tolist(), named, strict=True):
        if name is not None:
            names_on.setdefault(card, Counter())[name] += 1
    known = sum(names.total() for names in names_on.values())
    trusted = sum(names.most_common(1)[0][1] for names in names_on.values())
    if trusted < _TRUSTED_NAMES * known:
        return []
    found = []
    for card, names in names_on.items():
        usual = names.most_common(1)[0][0]
        members = [int(photo) for photo in np.flatnonzero(deck.card_of == card)]
        model = next(deck.table.photos[photo] for photo in members if named[photo] == usual)
        found += [
            Suspicion(
                "swapped",
                deck.table.photos[photo],
                other=model,
                agreeing=names[usual],
                others=names.total() - 1,
            )
            for photo in members
            if named[photo] not in (usual, None)
        ]
    return found


def _of_photo(deck: _Deck, photo: int, photos: Mapping[str, Sequence[str]]) -> list[Suspicion]:
    """The differences between a photo's labels and the card it shows."""
    name, card = deck.table.photos[photo], int(deck.card_of[photo])
    truth, mine = deck.truth[card], deck.table.labels[photo]
    right = deck.table.names(truth)
    extra = sorted((Counter(photos[name]) - Counter(right)).elements())
    missing = sorted(set(right) - set(photos[name]))
    unlike = max(len(extra), len(missing)) > deck.per_card // 2
    if unlike or (not extra and not missing and len(right) != deck.per_card):
        return [Suspicion("count", name, deck.table.names(mine), expected=deck.per_card)]
    if not extra and not missing:
        return []
    others = np.delete(deck.truth, card, axis=0).astype(np.float32)
    before, after = others @ mine != 1, others @ truth != 1
    companions = deck.table.labels[(deck.card_of == card) & (np.arange(len(deck.card_of)) != photo)]
    changed = mine != truth
    shown = Suspicion(
        "wrong",
        name,
        tuple(extra),
        tuple(missing),
        mended=int((before & ~after).sum()),
        broken=int(before.sum()),
        agreeing=int((companions[:, changed] == truth[changed]).all(1).sum()),
        others=len(companions),
    )
    if not missing:
        return [replace(shown, kind="extra")]
    return [shown if extra else replace(shown, kind="missing")]


def _unexplained(deck: _Deck) -> list[Suspicion]:
    """Pairs of cards that still break the rule."""
    found = []
    for one, other in np.argwhere(np.triu(broken_pairs(deck.truth))).tolist():
        shared = deck.table.names(deck.truth[one] & deck.truth[other])
        found.append(Suspicion("pair", deck.photo_of(other), shared, other=deck.photo_of(one), broken=1))
    return found


def _symbol_counts(deck: _Deck) -> list[Suspicion]:
    """Symbols on more cards than the plane has for them, or on fewer than the missing cards explain."""
    most = deck.per_card
    absent = most * (most - 1) + 1 - len(deck.truth)
    least = most - absent if absent >= 0 else 0
    return [
        Suspicion("symbol", symbols=(symbol,), broken=number, expected=most)
        for symbol, number in zip(deck.table.symbols, deck.truth.sum(0).tolist(), strict=True)
        if number and not least <= number <= most
    ]


def _listed(symbols: Sequence[str]) -> str:
    return ", ".join(f"*{symbol}*" for symbol in symbols) or "none"
