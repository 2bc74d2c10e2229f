import numpy as np
import pytest

from dobble.deck.mathematics import make_deck
from dobble.sample.scenes import TROUBLES, photo_of_scene
from dobble.sample.symbols import sample_symbols
from jetson.play.cards import find_cards

SYMBOLS = {name: drawings[0] for name, drawings in sample_symbols().items()}
DECK = make_deck(list(SYMBOLS))


def scene(trouble, seed, cards=2):
    chosen = [[SYMBOLS[name] for name in card] for card in DECK.cards[:cards]]
    return photo_of_scene(trouble, chosen, np.random.default_rng(seed))


def centres(photo):
    return (photo.cards[:, :2] + photo.cards[:, 2:]) / 2


def sizes(photo):
    return photo.cards[:, 2:] - photo.cards[:, :2]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_kind_of_table_has_its_cards(trouble):
    photo = scene(trouble, 0, TROUBLES[trouble].cards[0])
    assert photo.image.shape == (720, 1280, 3)
    assert photo.cards.shape == (TROUBLES[trouble].cards[0], 4)
    assert (photo.cards >= 0).all()
    assert (photo.cards <= [1280, 720, 1280, 720]).all()


def test_equal_chance_gives_equal_scenes():
    first, again = scene("hand", 3), scene("hand", 3)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.cards, again.cards)


def test_touching_cards_touch_and_overlapping_ones_overlap():
    for seed in range(5):
        for trouble, least, most in (("touching", 0.95, 1.08), ("overlapping", 0.8, 1.0)):
            photo = scene(trouble, seed)
            away = np.hypot(*np.diff(centres(photo), axis=0)[0]) / sizes(photo).mean()
            assert least < away < most, (trouble, seed)


def test_oblique_cards_are_flattened_to_the_cosine_of_the_angle():
    flattened = []
    for seed in range(8):
        photo = scene("oblique", seed)
        flattened += (sizes(photo).min(1) / sizes(photo).max(1)).tolist()
    assert min(flattened) < 0.72  # 50 degrees: 0.64


def test_small_cards_have_8_to_11_percent_of_the_width():
    shares = np.concatenate([sizes(scene("small", seed))[:, 0] / 1280 for seed in range(6)])
    assert 0.07 < shares.min() < shares.max() < 0.12


def test_a_cut_card_may_lie_partly_outside():
    cut = [scene("cut", seed) for seed in range(12)]
    assert any((np.abs(sizes(photo)[:, 0] / sizes(photo)[:, 1] - 1) > 0.05).any() for photo in cut)


def test_a_pale_table_is_about_as_bright_as_paper_and_outlines_do_not_tell_it():
    photos = [scene("pale", seed) for seed in range(6)]
    for photo in photos:
        corner, (x, y) = photo.image[:40, :40].mean(), centres(photo)[0].astype(int)
        near = photo.image[y - 40 : y + 40, x - 40 : x + 40].max(axis=2)
        assert corner > 0.6 * np.percentile(near, 95)
    assert sum(len(find_cards(photo.image)) for photo in photos) < sum(len(photo.cards) for photo in photos)
