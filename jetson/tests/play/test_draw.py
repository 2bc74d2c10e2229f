import numpy as np
import pytest

from jetson.play.cards import Card
from jetson.play.draw import ANSWER, SILENCE, draw_match, draw_table
from jetson.play.game import Match

BOXES = np.array([[40, 60, 100, 120], [20, 30, 50, 80]], np.float32)
MATCH = Match(3, 0.93, 1, 0.05, BOXES, None, "joint")


def grey(height=240, width=240):
    return np.full((height, width, 3), 128, np.uint8)


def has(picture, colour):
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def test_symbols_are_marked_on_a_copy_around_themselves(labels):
    frame = grey()
    picture = draw_table(frame, [], MATCH._replace(boxes=BOXES[:1]), labels)[-240:]
    assert (frame == 128).all()
    changed = np.argwhere((picture != 128).any(axis=2))
    assert changed[:, 0].max() <= 123
    assert changed[:, 1].min() >= 37
    assert (picture[70:110, 50:90] == 128).all()  # the symbol itself stays visible


@pytest.mark.parametrize("box", [[0, 0, 10, 10], [230, 230, 240, 240], [0, 0, 240, 240], [239, 0, 240, 1]])
def test_boxes_at_the_border_do_not_break_the_picture(labels, box):
    match = MATCH._replace(boxes=np.array([box], np.float32))
    assert draw_table(grey(), [], match, labels)[-240:].shape == (240, 240, 3)


def test_a_match_shows_both_cards_at_one_height_under_the_answer(labels):
    picture = draw_match(grey(240, 240), grey(480, 480), MATCH, labels, height=300)
    assert picture.shape == (50 + 300, 300 + 5 + 300, 3)
    assert has(picture[:50], ANSWER)
    assert has(picture[50:, :300], ANSWER)
    assert has(picture[50:, 305:], ANSWER)


def test_no_answer_marks_no_symbol(labels):
    match = MATCH._replace(no_answer="both pictures show the same card")
    picture = draw_match(grey(), grey(), match, labels)
    assert has(picture, SILENCE)
    assert not has(picture, ANSWER)


def test_a_table_shows_cards_and_symbol_where_they_lie_in_the_frame(labels):
    cards = [
        Card((20, 20, 120, 120), (70, 70), (100, 100), 1.0),
        Card((200, 20, 300, 120), (250, 70), (100, 100), 1.0),
    ]
    match = MATCH._replace(boxes=np.array([[40, 60, 100, 110], [220, 50, 280, 90]], np.float32))
    frame = grey(240, 400)
    picture = draw_table(frame, cards, match, labels)
    table = picture[-240:]
    assert (frame == 128).all()
    assert has(table[55:115, 35:105], ANSWER)
    assert has(table[45:95, 215:285], ANSWER)
    assert not has(table[:, 125:195], ANSWER)
    assert table[20, 30:110].min() > 200  # the outline of the left card
    assert has(picture[:-240], ANSWER)


def test_a_table_whose_match_has_no_answer_marks_no_symbol(labels):
    match = MATCH._replace(no_answer="no symbol seen on the first card")
    picture = draw_table(grey(240, 400), [], match, labels)
    assert has(picture[:-240], SILENCE)
    assert (picture[-240:] == 128).all()


def test_a_table_without_a_match_keeps_its_size(labels):
    assert draw_table(grey(), [], None, labels).shape == (240, 240, 3)
