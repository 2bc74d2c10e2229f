import numpy as np
import pytest

import jetson.follow
from jetson.cards import Card
from jetson.follow import Follower
from jetson.table import Table

HIDDEN = Card((0, 0, 10, 10), (5.0, 5.0), (10.0, 10.0), 0.5)


@pytest.fixture
def played(monkeypatch):
    """Count cards as a script says; note of each look if it was thorough, and how many cards it followed."""

    def make(*numbers):
        looks, script = [], list(numbers)

        def play_table(detector, image, hidden, thorough):
            looks.append((thorough, len(hidden)))
            cards = [HIDDEN] * (script.pop(0) if len(script) > 1 else script[0])
            return Table(cards, [], [], None, cards[:1])

        monkeypatch.setattr(jetson.follow, "play_table", play_table)
        return looks

    return make


def play(follower, *times):
    for now in times:
        follower.play(None, now)


def test_the_first_frame_is_looked_at_thoroughly_and_the_next_ones_are_not(played):
    looks = played(2)
    play(Follower(None), 0.0, 0.03, 0.06)
    assert [thorough for thorough, _ in looks] == [True, False, False]


def test_hidden_cards_of_a_frame_are_followed_on_the_next(played):
    looks = played(2)
    play(Follower(None), 0.0, 0.03)
    assert [followed for _, followed in looks] == [0, 1]


def test_thorough_looks_become_rarer_while_nothing_new_is_found(played):
    looks = played(2)
    times = [step / 10 for step in range(400)]
    play(Follower(None), *times)
    thorough = [times[number] for number, (look, _) in enumerate(looks) if look]
    assert thorough[:5] == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5], abs=0.11)
    assert np.diff(thorough).max() == pytest.approx(8.0, abs=0.11)


def test_a_card_that_comes_or_goes_calls_for_a_thorough_look_soon(played):
    looks = played(*[2] * 100 + [3])
    times = [step / 10 for step in range(120)]
    play(Follower(None), *times)
    later = [times[number] for number, (look, _) in enumerate(looks) if look and times[number] > 10.0]
    assert later[0] == pytest.approx(10.5, abs=0.11)
