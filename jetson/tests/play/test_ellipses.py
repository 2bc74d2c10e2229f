import cv2
import numpy as np
import pytest

from jetson.play.ellipses import FLATTENED, follow_cards, propose_cards

PAPER, INK = (240, 244, 246), (60, 30, 120)


def cards_on(table, cards):
    """Draw cards, given as (x, y, long axis, short axis, angle), one over the other, each with its shadow."""
    picture = table.copy()
    for x, y, long, short, angle in cards:
        cv2.ellipse(picture, ((x, y), (long + 4, short + 4), angle), (150, 150, 150), -1, cv2.LINE_AA)
        cv2.ellipse(picture, ((x, y), (long, short), angle), PAPER, -1, cv2.LINE_AA)
        turn = np.deg2rad(angle)
        axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        for number in range(8):
            out = 0.3 * np.array([long * np.cos(number * 0.8), short * np.sin(number * 0.8)])
            place = (np.array([x, y]) + out.dot(axes)).astype(int).tolist()
            cv2.circle(picture, place, int(0.08 * short), INK, -1, cv2.LINE_AA)
    return picture


def plain(colour=(60, 80, 70)):
    return np.full((720, 1280, 3), colour, np.uint8)


def lies_there(found, card, slack=0.04):
    x, y, long, short, angle = card
    turned = (found.angle - angle + 90) % 180 - 90
    return (
        np.hypot(found.centre[0] - x, found.centre[1] - y) < slack * long
        and abs(found.axes[0] / long - 1) < 2 * slack
        and abs(found.axes[1] / short - 1) < 2 * slack
        and (short > 0.9 * long or abs(turned) < 12)
    )


def test_cards_that_touch_and_overlap_are_told_apart():
    cards = [(300, 300, 260, 260, 0), (562, 300, 260, 260, 0), (700, 480, 260, 260, 0)]
    found = propose_cards(cards_on(plain(), cards))
    for card in cards:
        assert any(lies_there(one, card) for one in found[:8]), card


@pytest.mark.parametrize(
    "card", [(600, 360, 300, 200, 0), (500, 300, 240, 160, 45), (800, 400, 260, 180, 150)]
)
def test_cards_seen_from_the_side_are_found_with_their_axes(card):
    assert any(lies_there(one, card) for one in propose_cards(cards_on(plain(), [card]))[:5])


@pytest.mark.parametrize("colour", [(240, 244, 246), (252, 252, 252), (225, 238, 246)])
def test_cards_on_a_table_as_white_as_paper_are_found(colour):
    cards = [(350, 300, 280, 280, 0), (850, 400, 280, 280, 0)]
    found = propose_cards(cards_on(plain(colour), cards))
    for card in cards:
        assert any(lies_there(one, card) for one in found), card


def test_a_card_of_8_percent_of_the_width_is_found():
    card = (640, 360, 102, 102, 0)
    assert any(lies_there(one, card, 0.06) for one in propose_cards(cards_on(plain(), [card]))[:5])


def test_a_card_cut_by_the_border_is_found():
    card = (80, 360, 300, 300, 0)
    assert any(lies_there(one, card, 0.06) for one in propose_cards(cards_on(plain(), [card]))[:5])


def test_an_empty_table_suggests_nothing():
    assert propose_cards(plain()) == []


def test_what_lies_on_known_cards_is_not_proposed():
    cards = [(350, 300, 280, 280, 0), (850, 400, 280, 280, 0)]
    picture = cards_on(plain(), cards)
    known = next(one for one in propose_cards(picture) if lies_there(one, cards[0]))
    others = propose_cards(picture, [known])
    assert lies_there(others[0], cards[1])
    assert all(np.hypot(one.centre[0] - 350, one.centre[1] - 300) > 140 for one in others)


def test_a_followed_card_is_found_where_it_has_moved_to():
    before, after = (400, 300, 280, 220, 20), (412, 308, 288, 226, 20)
    card = next(one for one in propose_cards(cards_on(plain(), [before])) if lies_there(one, before))
    (followed,) = follow_cards(cards_on(plain(), [after]), [card])
    assert lies_there(followed, after)


def test_a_followed_card_whose_rim_is_not_seen_stays_where_it_was():
    card = propose_cards(cards_on(plain(), [(400, 300, 280, 280, 0)]))[0]
    (followed,) = follow_cards(plain(), [card])
    assert followed.centre == pytest.approx(card.centre)
    assert followed.axes == pytest.approx(card.axes)


def test_round_cards_are_looked_for_first():
    assert FLATTENED[0][0] == 1.0
