"""Photographs of real tables, which are not part of the project: every card is among the places looked at."""

import json
import os

import numpy as np
import pytest

from jetson.play.cards import find_cards
from jetson.play.ellipses import propose_cards
from jetson.play.pictures import read_picture

PHOTOS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "..", "..", "..", "shared", "real-photos")
NEAR = 0.35  # of a card's radius: the known centres are rough

pytestmark = pytest.mark.skipif(
    not os.path.isdir(PHOTOS), reason="shared/real-photos is not beside the checkout"
)


def _there(found, at, size):
    place = np.multiply(at, size)
    return any(np.hypot(*np.subtract(card.centre, place)) < NEAR * card.axes[0] / 2 for card in found)


def test_outlines_find_most_cards_and_nothing_else_and_with_ellipses_all_are_proposed():
    with open(os.path.join(PHOTOS, "tables.json"), encoding="utf-8") as file:
        tables = json.load(file)["photos"]
    outlines, cards, by_outline, proposed = 0, 0, 0, 0
    for name, entry in tables.items():
        image = read_picture(os.path.join(PHOTOS, name))
        found = find_cards(image)
        places = found + propose_cards(image, found)
        outlines += len(found)
        for card in entry["cards"]:
            cards += 1
            by_outline += _there(found, card["at"], image.shape[1::-1])
            proposed += _there(places, card["at"], image.shape[1::-1])
    assert (cards, by_outline, outlines - by_outline, proposed) == (38, 34, 0, 38)
