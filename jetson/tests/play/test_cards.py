import cv2
import numpy as np
import pytest

from jetson.play.cards import Card, crop_card, find_cards

ROUND = (400, 360, 300, 300, 0)
FLAT = (900, 330, 340, 230, 20)
SMALL = (1100, 600, 130, 120, 80)


@pytest.mark.parametrize(
    "colour", [(70, 110, 150), (60, 60, 60), (120, 70, 40), (170, 185, 195), (20, 20, 160)]
)
@pytest.mark.parametrize("cards", [[ROUND], [ROUND, FLAT], [ROUND, FLAT, SMALL]])
def test_every_whole_card_is_found_within_a_few_pixels(draw_table, colour, cards):
    found = sorted(find_cards(draw_table(cards, colour)), key=lambda card: card.centre[0])
    assert len(found) == len(cards)
    for number, (x, y, long, short, _) in enumerate(cards):
        card = found[number]
        assert card.centre == pytest.approx((x, y), abs=4)
        assert card.axes == pytest.approx((long, short), abs=12)
        assert card.quality > 0.9


def test_box_encloses_the_card(draw_table):
    (card,) = find_cards(draw_table([ROUND]))
    assert card.box == pytest.approx((250, 210, 550, 510), abs=8)


@pytest.mark.parametrize("colour", [(70, 110, 150), (20, 20, 20), (128, 128, 128), (200, 60, 60)])
def test_an_empty_table_has_no_card(draw_table, colour):
    assert find_cards(draw_table([], colour)) == []


def test_a_card_cut_by_the_border_is_not_reported(draw_table):
    found = find_cards(draw_table([(60, 360, 300, 300, 0), FLAT]))
    assert [round(card.centre[0], -1) for card in found] == [900]


def test_a_card_that_reaches_to_the_border_is_found(draw_table):
    (card,) = find_cards(draw_table([(154, 360, 300, 300, 0)]))
    assert card.centre == pytest.approx((154, 360), abs=4)


def test_symbols_that_cut_into_the_outline_hide_no_card(draw_table):
    picture = draw_table([ROUND])
    for turn in range(4):
        place = (int(400 + 140 * np.cos(turn * 1.3)), int(360 + 140 * np.sin(turn * 1.3)))
        cv2.circle(picture, place, 30, (60, 20, 90), -1, cv2.LINE_AA)
    (card,) = find_cards(picture)
    assert card.axes == pytest.approx((300, 300), abs=12)


@pytest.mark.parametrize("bumps", [3, 5, 7])
def test_a_pale_patch_that_is_no_ellipse_is_no_card(draw_table, bumps):
    angle = np.linspace(0, 2 * np.pi, 200)
    radius = 150 * (1 + 0.06 * np.cos(bumps * angle))
    outline = np.stack([640 + radius * np.cos(angle), 360 + radius * np.sin(angle)], 1).astype(np.int32)
    picture = draw_table([])
    cv2.fillPoly(picture, [outline], (236, 240, 243), cv2.LINE_AA)
    assert find_cards(picture) == []


def test_a_sheet_of_paper_is_no_card(draw_table):
    picture = draw_table([])
    picture[200:500, 300:800] = 240
    assert find_cards(picture) == []


def test_a_colourful_disc_is_no_card(draw_table):
    picture = draw_table([])
    yy, xx = np.mgrid[:720, :1280]
    picture[(xx - 400) ** 2 + (yy - 360) ** 2 < 150**2] = (0, 220, 250)
    assert find_cards(picture) == []


@pytest.mark.parametrize("gain", [(0.5, 0.5, 0.5), (0.6, 0.85, 1.0), (1.0, 0.9, 0.75)])
def test_dark_and_coloured_light_hides_no_card(draw_table, gain):
    picture = (draw_table([ROUND, FLAT]) * np.array(gain)).astype(np.uint8)
    assert len(find_cards(picture)) == 2


def test_a_picture_smaller_than_the_search_is_searched_as_it_is(draw_table):
    (card,) = find_cards(draw_table([(100, 100, 120, 120, 0)], width=240, height=200))
    assert card.centre == pytest.approx((100, 100), abs=1.5)


def test_pictures_without_any_light_have_no_card():
    assert find_cards(np.zeros((72, 128, 3), np.uint8)) == []


def test_crop_is_square_and_its_offset_leads_back():
    picture = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    crop = crop_card(picture, Card((80, 30, 120, 70), (100.0, 50.0), (40.0, 40.0), 1.0), margin=1.1)
    assert crop.image.shape == (44, 44, 3)
    np.testing.assert_array_equal(crop.image, picture[28:72, 78:122])
    box = np.array([[10, 20, 30, 44]])
    assert crop.to_picture(box).tolist() == [[88, 48, 108, 72]]
    assert crop.from_picture(crop.to_picture(box)).tolist() == box.tolist()


def test_crop_beyond_the_border_repeats_the_edge():
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, 0] = 7
    crop = crop_card(picture, Card((0, 30, 40, 70), (20.0, 50.0), (40.0, 40.0), 1.0), margin=1.5)
    assert crop.image.shape == (60, 60, 3)
    assert crop.to_picture(np.array([[0, 0, 20, 70]])).tolist() == [[0, 20, 10, 90]]  # within the picture
    assert (crop.image[:, :11] == 7).all()
    assert not crop.image[:, 11:].any()


@pytest.mark.parametrize("angle", [0, 35, 90, 140])
def test_a_card_seen_from_the_side_is_made_round_and_not_turned(draw_table, angle):
    picture = draw_table([(640, 360, 400, 260, angle)], colour=(20, 20, 20))
    crop = crop_card(picture, Card((0, 0, 0, 0), (640.0, 360.0), (400.0, 260.0), 1.0, angle), margin=1.1)
    assert crop.image.shape == (440, 440, 3)
    y, x = np.mgrid[:440, :440]
    away = np.hypot(x - 219.5, y - 219.5)
    assert crop.image[(away > 190) & (away < 197)].mean() > 225  # paper just within the circle
    assert crop.image[(away > 204) & (away < 212)].mean() < 60  # the table just outside
    # A point on the card's short axis, halfway out: 65 pixels from its middle, 100 when it is round.
    turn = np.deg2rad(angle + 90)
    out = np.array([np.cos(turn), np.sin(turn)])
    spot = np.array([640, 360]) + 65 * out
    np.testing.assert_allclose(
        crop.from_picture(np.tile(spot, 2)[None])[0], np.tile(np.array([220, 220]) + 100 * out, 2), atol=1e-3
    )


def test_a_box_on_a_card_that_was_made_round_is_bounded_in_the_picture():
    crop = crop_card(
        np.zeros((720, 1280, 3), np.uint8),
        Card((0, 0, 0, 0), (640.0, 360.0), (400.0, 200.0), 1.0, 0.0),
        margin=1.0,
    )
    assert crop.to_picture(np.array([[100, 100, 300, 300]])).tolist() == [[540, 310, 740, 410]]


@pytest.mark.parametrize("angle", [0, 30, 75, 120, 165])
def test_the_angle_is_of_the_long_axis(draw_table, angle):
    (card,) = find_cards(draw_table([(640, 360, 400, 300, angle)]))
    assert (card.angle - angle + 90) % 180 - 90 == pytest.approx(0, abs=3)
