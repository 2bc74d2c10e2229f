"""A list of symbols into the cards of the game, and labelled cards into the deck they come from."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from math import isqrt
from typing import Literal

import numpy as np

from dobble.errors import DeckError

Kind = Literal["count", "doubled", "identical", "unshared", "several"]


@dataclass(frozen=True)
class Deck:
    """Cards any two of which share exactly one symbol; a card lists its symbols in the order of `symbols`."""

    symbols: tuple[str, ...]
    cards: tuple[tuple[str, ...], ...]

    def shared(self, first: int, second: int) -> str:
        """Return the one symbol that the two cards, given by their indices, share.

        Raises:
            DeckError: if both are the same card.
        """
        if first == second:
            raise DeckError(f"card {first} was compared with itself: the game asks for two different cards")
        (symbol,) = set(self.cards[first]) & set(self.cards[second])
        return symbol


@dataclass(frozen=True)
class Violation:
    """One breach of the rules of the game: which rule, on which cards, by which symbols.

    `count`: `symbols` are all of the card, `expected` is the right number. `doubled`: stand twice or more on
    the card. `identical`: two cards with the same symbols. `unshared`, `several`: two cards that share no
    symbol, or all of `symbols`.
    """

    kind: Kind
    cards: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    expected: int = 1

    def __str__(self) -> str:
        cards, symbols = " and ".join(self.cards), ", ".join(self.symbols)
        match self.kind:
            case "count":
                number = len(self.symbols)
                return f"{cards} has {number} different symbols, not {self.expected}: {symbols or 'none'}"
            case "doubled":
                return f"{cards} has more than one of {symbols}"
            case "identical":
                return f"{cards} have the same symbols: {symbols}"
            case "unshared":
                return f"{cards} share no symbol"
            case "several":
                return f"{cards} share {len(self.symbols)} symbols: {symbols}"


def make_deck(symbols: Sequence[str], cards: int | None = None) -> Deck:
    """Make the deck in which any two cards share exactly one symbol.

    The deck is a finite projective plane of prime order q: symbols are its points and cards its lines. It has
    q² + q + 1 symbols and as many cards, q + 1 symbols on each card, and each symbol on q + 1 cards. The
    triangle (3 symbols, order 1) is taken as well. Equal names in equal order always give the same deck.

    Args:
        symbols: different names; their number must be q² + q + 1: 3, 7, 13, 31, 57, 133, ...
        cards: keep only so many. The printed game has 57 symbols but only 55 of the 57 possible cards: the
            rule of the game holds for every part of a deck.

    Raises:
        DeckError: naming the nearest allowed numbers, a name given twice, or the allowed numbers of cards.
    """
    doubled = sorted(name for name, times in Counter(symbols).items() if times > 1)
    if doubled:
        raise DeckError(f"the symbol {doubled[0]} is named twice: every symbol of a deck needs its own name")
    number = len(symbols)
    q = (isqrt(max(4 * number - 3, 0)) - 1) // 2
    if number != _size(q) or not _is_order(q):
        raise DeckError(f"{number} symbols make no deck: take {_nearest(number)} symbols")
    if cards is not None and not 2 <= cards <= number:
        raise DeckError(f"{number} symbols make 2 to {number} cards, not {cards}")
    lines = [sorted(line) for line in _lines(q)][:cards]
    return Deck(tuple(symbols), tuple(tuple(symbols[point] for point in line) for line in lines))


def violations(cards: Mapping[str, Collection[str]], per_card: int | None = None) -> list[Violation]:
    """Find every breach of the rules of the game among labelled cards.

    Args:
        cards: the symbols found on each card, by the card's name; a symbol may be listed twice by mistake.
        per_card: how many different symbols a card must have; None takes what most of the cards have.

    Returns:
        All breaches: first those of single cards, then those of pairs, each in the order of `cards`.
    """
    names = list(cards)
    found: list[Violation] = []
    sizes = Counter(len(set(listed)) for listed in cards.values())
    expected = (
        per_card if per_card is not None else max(sizes, key=lambda size: (sizes[size], size), default=0)
    )
    for name, listed in cards.items():
        times = Counter(listed)
        if len(times) != expected:
            found.append(Violation("count", (name,), tuple(sorted(times)), expected))
        doubled = tuple(sorted(symbol for symbol, number in times.items() if number > 1))
        if doubled:
            found.append(Violation("doubled", (name,), doubled))
    symbols = sorted({symbol for listed in cards.values() for symbol in listed})
    column = {symbol: index for index, symbol in enumerate(symbols)}
    # float32 goes through BLAS and is exact for these counts
    on_card = np.zeros((len(names), len(symbols)), np.float32)
    for row, listed in enumerate(cards.values()):
        on_card[row, [column[symbol] for symbol in listed]] = 1
    common = on_card @ on_card.T
    first, second = np.nonzero(np.triu(common != 1, 1))
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        both = tuple(symbols[index] for index in np.flatnonzero(on_card[one] * on_card[other]))
        same = len(both) > 0 and bool((on_card[one] == on_card[other]).all())
        kind: Kind = "identical" if same else "several" if both else "unshared"
        found.append(Violation(kind, (names[one], names[other]), both))
    return found


def read_deck(cards: Mapping[str, Collection[str]]) -> Deck | None:
    """Learn the deck from labelled photos of its cards.

    Photos with the same symbols are taken as photos of one card.

    Args:
        cards: the symbols found on each photo of one card, by the photo's name.

    Returns:
        The deck with sorted symbols and sorted cards. None if any label breaks a rule of the game, or if more
        than the two cards that the printed game leaves out are missing: a wrong or half-known deck would lead
        the device astray.
    """
    different = _different_cards(cards)
    if different is None:
        return None
    symbols = tuple(sorted({symbol for card in different for symbol in card}))
    return Deck(symbols, tuple(sorted(different))) if len(different) >= len(symbols) - 2 else None


def complete_deck(cards: Mapping[str, Collection[str]]) -> Deck | None:
    """Learn the deck from labelled photos of some of its cards.

    Any two symbols of a whole deck are together on exactly one card. A symbol that has met all others but
    those of one card names that card, and with it others may be named in turn; of up to q missing cards
    (seven, where a card has eight symbols) none stays unnamed.

    Args:
        cards: the symbols found on each photo of one card, by the photo's name.

    Returns:
        The deck as `read_deck` gives it, with the missing cards if they are more than two. None if any label
        breaks a rule of the game, or if too few cards are there to name the others.
    """
    different = _different_cards(cards)
    if different is None or len(different) >= len({symbol for card in different for symbol in card}) - 2:
        return read_deck(cards)
    lines = [set(card) for card in different]
    symbols: set[str] = set().union(*lines)
    apart = {symbol: symbols.difference(*(line for line in lines if symbol in line)) for symbol in symbols}
    while any(apart.values()):
        named = next(({one, *rest} for one, rest in apart.items() if len(rest) == len(lines[0]) - 1), None)
        if named is None or any(not named - {symbol} <= apart[symbol] for symbol in named):
            return None
        lines.append(named)
        for symbol in named:
            apart[symbol] -= named
    return Deck(tuple(sorted(symbols)), tuple(sorted(tuple(sorted(line)) for line in lines)))


def _different_cards(cards: Mapping[str, Collection[str]]) -> list[tuple[str, ...]] | None:
    """The symbols of each card once; None if they break a rule, or no whole deck has so many symbols."""
    if any(len(set(listed)) != len(listed) for listed in cards.values()):
        return None
    different = {tuple(sorted(listed)): name for name, listed in cards.items()}
    if len(different) < 2 or violations({name: card for card, name in different.items()}):
        return None
    symbols = {symbol for card in different for symbol in card}
    return list(different) if len(symbols) == _size(len(next(iter(different))) - 1) else None


def _lines(q: int) -> list[list[int]]:
    """The lines of the plane over the integers modulo q.

    The point (x, y) has the index x·q + y, the far point of slope m has q² + m, and that of the upright
    lines q² + q.
    """
    far = [q * q + slope for slope in range(q + 1)]
    upright = [[q * q + q, *(x * q + y for y in range(q))] for x in range(q)]
    sloped = [[q * q + m, *(x * q + (m * x + b) % q for x in range(q))] for m, b in np.ndindex(q, q)]
    return [far, *upright, *sloped]


def _size(q: int) -> int:
    return q * q + q + 1


def _is_order(q: int) -> bool:
    return q >= 1 and all(q % divisor for divisor in range(2, isqrt(q) + 1))


def _nearest(number: int) -> str:
    orders = filter(_is_order, count(1))
    below = [_size(q) for q in takewhile(lambda q: _size(q) < number, orders)][-1:]
    above = next(_size(q) for q in filter(_is_order, count(1)) if _size(q) > number)
    return " or ".join(str(size) for size in [*below, above])
