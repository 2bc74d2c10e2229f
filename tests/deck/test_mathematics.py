from itertools import combinations

import numpy as np
import pytest

from dobble.deck.mathematics import Deck, Violation, complete_deck, make_deck, read_deck, violations
from dobble.errors import DeckError

FANO = "abcdefg"


def names(number: int) -> list[str]:
    return [f"s{index}" for index in range(number)]


def labelled(deck: Deck) -> dict[str, list[str]]:
    return {f"card{index:02d}": list(card) for index, card in enumerate(deck.cards)}


def test_fano_plane_is_the_one_worked_out_by_hand() -> None:
    # points (0,0)=a (0,1)=b (1,0)=c (1,1)=d, far points e (slope 0), f (slope 1), g (upright)
    assert make_deck(FANO).cards == tuple(map(tuple, ["efg", "abg", "cdg", "ace", "bde", "adf", "bcf"]))


def test_fano_cards_share_the_symbol_that_is_seen_by_eye() -> None:
    deck = make_deck(FANO)
    assert deck.shared(0, 1) == "g"
    assert deck.shared(5, 3) == "a"
    assert deck.shared(4, 6) == "b"


def test_a_card_is_not_compared_with_itself() -> None:
    with pytest.raises(DeckError, match="card 3 was compared with itself"):
        make_deck(FANO).shared(3, 3)


@pytest.mark.parametrize(("number", "on_card"), [(3, 2), (7, 3), (13, 4), (31, 6), (57, 8), (133, 12)])
def test_any_two_cards_share_exactly_one_symbol(number: int, on_card: int) -> None:
    deck = make_deck(names(number))
    assert len(deck.cards) == number
    assert {len(set(card)) for card in deck.cards} == {on_card}
    assert all(len(set(one) & set(other)) == 1 for one, other in combinations(deck.cards, 2))
    assert sorted(symbol for card in deck.cards for symbol in card) == sorted(names(number) * on_card)


def test_the_printed_game_leaves_out_two_cards() -> None:
    deck = make_deck(names(57), cards=55)
    on_cards = [sum(symbol in card for card in deck.cards) for symbol in deck.symbols]
    # the two missing cards have one symbol in common and seven more each
    assert [on_cards.count(times) for times in (6, 7, 8)] == [1, 14, 42]


@pytest.mark.parametrize(
    ("number", "nearest"),
    [
        (0, "take 3 symbols"),
        (1, "take 3 symbols"),
        (8, "take 7 or 13 symbols"),
        (21, "take 13 or 31 symbols"),  # 4² + 4 + 1, but 4 is no prime
        (56, "take 31 or 57 symbols"),
        (60, "take 57 or 133 symbols"),
    ],
)
def test_a_wrong_number_of_symbols_is_refused_with_the_nearest_ones(number: int, nearest: str) -> None:
    with pytest.raises(DeckError, match=f"^{number} symbols make no deck: {nearest}$"):
        make_deck(names(number))


def test_a_symbol_named_twice_is_refused() -> None:
    with pytest.raises(DeckError, match="symbol a is named twice"):
        make_deck("abcdefa")


@pytest.mark.parametrize("cards", [1, 8])
def test_an_impossible_number_of_cards_is_refused(cards: int) -> None:
    with pytest.raises(DeckError, match=f"7 symbols make 2 to 7 cards, not {cards}"):
        make_deck(FANO, cards)


def test_a_right_deck_has_no_violations() -> None:
    assert violations(labelled(make_deck(names(57)))) == []
    assert violations({}) == []


def test_every_planted_violation_is_found_and_named() -> None:
    cards = {
        "one": "efg",
        "two": "abg",
        "three": ["c", "d", "g", "g"],
        "four": "ac",
        "five": "abg",
        "six": "efa",
    }
    found = violations(cards)
    assert found == [
        Violation("doubled", ("three",), ("g",)),
        Violation("count", ("four",), ("a", "c"), 3),
        Violation("unshared", ("one", "four")),
        Violation("several", ("one", "six"), ("e", "f")),
        Violation("identical", ("two", "five"), ("a", "b", "g")),
        Violation("unshared", ("three", "six")),
    ]
    assert [str(violation) for violation in found] == [
        "three has more than one of g",
        "four has 2 different symbols, not 3: a, c",
        "one and four share no symbol",
        "one and six share 2 symbols: e, f",
        "two and five have the same symbols: a, b, g",
        "three and six share no symbol",
    ]


def test_a_swapped_label_is_found_in_a_whole_deck() -> None:
    deck = make_deck(names(57))
    cards = labelled(deck)
    new = next(symbol for symbol in deck.symbols if symbol not in cards["card20"])
    lost = cards["card20"][0]
    cards["card20"][0] = new
    found = violations(cards)
    others = {name for name, card in cards.items() if name != "card20"}
    # 7 other cards lose the only symbol they shared with it, 8 cards gain a second one; the card that holds
    # both the lost and the new symbol counts in both groups and is right again
    assert sum(violation.kind == "unshared" for violation in found) == 7 - 1
    assert sum(violation.kind == "several" for violation in found) == 8 - 1
    assert all("card20" in violation.cards and others & set(violation.cards) for violation in found)
    assert all(set(violation.symbols) >= {new} for violation in found if violation.kind == "several")
    assert not any(lost in violation.symbols for violation in found)


def test_the_number_of_symbols_can_be_given() -> None:
    assert violations({"one": "ab", "two": "ac", "three": "bc"}, per_card=3)[:1] == [
        Violation("count", ("one",), ("a", "b"), 3)
    ]
    assert violations({"bare": []}, per_card=8) == [Violation("count", ("bare",), (), 8)]


def test_a_deck_is_learned_from_photos_of_its_cards() -> None:
    deck = make_deck(names(57), cards=55)
    photos = {
        f"{session}-{name}": card[::-1] for session in range(3) for name, card in labelled(deck).items()
    }
    learned = read_deck(photos)
    assert learned is not None
    assert learned.symbols == tuple(sorted(deck.symbols))
    assert {frozenset(card) for card in learned.cards} == {frozenset(card) for card in deck.cards}
    assert learned == read_deck(dict(reversed(photos.items())))


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"one": "efg"},
        {**labelled(make_deck(FANO)), "wrong": ["e", "f", "a"]},
        {**labelled(make_deck(FANO)), "doubled": ["e", "f", "g", "g"]},
        dict(list(labelled(make_deck(FANO)).items())[:4]),
        {"one": "ab", "two": "ac", "three": "ad"},  # share one each, but no plane has 4 symbols
    ],
)
def test_no_deck_is_learned_from_wrong_or_few_cards(cards: dict[str, list[str]]) -> None:
    assert read_deck(cards) is None


def test_cards_of_the_fano_plane_that_are_missing_are_named_as_by_hand() -> None:
    # Of efg, ace, adf and bcf: d has met all but b, c, e and g; e all but b and d, so bde is a card;
    # g all but a, b, c and d; f all but none; a all but b and g, so abg is a card; then cdg is left.
    deck = make_deck(FANO)
    learned = complete_deck({f"card{index}": deck.cards[index] for index in (0, 3, 5, 6)})
    assert learned is not None
    assert set(learned.cards) == {tuple(sorted(card)) for card in deck.cards}


@pytest.mark.parametrize("size", [13, 31, 57])
@pytest.mark.parametrize("seed", range(3))
def test_as_many_cards_may_be_missing_as_a_card_has_other_symbols(size: int, seed: int) -> None:
    whole = make_deck(names(size))
    per_card = len(whole.cards[0])
    kept = np.random.default_rng(seed).permutation(size)[per_card - 1 :]
    learned = complete_deck({f"photo{index}": whole.cards[index] for index in kept})
    assert learned == read_deck(labelled(whole))


def test_the_two_cards_that_the_printed_game_leaves_out_stay_out() -> None:
    printed = make_deck(names(57), cards=55)
    learned = complete_deck(labelled(printed))
    assert learned is not None
    assert len(learned.cards) == 55


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"one": "efg"},
        {"one": "efg", "two": "abg"},  # nobody has seen c and d
        {"one": "efg", "two": "abg", "three": "cdg"},  # a may go with c e, c f, d e or d f
        {**dict(list(labelled(make_deck(FANO)).items())[:4]), "wrong": ["e", "f", "a"]},
    ],
)
def test_no_card_is_named_where_labels_are_wrong_or_too_few(cards: dict[str, list[str]]) -> None:
    assert complete_deck(cards) is None
