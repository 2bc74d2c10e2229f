from pathlib import Path

import cv2
import numpy as np
import pytest

from dobble.sample.render import photo_of_card, photo_of_table
from dobble.sample.symbols import Drawing, Floats, Pixels, read_scan, sample_symbols

REAL = Path(__file__).parents[3] / "shared" / "real-symbols"


def disc() -> Drawing:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return Drawing((np.stack([np.cos(angles), np.sin(angles)], 1),), (0, 0, 0))


def seen_box(image: Pixels, box: Floats) -> Floats:
    """The box of the dark patch about the middle of `box`, halfway between ink and paper."""
    left, top = np.floor(box[:2]).astype(int) - 2
    cut = cv2.GaussianBlur(image[top : int(box[3]) + 3, left : int(box[2]) + 3].min(2), (0, 0), 1)
    middle = cut[cut.shape[0] // 2, cut.shape[1] // 2].astype(float)
    dark = (cut < (middle + np.percentile(cut, 90)) / 2).astype(np.uint8)
    _, parts = cv2.connectedComponents(dark, connectivity=4)
    ys, xs = np.nonzero(parts == parts[cut.shape[0] // 2, cut.shape[1] // 2])
    return np.array([xs.min() + left, ys.min() + top, xs.max() + left + 1, ys.max() + top + 1])


def inside(boxes: Floats, width: float, height: float) -> bool:
    low, high = boxes[:, :2], boxes[:, 2:]
    return bool((low >= 0).all() and (high <= [width, height]).all() and (low < high).all())


def test_boxes_are_where_the_ink_is_seen() -> None:
    for seed in range(6):
        photo = photo_of_card([disc()] * 8, np.random.default_rng(seed))
        for box in photo.boxes[0]:
            assert np.abs(seen_box(photo.image, box) - box).max() <= 2, seed


def test_symbols_of_a_card_lie_within_the_photo_and_do_not_overlap() -> None:
    for seed in range(20):
        photo = photo_of_card([disc()] * 8, np.random.default_rng(seed), size=160)
        (boxes,) = photo.boxes
        assert photo.image.shape == (160, 160, 3)
        assert boxes.shape == (8, 4)
        assert inside(boxes, 160, 160)
        centres, radii = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).min(1) / 2
        apart = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1)) - radii[:, None] - radii
        assert (apart[~np.eye(8, dtype=bool)] > 0).all()


def test_symbols_have_the_sizes_that_the_detector_is_made_for() -> None:
    names = list(sample_symbols().values())
    boxes = np.concatenate(
        [photo_of_card([s[0] for s in names[:8]], np.random.default_rng(seed)).boxes[0] for seed in range(12)]
    )
    longest = (boxes[:, 2:] - boxes[:, :2]).max(1) / 480
    assert 0.14 < np.median(longest) < 0.20
    assert longest.min() > 0.06
    assert longest.max() < 0.36


def test_a_photo_depends_on_nothing_but_its_generator() -> None:
    symbols = [scans[0] for scans in list(sample_symbols().values())[:8]]
    first, again, other = (photo_of_card(symbols, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.image == again.image).all()
    assert (first.boxes[0] == again.boxes[0]).all()
    assert (first.image != other.image).any()


@pytest.mark.parametrize("number", [2, 3, 4])
def test_cards_on_a_table_have_clear_gaps_and_their_symbols_on_them(number: int) -> None:
    for seed in range(3):
        photo = photo_of_table([[disc()] * 8] * number, np.random.default_rng(seed))
        assert photo.image.shape == (720, 1280, 3)
        assert photo.cards.shape == (number, 4)
        assert inside(photo.cards, 1280, 720)
        sides = photo.cards[:, 2:] - photo.cards[:, :2]
        assert ((sides >= 248) & (sides <= 602)).all()
        centres = (photo.cards[:, :2] + photo.cards[:, 2:]) / 2
        apart = (
            np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
            - (sides.max(1)[:, None] + sides.max(1)) / 2
        )
        assert (apart[~np.eye(number, dtype=bool)] > 5).all()
        for card, boxes in zip(photo.cards, photo.boxes, strict=True):
            assert inside(boxes - np.tile(card[:2], 2), *(card[2:] - card[:2]))
            assert all(np.abs(seen_box(photo.image, box) - box).max() <= 2 for box in boxes)


def test_an_empty_table_has_no_card_and_is_as_bright_as_it_was_asked_for() -> None:
    photos = [
        photo_of_table([], np.random.default_rng(seed), tones=tones)
        for tones in ((15, 20), (190, 205))
        for seed in range(3)
    ]
    assert all(photo.cards.shape == (0, 4) and photo.boxes == [] for photo in photos)
    dark, light = (np.mean([photo.image.mean() for photo in half]) for half in (photos[:3], photos[3:]))
    assert dark < 80 < light


@pytest.mark.skipif(not REAL.is_dir(), reason="scans of a real deck are not here")
def test_scans_of_a_real_deck_are_photographed() -> None:
    folders = sorted(path for path in REAL.iterdir() if path.is_dir())[:8]
    symbols = [read_scan(min(folder.glob("*.png"))) for folder in folders]
    for seed in range(3):
        photo = photo_of_card(symbols, np.random.default_rng(seed))
        assert inside(photo.boxes[0], 480, 480)
