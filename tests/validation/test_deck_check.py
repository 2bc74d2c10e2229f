import runpy
from pathlib import Path

import pytest

from dobble.deck.mathematics import make_deck
from dobble.validation.deck_check import Suspicion, find_mistakes

# the plane of seven symbols, worked out by hand: any two cards share one symbol, each symbol is on three
FANO = {
    "one": "efg",
    "two": "abg",
    "three": "cdg",
    "four": "ace",
    "five": "bde",
    "six": "adf",
    "seven": "bcf",
}
PLANE = make_deck([f"s{number:02d}" for number in range(57)])
BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "label_mistakes.py"))


def labels(**changed: str) -> dict[str, list[str]]:
    return {name: list(symbols) for name, symbols in (FANO | changed).items()}


def sessions(number: int, cards: int = 57) -> dict[str, list[str]]:
    return {
        f"deck{session:02d}_card{card:02d}": list(PLANE.cards[card])
        for session in range(number)
        for card in range(cards)
    }


def card_names(photos: dict[str, list[str]]) -> dict[str, str]:
    return {photo: photo[-2:] for photo in photos}


def only(found: list[Suspicion]) -> Suspicion:
    assert len(found) == 1, [str(mistake) for mistake in found]
    return found[0]


def test_a_right_deck_raises_no_alarm() -> None:
    assert find_mistakes(labels()) == []
    assert find_mistakes({}) == []


@pytest.mark.parametrize("cards", [57, 55, 50])
@pytest.mark.parametrize("number", [1, 3])
def test_a_part_of_a_deck_such_as_the_printed_game_raises_no_alarm(number: int, cards: int) -> None:
    photos = sessions(number, cards)
    assert find_mistakes(photos) == []
    assert find_mistakes(photos, card_names(photos)) == []


def test_a_wrong_class_is_told_from_the_pairs_that_its_change_mends() -> None:
    # card two is labelled d for g: it shares nothing with one, two symbols with six and five
    found = only(find_mistakes(labels(two="abd")))
    assert found == Suspicion("wrong", "two", ("d",), ("g",), mended=3, broken=3)
    assert str(found) == "photo two: *d* is probably *g*: the change would mend 3 of 3 broken pairs"
    assert found.suggestion == "label *d* as *g*: the change would mend 3 of 3 broken pairs"


def test_a_missing_box_is_the_symbol_that_mends_the_pairs() -> None:
    # without its e, card four shares nothing with one and five
    found = only(find_mistakes(labels(four="ac")))
    assert found == Suspicion("missing", "four", (), ("e",), mended=2, broken=2)
    assert found.finding == "no box for *e*"


def test_a_box_too_many_breaks_the_pairs_with_all_cards_that_have_its_symbol() -> None:
    found = only(find_mistakes(labels(seven="bcfg")))
    assert found == Suspicion("extra", "seven", ("g",), (), mended=3, broken=3)


def test_a_symbol_boxed_twice_beside_a_missing_one_is_a_wrong_class() -> None:
    found = only(find_mistakes(labels(six="add")))
    assert (found.kind, found.symbols, found.instead) == ("wrong", ("d",), ("f",))


def test_a_symbol_boxed_twice_on_a_whole_card_is_a_box_too_many() -> None:
    assert only(find_mistakes(labels(six="addf"))) == Suspicion("extra", "six", ("d",))


def test_a_misspelt_class_is_a_wrong_class() -> None:
    found = only(find_mistakes(labels() | {"three": ["c", "d", "gg"]}))
    assert (found.symbols, found.instead, found.mended) == (("gg",), ("g",), 2)


def test_other_photos_of_the_card_outvote_a_mistake() -> None:
    photos = sessions(3)
    right = photos["deck01_card20"][0]
    wrong = next(symbol for symbol in PLANE.symbols if symbol not in PLANE.cards[20])
    photos["deck01_card20"][0] = wrong
    found = only(find_mistakes(photos, card_names(photos)))
    assert (found.photo, found.symbols, found.instead) == ("deck01_card20", (wrong,), (right,))
    # 7 cards that have the right symbol and 8 that have the wrong one; the card with both is not broken
    assert (found.mended, found.broken, found.agreeing, found.others) == (13, 13, 2, 2)
    assert find_mistakes(photos) == [found]


def test_two_photos_of_a_card_that_disagree_are_decided_by_the_other_cards() -> None:
    photos = sessions(2)
    right = photos["deck00_card05"][3]
    photos["deck00_card05"][3] = next(symbol for symbol in PLANE.symbols if symbol not in PLANE.cards[5])
    found = only(find_mistakes(photos, card_names(photos)))
    assert (found.photo, found.instead) == ("deck00_card05", (right,))


def test_the_same_mistake_on_all_photos_of_a_card_is_found_by_the_other_cards() -> None:
    photos = sessions(4)
    right = PLANE.cards[8][2]
    wrong = next(symbol for symbol in PLANE.symbols if symbol not in PLANE.cards[8])
    for session in range(4):
        photos[f"deck{session:02d}_card08"][2] = wrong
    found = find_mistakes(photos, card_names(photos))
    assert {(mistake.photo[-2:], mistake.symbols, mistake.instead) for mistake in found} == {
        ("08", (wrong,), (right,))
    }
    assert len(found) == 4


def test_a_photo_of_another_card_is_found_by_its_name() -> None:
    photos = sessions(3)
    photos["deck01_card07"] = list(PLANE.cards[30])
    found = only(find_mistakes(photos, card_names(photos)))
    assert (found.kind, found.photo, found.other) == ("swapped", "deck01_card07", "deck00_card30")


def test_in_one_session_two_photos_of_one_card_are_shown_together() -> None:
    photos = sessions(1)
    photos["deck00_card07"] = list(PLANE.cards[30])
    found = only(find_mistakes(photos, card_names(photos)))
    assert found.kind == "swapped"
    assert {found.photo, found.other} == {"deck00_card07", "deck00_card30"}


def test_names_that_do_not_say_the_card_are_not_believed() -> None:
    photos = sessions(3)
    names = {photo: str(number % 50) for number, photo in enumerate(photos)}
    assert find_mistakes(photos, names) == []


def test_a_photo_with_two_cards_has_the_wrong_count() -> None:
    photos = sessions(2) | {"table": [*PLANE.cards[3], *PLANE.cards[4]]}
    found = [mistake for mistake in find_mistakes(photos) if mistake.photo == "table"]
    assert [mistake.finding for mistake in found] == ["has 15 different symbols, not 8"]


def test_labels_that_are_no_deck_are_told_once_with_the_way_to_switch_the_check_off() -> None:
    parts = {f"photo{number}": ["bolt", "nut", f"part{number % 5}"] for number in range(30)}
    found = only(find_mistakes(parts))
    assert found.kind == "no deck"
    assert found.suggestion == "set validate.deck to none in params.yaml"
    assert only(find_mistakes({f"p{n}": [f"s{n}"] for n in range(9)})).kind == "no deck"


def test_what_is_best_founded_comes_first() -> None:
    photos = sessions(5)
    photos["deck02_card11"].pop()
    photos["deck03_card12"][0] = next(s for s in PLANE.symbols if s not in PLANE.cards[12])
    found = find_mistakes(photos)
    assert [(mistake.photo, mistake.mended) for mistake in found] == [
        ("deck03_card12", 13),
        ("deck02_card11", 7),
    ]


@pytest.mark.parametrize(("number", "rate"), [(10, 0.01), (10, 0.05), (1, 0.01), (1, 0.02), (1, 0.05)])
@pytest.mark.parametrize("cards", [57, 55])
def test_planted_mistakes_are_found_with_few_false_alarms(number: int, rate: float, cards: int) -> None:
    runs = [
        BENCHMARK["score"](*BENCHMARK["check"](*BENCHMARK["plant"](number, rate, seed, cards)))
        for seed in range(3)
    ]
    scores = BENCHMARK["total"](runs)
    assert scores["wrong"].planted > 0
    assert scores["wrong"].found == scores["wrong"].planted
    # one session cannot tell a photo of a card whose own photo was swapped for a third card's
    least = {"missing": 0.95, "extra": 0.95, "swapped": 0.95 if number > 1 else 0.75}
    for kind, share in least.items():
        assert scores[kind].found >= share * scores[kind].planted
    alarms, right = (sum(getattr(score, name) for score in scores.values()) for name in ("alarms", "right"))
    assert alarms - right <= alarms / 20
