import numpy as np
import pytest

from jetson.errors import PictureError
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector, Transform, decode, evidence, letterbox, prepare

WHOLE = Transform(scale_x=1.0, scale_y=1.0, left=0, top=0, width=100, height=100, size=100)


def rows(*entries):
    """Make scores [A, 1 + 2] and boxes [A, 4] in [0, 1] from (class id, score, box in percent)."""
    scores, boxes = np.zeros((len(entries), 3), np.float32), np.zeros((len(entries), 4), np.float32)
    for row, (label, score, box) in enumerate(entries):
        scores[row, label + 1] = score
        scores[row, 0] = 1 - score
        boxes[row] = np.array(box) / 100.0
    return scores, boxes


@pytest.mark.parametrize(
    ("shape", "scale", "left", "top"),
    [
        ((480, 480), 320 / 480, 0, 0),
        ((240, 640), 0.5, 0, 100),
        ((640, 160), 0.5, 120, 0),
        ((160, 80), 2.0, 80, 0),
        ((320, 320), 1.0, 0, 0),
    ],
)
def test_letterbox_keeps_the_aspect_and_centres(shape, scale, left, top):
    batch, transform = letterbox(np.full(shape + (3,), 255, np.uint8), 320)
    assert (batch.shape, batch.dtype) == ((1, 3, 320, 320), np.float32)
    assert transform == pytest.approx((scale, scale, left, top, shape[1], shape[0], 320))
    inside = np.zeros((320, 320), bool)
    inside[top : 320 - top, left : 320 - left] = True
    assert (batch[0, :, inside] == 1).all()
    assert (batch[0, :, ~inside] == 0).all()


def test_letterbox_turns_bgr_into_rgb_between_minus_one_and_one():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :] = (0, 51, 255)
    batch, _ = letterbox(picture, 32)
    np.testing.assert_allclose(batch[0, :, 5, 5], [1.0, -0.6, -1.0], atol=1e-6)


def test_a_place_in_the_picture_comes_back_from_the_input():
    picture = np.zeros((300, 600, 3), np.uint8)
    picture[60:120, 300:480] = 255
    batch, transform = letterbox(picture, 200)
    bright = np.argwhere(batch[0, 0] > 0.5)  # y, x; the padding is 0
    (y1, x1), (y2, x2) = bright.min(axis=0), bright.max(axis=0) + 1
    assert (x1, y1, x2, y2) == (100, 70, 160, 90)
    boxes = np.array([[x1, y1, x2, y2]], np.float32) / 200
    np.testing.assert_allclose(transform.to_picture(boxes), [[300, 60, 480, 120]], atol=1e-3)


def test_boxes_are_clipped_to_the_picture():
    _, transform = letterbox(np.zeros((100, 200, 3), np.uint8), 100)
    boxes = transform.to_picture(np.array([[-0.5, 0, 2, 1], [0.1, 0.3, 0.2, 0.7]]))
    np.testing.assert_allclose(boxes, [[0, 0, 200, 100], [20, 10, 40, 90]], atol=1e-4)
    assert boxes.dtype == np.float32


def test_fine_lines_turn_grey_when_a_picture_shrinks_a_lot():
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[:, ::8] = 255
    batch, _ = letterbox(picture, 128)
    np.testing.assert_allclose(batch, 2 / 8 - 1, atol=0.01)


@pytest.mark.parametrize(
    "image",
    [
        None,
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_colour_picture_is_refused(image):
    with pytest.raises(PictureError, match=r"not uint8 \[H, W, 3\]"):
        letterbox(image, 320)


@pytest.mark.parametrize("tone", [None, 0.4])
def test_a_card_is_prepared_with_the_tone_of_the_bundle(write_bundle, tone):
    bundle = load_bundle(write_bundle())._replace(tone=tone)
    picture = np.full((96, 96, 3), 255, np.uint8)
    picture[30:66, 48:66] = 150
    batch, _ = prepare(picture, bundle)
    expected = 150 if tone is None else 0.4 * 255
    assert 127.5 + 127.5 * batch[0, 0, 16, 18] == pytest.approx(expected, abs=2)
    with pytest.raises(PictureError, match="is None, not uint8"):
        prepare(None, bundle)


def test_of_two_boxes_of_one_symbol_the_weaker_goes():
    # 20x20 boxes shifted by 5: intersection 15 * 20 = 300, union 500, IoU 0.6; shifted by 10: 200 / 600.
    scores, boxes = rows((0, 0.7, (15, 10, 35, 30)), (0, 0.9, (10, 10, 30, 30)), (0, 0.8, (20, 10, 40, 30)))
    found = decode(scores, boxes, WHOLE, 0.5, 0.5)
    np.testing.assert_allclose(found.boxes, [[10, 10, 30, 30], [20, 10, 40, 30]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9, 0.8])
    assert found.labels.tolist() == [0, 0]


def test_a_suppressed_box_suppresses_nothing():
    # B clashes with A and C with B, but not C with A: C stays.
    scores, boxes = rows((0, 0.9, (10, 10, 30, 30)), (0, 0.8, (15, 10, 35, 30)), (0, 0.7, (20, 10, 40, 30)))
    found = decode(scores, boxes, WHOLE, 0.5, 0.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.7])


def test_an_overlap_of_exactly_the_limit_stays():
    # 30x10 boxes shifted by 10: intersection 200, union 400.
    scores, _ = rows((0, 0.9, (0, 0, 30, 10)), (0, 0.8, (10, 0, 40, 10)))
    boxes = np.array([[0, 0, 30, 10], [10, 0, 40, 10]], np.float32) / 128  # exact in binary
    transform = WHOLE._replace(size=128)
    assert len(decode(scores, boxes, transform, 0.5, 0.5).scores) == 2
    assert len(decode(scores, boxes, transform, 0.5, 0.49).scores) == 1


def test_different_symbols_may_lie_on_each_other():
    scores, boxes = rows((0, 0.9, (10, 10, 30, 30)), (1, 0.8, (10, 10, 30, 30)))
    found = decode(scores, boxes, WHOLE, 0.5, 0.5)
    assert found.labels.tolist() == [0, 1]
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)


def test_only_scores_above_the_threshold_count_and_the_background_never_does():
    scores, boxes = rows((0, 0.5, (10, 10, 30, 30)), (1, 0.51, (50, 50, 60, 60)))
    assert decode(scores, boxes, WHOLE, 0.5, 0.5).labels.tolist() == [1]


def test_boxes_in_the_padding_are_dropped():
    transform = Transform(scale_x=0.5, scale_y=0.5, left=0, top=25, width=200, height=100, size=100)
    scores, boxes = rows((0, 0.9, (10, 0, 30, 20)), (1, 0.8, (10, 20, 30, 45)))
    found = decode(scores, boxes, transform, 0.5, 0.5)
    np.testing.assert_allclose(found.boxes, [[20, 0, 60, 40]], atol=1e-4)


def test_at_most_top_detections_come_back_best_first():
    scores, boxes = rows(*[(k % 2, 0.6 + 0.05 * k, (10 * k, 0, 10 * k + 8, 8)) for k in range(6)])
    found = decode(scores, boxes, WHOLE, 0.5, 0.5, top=3)
    np.testing.assert_allclose(found.scores, [0.85, 0.8, 0.75])


def test_nothing_above_the_threshold_gives_empty_arrays():
    found = decode(*rows((0, 0.1, (0, 0, 10, 10))), transform=WHOLE, score_threshold=0.5, nms_iou=0.5)
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))


def test_decoding_agrees_with_a_plain_loop_over_random_boxes():
    random = np.random.RandomState(3)
    scores = random.rand(120, 4).astype(np.float32)
    corner = random.rand(120, 2) * 0.6
    boxes = np.hstack([corner, corner + 0.1 + 0.3 * random.rand(120, 2)]).astype(np.float32)
    expected = []
    for label in range(3):
        kept = []
        for row in sorted(np.nonzero(scores[:, label + 1] > 0.4)[0], key=lambda row: -scores[row, label + 1]):
            if all(plain_iou(boxes[row], boxes[other]) <= 0.3 for other in kept):
                kept.append(row)
        expected += [(scores[row, label + 1], label) for row in kept]
    found = decode(scores, boxes, WHOLE, 0.4, 0.3, top=1000)
    assert list(zip(found.scores.tolist(), found.labels.tolist())) == sorted(expected, reverse=True)  # noqa: B905


def plain_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_evidence_keeps_the_weak_traces_of_every_symbol():
    scores, boxes = rows((0, 0.9, (10, 10, 30, 30)), (1, 0.02, (0, 0, 10, 10)), (1, 0.2, (50, 50, 60, 70)))
    seen = evidence(scores, boxes, WHOLE)
    np.testing.assert_allclose(seen.probability, [0.9, 0.2])
    np.testing.assert_allclose(seen.boxes, [[10, 10, 30, 30], [50, 50, 60, 70]], atol=1e-4)
    assert (seen.probability.dtype, seen.boxes.dtype) == (np.float64, np.float32)


class FixedRunner:
    """Sees the same on every picture."""

    def infer(self, batch):
        assert batch.shape == (1, 3, 32, 32)
        scores = np.zeros((4, 8), np.float32)
        scores[:, 0] = 1
        scores[2, 3] = 0.75
        boxes = np.full((4, 4), 0.5, np.float32)
        boxes[2] = (0.25, 0.25, 0.5, 0.75)
        return scores, boxes


def test_detector_reads_a_card_in_pixels_of_its_picture(write_bundle):
    reading = Detector(load_bundle(write_bundle()), FixedRunner()).read(np.zeros((64, 64, 3), np.uint8))
    assert reading.detections.labels.tolist() == [2]
    np.testing.assert_allclose(reading.detections.boxes, [[16, 16, 32, 48]])
    assert reading.evidence.probability.tolist() == [0, 0, 0.75, 0, 0, 0, 0]
