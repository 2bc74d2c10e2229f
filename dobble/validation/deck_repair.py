"""Labelled photos of cards into the cards they most likely show, by votes and by the rule of the game."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# A repair must mend more pairs than a coincidence of two mistakes would, and be worth its own oddness.
LEAST_MENDED = 2
AGAINST_VOTES = 0.5
WRONG_SIZE = 1.0
MOST_REPAIRS = 4  # times the number of cards: an end even where labels follow no rule


class LabelTable(NamedTuple):
    """Which symbol is labelled on which photo: bool [P, S]."""

    photos: list[str]
    symbols: list[str]
    labels: NDArray[np.bool_]

    @classmethod
    def of(cls, photos: Mapping[str, Sequence[str]]) -> "LabelTable":
        """Make the table from the labels of each photo."""
        symbols = sorted({symbol for listed in photos.values() for symbol in listed})
        column = {symbol: index for index, symbol in enumerate(symbols)}
        labels = np.zeros((len(photos), len(symbols)), np.bool_)
        for row, listed in enumerate(photos.values()):
            labels[row, [column[symbol] for symbol in listed]] = True
        return cls(list(photos), symbols, labels)

    def names(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        """Name the symbols that bool [S] says."""
        return tuple(self.symbols[index] for index in np.flatnonzero(chosen))


class Cards(NamedTuple):
    """What the photos show.

    Attributes:
        card_of: int64 [P], the card of each photo.
        symbols: bool [K, S], the symbols that the card most likely has.
    """

    card_of: NDArray[np.int64]
    symbols: NDArray[np.bool_]


def estimate_cards(votes: NDArray[np.float32], card_of: NDArray[np.int64], per_card: int) -> Cards:
    """Repair the cards that photos vote for; those that turn out to be one and the same become one.

    Args:
        votes: float32 [K, S], from `vote`.
        card_of: int64 [P], from `group_photos`.
        per_card: symbols on a card.
    """
    symbols = repair(votes, per_card)
    numbers = symbols.astype(np.float32)
    same = numbers @ numbers.T >= max(3, per_card - 1)
    np.fill_diagonal(same, val=True)
    kept, numbering = np.unique(same.argmax(1), return_inverse=True)
    return Cards(numbering[card_of], symbols[kept])


def group_photos(labels: NDArray[np.bool_], names: list[str | None], per_card: int) -> NDArray[np.int64]:
    """Put photos of one card together, by the symbols they share; names only decide where those cannot.

    Photos of two cards share one symbol, photos of one card share all but a few mistakes.

    Args:
        labels: bool [P, S], the symbols labelled on each photo.
        names: what the photo's name says about its card, P of them.
        per_card: symbols on a card.

    Returns:
        int64 [P], the group of each photo, counted from 0 without gaps.
    """
    near = max(3, per_card - 2)
    sets = labels.astype(np.float32)
    sums = np.zeros_like(sets)
    core = np.zeros_like(sets)
    sizes = np.zeros(len(sets), np.int64)
    group = np.full(len(sets), -1, np.int64)
    count = 0
    # Photos with the right number of symbols found the groups, damaged ones join them.
    for photo in np.argsort(np.abs(sets.sum(1) - per_card), kind="stable"):
        shared = core[:count] @ sets[photo]
        best = int(shared.argmax()) if count else 0
        if not count or shared[best] < near:
            best, count = count, count + 1
        group[photo] = best
        sizes[best] += 1
        sums[best] += sets[photo]
        core[best] = 2 * sums[best] >= sizes[best]
    _join_stragglers(group, sets, core[:count], sizes[:count], names)
    return np.asarray(np.unique(group, return_inverse=True)[1].astype(np.int64))


def vote(labels: NDArray[np.bool_], card_of: NDArray[np.int64]) -> NDArray[np.float32]:
    """Count which share of a card's photos is labelled with each symbol: float32 [K, S]."""
    sums = np.zeros((int(card_of.max()) + 1, labels.shape[1]), np.float32)
    np.add.at(sums, card_of, labels)
    return sums / np.bincount(card_of)[:, None]


def broken_pairs(cards: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which two different cards do not share exactly one symbol: bool [K, K]."""
    numbers = cards.astype(np.float32)
    broken = np.asarray(numbers @ numbers.T != 1)
    np.fill_diagonal(broken, val=False)
    return broken


def repair(votes: NDArray[np.float32], per_card: int) -> NDArray[np.bool_]:
    """Change the symbols of cards, one at a time, as long as that mends pairs that break the rule.

    A change replaces, adds or takes away a symbol. Each step makes the change that is worth most: one for
    every pair of cards that then share exactly one symbol, less what speaks against it (votes, a wrong number
    of symbols). A right card breaks the rule only with the few wrong ones, a wrong card with many right
    ones, so wrong ones are changed first.

    Args:
        votes: float32 [K, S], from `vote`.
        per_card: symbols on a card.

    Returns:
        bool [K, S], the symbols of each card.
    """
    cards = votes > 0.5
    for _ in range(MOST_REPAIRS * len(cards)):
        broken = broken_pairs(cards)
        suspects = np.flatnonzero(broken.sum(1) >= LEAST_MENDED)
        changes = [(*_best_change(cards, broken, votes, card, per_card), card) for card in suspects]
        best = max(changes, key=lambda change: change[0], default=None)
        if best is None or best[0] <= 0:
            break
        _, out, into, card = best
        if out >= 0:
            cards[card, out] = False
        if into >= 0:
            cards[card, into] = True
    return cards


def _join_stragglers(
    group: NDArray[np.int64],
    sets: NDArray[np.float32],
    core: NDArray[np.float32],
    sizes: NDArray[np.int64],
    names: list[str | None],
) -> None:
    """Give photos that stand alone, with several mistakes, to the group of several that they fit clearly."""
    large = np.flatnonzero(sizes > 1)
    if not len(large):
        return
    named: dict[str, set[int]] = {}
    for photo, name in enumerate(names):
        if name is not None and sizes[group[photo]] > 1:
            named.setdefault(name, set()).add(int(group[photo]))
    for photo in np.flatnonzero(sizes[group] == 1):
        shared = core[large] @ sets[photo]
        best = shared.max()
        second = np.sort(shared)[-2] if len(large) > 1 else 0
        if 2 * best < sets[photo].sum():
            continue
        if best >= max(second, 1) + 2:
            group[photo] = large[shared.argmax()]
            continue
        own = named.get(names[photo] or "", set())
        group[photo] = next((index for index in large[shared == best] if index in own), group[photo])


def _best_change(
    cards: NDArray[np.bool_],
    broken: NDArray[np.bool_],
    votes: NDArray[np.float32],
    card: int,
    per_card: int,
) -> tuple[float, int, int]:
    """Find the change of one card that is worth most: its worth, the symbol that goes, the one that comes.

    -1 stands for no symbol. The worth is not above 0 if fewer pairs than `LEAST_MENDED` would be mended.
    """
    numbers = np.delete(cards, card, axis=0).astype(np.float32)
    mine = cards[card]
    outs = np.append(np.flatnonzero(mine), -1)
    intos = np.append(np.flatnonzero(~mine), -1)
    gone = np.concatenate([numbers, np.zeros((len(numbers), 1), np.float32)], 1)  # column -1 is no symbol
    shared = (numbers @ mine.astype(np.float32))[:, None] - gone[:, outs]
    now = (shared != 1).sum(0)[:, None]
    # What adding a symbol does to those cards that have it: one more mended or one more broken.
    step = (shared != 0).astype(np.float32) - (shared != 1)
    then = now + step.T @ gone[:, intos]
    mended = broken[card].sum() - then
    against = np.append(1 - 2 * np.abs(mine - votes[card]), 0)
    size = mine.sum() - (outs >= 0)[:, None] + (intos >= 0)[None, :]
    wrong_size = np.abs(size - per_card) - abs(int(mine.sum()) - per_card)
    worth = mended - AGAINST_VOTES * (against[outs][:, None] + against[intos]) - WRONG_SIZE * wrong_size
    worth[mended < LEAST_MENDED] = 0
    row, column = np.unravel_index(int(worth.argmax()), worth.shape)
    return float(worth[row, column]), int(outs[row]), int(intos[column])
