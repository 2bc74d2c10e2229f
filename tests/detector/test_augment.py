import numpy as np
import pytest
from augmentation import STILL

from dobble.detector.augment import augment
from dobble.params import AugmentationParams

LIVELY = AugmentationParams(
    zoom=(0.7, 1.4),
    gamma=(0.8, 1.2),
    gain=(0.8, 1.1),
    channel_gain=0.1,
    saturation=(0.5, 1.5),
    hue=20,
    coarse_probability=0.5,
    blur_probability=0.5,
    noise_probability=0.5,
)
SHARP = LIVELY.model_copy(update={"blur_probability": 0, "coarse_probability": 0})
INPUT = 320
SHAPE = (300, 400, 3)
QUARTERS = (250, 200, 150, 100)  # brightness of the symbol's quarters, clockwise from its top left


def painted(box):
    image = np.zeros(SHAPE, np.uint8)
    x1, y1, x2, y2 = box
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    corners = ((x1, y1, x, y), (x, y1, x2, y), (x, y, x2, y2), (x1, y, x, y2))
    for value, (left, top, right, bottom) in zip(QUARTERS, corners, strict=True):
        image[top:bottom, left:right] = value
    return image


def view_of(box, window, params, seed):
    """What only the symbol changes in the view, and the view's box in pixels."""
    boxes = np.array([box], np.float32)
    with_symbol, without = (
        augment(image, boxes, INPUT, window, params, np.random.default_rng(seed))
        for image in (painted(box), np.zeros(SHAPE, np.uint8))
    )
    return with_symbol[0].astype(int).max(-1) - without[0].astype(int).max(-1), with_symbol[1][0] * INPUT


def borders(symbol):
    rows, columns = np.nonzero(symbol > 40)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def quarters(symbol, box):
    """Brightness of the quarters of a symbol, clockwise from the top left."""
    x1, y1, x2, y2 = box
    x, y = [x1 * 0.75 + x2 * 0.25, x1 * 0.25 + x2 * 0.75], [y1 * 0.75 + y2 * 0.25, y1 * 0.25 + y2 * 0.75]
    places = ((x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]))
    return [int(symbol[int(down), int(right)]) for right, down in places]


def turned(turns):
    """The quarters of a symbol that was turned clockwise by so many right angles."""
    return [QUARTERS[(place - turns) % 4] for place in range(4)]


@pytest.mark.parametrize("window", [320, 224, 96])
@pytest.mark.parametrize(
    "params", [STILL, LIVELY.model_copy(update={"blur_probability": 0, "coarse_probability": 0})]
)
@pytest.mark.parametrize("seed", range(12))
def test_box_stays_on_its_symbol(window, params, seed):
    symbol, box = view_of((150, 100, 230, 160), window, params, seed)
    np.testing.assert_allclose(box, borders(symbol), atol=1.01)


def test_symbol_is_turned_by_each_quarter_turn_and_never_mirrored():
    found = set()
    for seed in range(30):
        symbol, box = view_of((150, 100, 230, 160), 224, STILL, seed)
        turns = next(turns for turns in range(4) if np.allclose(quarters(symbol, box), turned(turns), atol=2))
        assert list(box[2:] - box[:2]) == pytest.approx([64, 48] if turns % 2 == 0 else [48, 64], abs=1e-3)
        found.add(turns)
    assert found == {0, 1, 2, 3}


@pytest.mark.parametrize("window", [320, 224])
def test_symbol_keeps_the_size_that_it_has_in_the_whole_input(window):
    _, box = view_of((150, 100, 230, 160), window, STILL, 0)
    # The longer side of 400 pixels becomes 320, so 80 x 60 become 64 x 48, in a window as in the whole.
    assert sorted(box[2:] - box[:2]) == pytest.approx([48, 64], abs=1e-3)


def test_zoom_keeps_to_its_range():
    params = STILL.model_copy(update={"zoom": (0.5, 1.5)})
    boxes = [view_of((150, 100, 230, 180), 320, params, seed)[1] for seed in range(40)]
    sides = [float(box[2] - box[0]) for box in boxes]
    assert 0.5 * 64 <= min(sides) < 0.6 * 64
    assert 1.4 * 64 < max(sides) <= 1.5 * 64


@pytest.mark.parametrize("params", [STILL, LIVELY])
def test_same_chance_gives_the_same_view_and_other_chance_another(params):
    image, boxes = painted((150, 100, 230, 160)), np.array([[150, 100, 230, 160]], np.float32)
    first, again, other = (
        augment(image, boxes, INPUT, 224, params, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("window", [96, 224, 320])
def test_view_has_the_window_s_size_and_its_boxes_lie_inside(window):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 250, (20, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 50], 1)
    view, moved = augment(np.zeros(SHAPE, np.uint8), boxes, INPUT, window, LIVELY, rng)
    assert (view.shape, view.dtype) == ((window, window, 3), np.uint8)
    assert (moved.shape, moved.dtype) == ((20, 4), np.float32)
    assert moved.min() >= 0
    assert moved.max() <= np.float32(window / INPUT)


def test_symbols_that_are_hardly_in_the_window_are_left_out():
    # A row of symbols 300 pixels wide in a window of 96: most are outside, some cut.
    boxes = np.array([[x, 140, x + 20, 160] for x in range(50, 350, 20)], np.float32)
    kept = []
    for seed in range(20):
        _, moved = augment(np.zeros(SHAPE, np.uint8), boxes, INPUT, 96, STILL, np.random.default_rng(seed))
        area = (moved[:, 2:] - moved[:, :2]).prod(1) * INPUT**2
        assert not moved[area == 0].any()
        kept += area[area > 0].tolist()
    assert min(kept) >= 0.3 * 16 * 16 - 1e-2
    assert max(kept) == pytest.approx(16 * 16, rel=1e-4)
    assert any(area < 0.9 * 16 * 16 for area in kept)


def test_photo_without_symbols_has_views_too():
    view, moved = augment(
        np.full(SHAPE, 9, np.uint8),
        np.zeros((0, 4), np.float32),
        INPUT,
        224,
        LIVELY,
        np.random.default_rng(0),
    )
    assert view.shape == (224, 224, 3)
    assert moved.shape == (0, 4)


def test_still_parameters_leave_the_colours_alone():
    symbol, box = view_of((150, 100, 230, 160), 224, STILL, 1)
    assert sorted(quarters(symbol, box)) == pytest.approx(sorted(QUARTERS), abs=2)


def test_gain_lights_the_whole_picture():
    params = STILL.model_copy(update={"gain": (0.5, 0.5)})
    symbol, box = view_of((150, 100, 230, 160), 224, params, 1)
    assert sorted(quarters(symbol, box)) == pytest.approx([value / 2 for value in sorted(QUARTERS)], abs=2)


def lit(colour, **changes):
    """Views of a plain picture of an RGB colour, one for each of 40 seeds."""
    image, params = np.full((320, 320, 3), colour, np.uint8), STILL.model_copy(update=changes)
    boxes = np.array([[120, 120, 200, 200]], np.float32)
    views = [augment(image, boxes, INPUT, 96, params, np.random.default_rng(seed))[0] for seed in range(40)]
    return np.array([view[48, 48].astype(int) for view in views])


def test_gamma_makes_print_pale_and_dark_equally_often():
    seen = lit((128, 128, 128), gamma=(0.5, 2.0))[:, 0]
    # 128 of 255 to the power of 2 is 64, to that of .5 it is 181
    assert 64 <= seen.min() < 75
    assert 170 < seen.max() <= 181
    assert 10 < (seen > 128).sum() < 30


def test_saturation_keeps_the_brightness_and_leaves_grey_alone():
    assert lit((90, 90, 90), saturation=(0.1, 3.0), hue=90).tolist() == [[90, 90, 90]] * 40
    pale = lit((200, 100, 100), saturation=(0.5, 0.5))
    # Luma is .299 * 200 + .701 * 100 = 129.9; half way there: 165 and 115
    np.testing.assert_allclose(pale, [[165, 115, 115]] * 40, atol=1)


def test_hue_turns_about_the_grey_axis():
    seen = lit((150, 90, 90), hue=120)
    np.testing.assert_allclose(seen.sum(1), 330, atol=3)
    assert {int(np.argmax(colour)) for colour in seen} == {
        0,
        1,
        2,
    }  # red, green and blue are 120 degrees apart
    assert abs(lit((150, 90, 90), hue=5) - [150, 90, 90]).max() < 8


def test_coarse_views_keep_symbols_in_their_places_with_softer_edges():
    sharp, box = view_of((150, 100, 230, 160), 224, STILL, 1)
    coarse, same = view_of((150, 100, 230, 160), 224, STILL.model_copy(update={"coarse_probability": 1}), 1)
    np.testing.assert_array_equal(box, same)
    assert np.abs(np.diff(coarse, axis=1)).max() < np.abs(np.diff(sharp, axis=1)).max()
    assert sorted(quarters(coarse, box)) == pytest.approx(sorted(QUARTERS), abs=3)


def test_photo_and_boxes_of_the_caller_stay_as_they_are():
    image, boxes = painted((150, 100, 230, 160)), np.array([[150, 100, 230, 160]], np.float32)
    before = image.copy(), boxes.copy()
    augment(image, boxes, INPUT, 224, LIVELY, np.random.default_rng(0))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(boxes, before[1])
