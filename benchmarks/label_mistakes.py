"""Plants labelling mistakes in a deck and prints how many are found and how many alarms are right."""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dobble.deck.mathematics import make_deck
from dobble.validation.deck_check import Suspicion, find_mistakes

KINDS = ("wrong", "missing", "extra", "swapped")
Labels = dict[str, list[str]]


class Planted(NamedTuple):
    """A mistake: the label that is wrong (or too many) and the one it stands for (or that is missing)."""

    kind: str
    photo: str
    label: str = ""
    right: str = ""


class Score(NamedTuple):
    """Planted mistakes of a kind, those found, alarms of that kind, and those that are right."""

    planted: int
    found: int
    alarms: int
    right: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    parser.add_argument("--cards", type=int, default=57, help="55 for the printed game")
    arguments = parser.parse_args()
    print(f"{arguments.seeds} seeds, {arguments.cards} cards of 57, all kinds planted at once\n")
    print("| sessions | labels wrong | kind | planted | found | recall | alarms | right | precision |")
    print("|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    for sessions in (10, 1):
        for rate in arguments.rates:
            scores = total(
                score(*check(*plant(sessions, rate, seed, arguments.cards)))
                for seed in range(arguments.seeds)
            )
            for kind, (planted, found, alarms, right) in scores.items():
                recall = f"{found / planted:.1%}" if planted else "–"
                precision = f"{right / alarms:.1%}" if alarms else "–"
                row = (sessions, f"{rate:.0%}", kind, planted, found, recall, alarms, right, precision)
                print("| " + " | ".join(map(str, row)) + " |", flush=True)


def plant(sessions: int, rate: float, seed: int, cards: int = 57) -> tuple[Labels, list[Planted]]:
    """Label every card of a deck in each session, and plant mistakes.

    A share of `rate` of the labels is wrong: in equal parts a wrong class, a missing box, and a box too many
    (half of them of a class that the card has). As many of the photos, at least one, are of another card.
    """
    chance = random.Random(seed)
    deck = make_deck([f"s{index:02d}" for index in range(57)])
    slots = [(session, card) for session in range(sessions) for card in range(cards)]
    photos = {photo_name(*slot): list(deck.cards[slot[1]]) for slot in slots}
    planted = []
    for session, card in chance.sample(slots, max(1, round(rate * len(slots)))):
        other = chance.choice([number for number in range(cards) if number != card])
        photos[photo_name(session, card)] = list(deck.cards[other])
        planted.append(Planted("swapped", photo_name(session, card)))
    places = [(photo, label) for photo, labels in photos.items() for label in labels]
    for number, (photo, label) in enumerate(chance.sample(places, round(rate * len(places)))):
        others = [symbol for symbol in deck.symbols if symbol not in photos[photo]]
        if number % 3 == 0:
            wrong = chance.choice([symbol for symbol in deck.symbols if symbol != label])
            photos[photo][photos[photo].index(label)] = wrong
            planted.append(Planted("wrong", photo, wrong, label))
        elif number % 3 == 1:
            photos[photo].remove(label)
            planted.append(Planted("missing", photo, right=label))
        else:
            added = label if number % 6 == 2 else chance.choice(others)
            photos[photo].append(added)
            planted.append(Planted("extra", photo, added))
    return photos, planted


def photo_name(session: int, card: int) -> str:
    """Name a photo as the sample deck does."""
    return f"deck{session:02d}_card{card:02d}"


def check(photos: Labels, planted: list[Planted]) -> tuple[list[Suspicion], list[Planted]]:
    """Search the labels, whose photos' names say the card."""
    return find_mistakes(photos, {photo: photo.partition("_")[2] for photo in photos}), planted


def score(found: Sequence[Suspicion], planted: Sequence[Planted]) -> dict[str, Score]:
    """Compare what was found with what was planted, by kind; `other` are alarms that name no mistake."""
    by_photo: dict[str, list[Planted]] = defaultdict(list)
    for mistake in planted:
        by_photo[mistake.photo].append(mistake)
    result = {}
    for kind in (*KINDS, "other"):
        mine = [mistake for mistake in planted if mistake.kind == kind]
        alarms = [alarm for alarm in found if (alarm.kind if alarm.kind in KINDS else "other") == kind]
        result[kind] = Score(
            len(mine),
            sum(any(names(alarm, mistake) for alarm in found) for mistake in mine),
            len(alarms),
            sum(is_right(alarm, by_photo) for alarm in alarms),
        )
    return result


def names(alarm: Suspicion, mistake: Planted) -> bool:
    """Say whether an alarm names a mistake: its photo, and its label or the right one."""
    if mistake.kind == "swapped" or alarm.kind == "swapped":
        return alarm.kind == mistake.kind and mistake.photo in (alarm.photo, alarm.other)
    labelled = mistake.label in alarm.symbols or mistake.right in alarm.instead
    return alarm.photo == mistake.photo and labelled


def is_right(alarm: Suspicion, by_photo: Mapping[str, Sequence[Planted]]) -> bool:
    """Say whether all that an alarm calls wrong was planted.

    A class that is missing beside one that is too many is the same as a wrong class: labels cannot tell.
    """
    if alarm.kind == "swapped":
        return any(
            mistake.kind == "swapped" for photo in (alarm.photo, alarm.other) for mistake in by_photo[photo]
        )
    labels = {mistake.label for mistake in by_photo[alarm.photo]}
    rights = {mistake.right for mistake in by_photo[alarm.photo]}
    named = bool(alarm.symbols or alarm.instead) and alarm.kind in KINDS
    return named and labels.issuperset(alarm.symbols) and rights.issuperset(alarm.instead)


def total(scores: Iterable[dict[str, Score]]) -> dict[str, Score]:
    """Add up the scores of several runs."""
    sums = {kind: Score(0, 0, 0, 0) for kind in (*KINDS, "other")}
    for one in scores:
        for kind, value in one.items():
            sums[kind] = Score(*(a + b for a, b in zip(sums[kind], value, strict=True)))
    return sums


if __name__ == "__main__":
    main()
