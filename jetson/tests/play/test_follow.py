import numpy as np
import pytest

import jetson.play.follow
from jetson.play.bundle import load_bundle
from jetson.play.cards import Card
from jetson.play.detect import CardReading, Detections, Detector, Evidence
from jetson.play.follow import Follower
from jetson.play.look import Seen, Sight

HIDDEN = Card((0, 0, 10, 10), (5.0, 5.0), (10.0, 10.0), 0.5)


def reading(*probability):
    """What is read on a card of a deck of seven symbols, of which it has three."""
    seen = np.flatnonzero(np.array(probability) > 0.5)
    boxes = np.zeros((7, 4), np.float32)
    detections = Detections(boxes[seen], np.array(probability, np.float32)[seen], seen)
    return CardReading(detections, Evidence(np.array(probability, np.float64), boxes))


FIRST = reading(0.9, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0)
OTHER = reading(0.9, 0.0, 0.0, 0.9, 0.9, 0.0, 0.0)
SLIP = reading(0.0, 0.9, 0.9, 0.8, 0.0, 0.0, 0.0)  # 3 for 0, on the first card


@pytest.fixture
def detector(write_bundle):
    return Detector(load_bundle(write_bundle(deck=None)), None)


@pytest.fixture
def played(monkeypatch):
    """Count cards as a script says; note of each look if it was thorough, and how many cards it followed."""

    def make(*numbers):
        looks, script = [], list(numbers)

        def look_for_cards(detector, image, hidden, thorough):
            looks.append((thorough, len(hidden)))
            number = script.pop(0) if len(script) > 1 else script[0]
            return Sight([Seen(HIDDEN, FIRST)] * number, [HIDDEN][:number])

        monkeypatch.setattr(jetson.play.follow, "look_for_cards", look_for_cards)
        return looks

    return make


def play(follower, *times):
    for now in times:
        follower.play(None, now)


def test_the_first_frame_is_looked_at_thoroughly_and_the_next_ones_are_not(played, detector):
    looks = played(2)
    play(Follower(detector), 0.0, 0.03, 0.06)
    assert [thorough for thorough, _ in looks] == [True, False, False]


def test_hidden_cards_of_a_frame_are_followed_on_the_next(played, detector):
    looks = played(2)
    play(Follower(detector), 0.0, 0.03)
    assert [followed for _, followed in looks] == [0, 1]


def test_thorough_looks_become_rarer_while_nothing_new_is_found(played, detector):
    looks = played(2)
    times = [step / 10 for step in range(400)]
    play(Follower(detector), *times)
    thorough = [times[number] for number, (look, _) in enumerate(looks) if look]
    assert thorough[:5] == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5], abs=0.11)
    assert np.diff(thorough).max() == pytest.approx(8.0, abs=0.11)


def test_a_card_that_comes_or_goes_calls_for_a_thorough_look_soon(played, detector):
    looks = played(*[2] * 100 + [3])
    times = [step / 10 for step in range(120)]
    play(Follower(detector), *times)
    later = [times[number] for number, (look, _) in enumerate(looks) if look and times[number] > 10.0]
    assert later[0] == pytest.approx(10.5, abs=0.11)


@pytest.fixture
def shown(monkeypatch, detector):
    """Play frames of two cards, given by what is read on the first and how far right it lies."""

    def play_frames(*frames):
        script = list(frames)

        def look_for_cards(detector, image, hidden, thorough):
            seen, x = script.pop(0)
            cards = [Card((x, 0, x + 100, 100), (x + 50.0, 50.0), (100.0, 100.0), 1.0)]
            cards.append(Card((300, 0, 400, 100), (350.0, 50.0), (100.0, 100.0), 1.0))
            return Sight([Seen(cards[0], seen), Seen(cards[1], OTHER)], [])

        monkeypatch.setattr(jetson.play.follow, "look_for_cards", look_for_cards)
        follower = Follower(detector)
        return [follower.play(None, number / 10.0) for number in range(len(frames))]

    return play_frames


def test_a_slip_in_one_frame_is_outvoted_by_those_before(shown):
    assert shown((SLIP, 0))[-1].rounds[0].match.symbol == 3
    tables = shown((FIRST, 0), (FIRST, 4), (FIRST, 0), (SLIP, 2))
    assert [table.rounds[0].match.symbol for table in tables] == [0, 0, 0, 0]
    # .9 in three frames and 0 in one, 0 in three and .8 in one
    assert tables[-1].readings[0].evidence.probability[[0, 3]] == pytest.approx([0.675, 0.2])


@pytest.mark.parametrize("instead", [(OTHER, 0), (FIRST, 40)])
def test_another_card_and_one_that_has_moved_are_read_anew(shown, instead):
    *_, last = shown((FIRST, 0), (FIRST, 0), instead)
    expected = instead[0].evidence.probability
    assert last.readings[0].evidence.probability.tolist() == expected.tolist()


def test_of_old_frames_little_is_left(shown):
    faint = reading(0.6, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0)
    *_, last = shown(*[(FIRST, 0)] * 30, *[(faint, 0)] * 30)
    assert last.readings[0].evidence.probability[0] == pytest.approx(0.6, abs=0.01)
