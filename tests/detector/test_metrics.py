import numpy as np
import pytest

from dobble.detector.metrics import (
    Truth,
    accuracy_and_iou,
    average_precision,
    box_iou,
    confusion_matrix,
    match_boxes,
    photo_quality,
)
from jetson.play.detect import Detections

HERE = [0, 0, 10, 10]
THERE = [20, 20, 30, 30]
NOWHERE = [50, 50, 60, 60]
LOW = [0, 0, 10, 6.2]  # IoU with HERE is .62


def truth(*objects):
    """Objects as (box, label)."""
    boxes = np.array([box for box, _ in objects], dtype=np.float32).reshape(-1, 4)
    return Truth(boxes, np.array([label for _, label in objects], dtype=np.int64))


def found(*detections):
    """Detections as (box, label, score), best first."""
    boxes = np.array([box for box, _, _ in detections], dtype=np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score in detections], dtype=np.float32)
    return Detections(boxes, scores, np.array([label for _, label, _ in detections], dtype=np.int64))


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
        ([0, 0, 2, 2], [0, 0, 2, 2], 1),
        ([0, 0, 4, 4], [1, 1, 3, 3], 4 / 16),  # one within the other
        ([0, 0, 2, 2], [2, 0, 4, 2], 0),  # they only touch
        ([0, 0, 2, 2], [5, 5, 6, 6], 0),
        ([1, 1, 1, 1], [1, 1, 1, 1], 0),  # no area
    ],
)
def test_iou_of_two_boxes(first, second, iou):
    np.testing.assert_allclose(box_iou(np.array([first]), np.array([second])), [[iou]])


def test_iou_has_a_row_for_each_first_and_a_column_for_each_second_box():
    first, second = np.array([HERE, THERE, NOWHERE], np.float32), np.array([THERE, LOW], np.float32)
    np.testing.assert_allclose(box_iou(first, second), [[0, 0.62], [1, 0], [0, 0]])
    assert box_iou(first, np.zeros((0, 4))).shape == (3, 0)


def test_two_detections_never_share_an_object():
    objects, iou = match_boxes(found((LOW, 0, 0.9), (HERE, 0, 0.8)), truth((HERE, 0)), 0.5, 0.1)
    assert objects.tolist() == [0, -1]
    np.testing.assert_allclose(iou, [0.62, 0])


def test_detection_prefers_an_object_of_its_class_to_one_that_it_fits_better():
    objects, _ = match_boxes(found((HERE, 1, 0.9)), truth((HERE, 0), (LOW, 1)), 0.5, 0.1)
    assert objects.tolist() == [1]


def test_detection_takes_of_two_objects_of_its_class_the_one_that_it_fits_better():
    objects, _ = match_boxes(found((HERE, 1, 0.9)), truth((LOW, 1), (HERE, 1)), 0.5, 0.1)
    assert objects.tolist() == [1]


def test_score_at_the_threshold_does_not_count_as_on_the_device():
    objects, _ = match_boxes(found((HERE, 0, 0.5)), truth((HERE, 0)), 0.5, 0.5)
    assert objects.tolist() == [-1]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        # One of two objects is found: precision is 1 on the 51 recall points up to .50, then 0.
        ([(HERE, 0, 0.9)], 51 / 101),
        ([(HERE, 0, 0.9), (NOWHERE, 0, 0.8)], 51 / 101),  # a false alarm after it costs nothing
        ([(NOWHERE, 0, 0.9), (HERE, 0, 0.8)], 51 / 101 / 2),  # before it, it halves the precision
        ([(HERE, 0, 0.9), (THERE, 0, 0.8)], 1),
        ([(HERE, 0, 0.9), (HERE, 0, 0.8), (THERE, 0, 0.7)], (51 + 50 * 2 / 3) / 101),  # a duplicate is false
        ([(HERE, 1, 0.9)], 0),
        ([], 0),
    ],
)
def test_average_precision_of_one_class_with_two_objects(detections, expected):
    average = average_precision([found(*detections)], [truth((HERE, 0), (THERE, 0))], 2)
    assert average.per_class[0] == pytest.approx(expected)
    assert [average.map, average.map50, average.map75] == pytest.approx([expected] * 3)


def test_average_precision_over_two_photos_and_three_classes():
    detections = [found((HERE, 1, 0.9), (HERE, 0, 0.8)), found((THERE, 1, 0.5), (HERE, 2, 0.4))]
    truths = [truth((HERE, 0)), truth((THERE, 1))]
    average = average_precision(detections, truths, 3)
    # Class 0 is found at once; class 1 after a false alarm on the other photo; class 2 has no object.
    np.testing.assert_allclose(average.per_class, [1, 0.5, np.nan])
    assert average.map == pytest.approx(0.75)
    np.testing.assert_allclose(average.recall, np.arange(101) / 100)
    np.testing.assert_allclose(average.precision, np.full(101, 0.75))


def test_box_that_fits_loosely_counts_at_low_iou_thresholds_only():
    average = average_precision([found((LOW, 0, 0.9))], [truth((HERE, 0))], 1)
    assert (average.map50, average.map75) == (pytest.approx(1), pytest.approx(0))
    assert average.map == pytest.approx(0.3)  # IoU .62 passes .50, .55 and .60 of ten


def test_average_precision_of_photos_without_objects_is_unknown():
    average = average_precision([found((HERE, 0, 0.9))], [truth()], 2)
    assert np.isnan([average.map, average.map50, average.map75, *average.per_class]).all()
    assert np.isnan(average.precision).all()


def test_average_precision_prints_nothing(capsys):
    average_precision([found((HERE, 0, 0.9))], [truth((HERE, 0))], 1)
    assert capsys.readouterr() == ("", "")


def test_accuracy_is_the_share_of_detections_on_objects_that_name_them_right():
    detections = [
        found((LOW, 0, 0.9), (THERE, 1, 0.8), (NOWHERE, 0, 0.7)),  # right, right, on nothing
        found((HERE, 2, 0.9), (THERE, 1, 0.3)),  # wrong, and right but too weak
    ]
    truths = [truth((HERE, 0), (THERE, 1)), truth((HERE, 0), (THERE, 1))]
    agreement = accuracy_and_iou(detections, truths, 0.6, 0.5)
    assert (agreement.right, agreement.wrong) == (2, 1)
    assert agreement.accuracy == pytest.approx(2 / 3)
    assert agreement.mean_iou == pytest.approx((0.62 + 1) / 2)


def test_accuracy_of_a_detector_that_finds_nothing_is_zero():
    agreement = accuracy_and_iou([found()], [truth((HERE, 0))], 0.6, 0.5)
    assert (agreement.accuracy, agreement.mean_iou, agreement.right, agreement.wrong) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("detections", "objects", "cells"),
    [
        ([(HERE, 1, 0.9)], [(HERE, 1)], {(1, 1): 1}),
        ([(HERE, 2, 0.9)], [(HERE, 1)], {(2, 1): 1}),  # predicted 2, actual 1
        ([], [(HERE, 1)], {(3, 1): 1}),  # missed
        ([(HERE, 1, 0.9)], [], {(1, 3): 1}),  # nothing there
        ([(HERE, 1, 0.5)], [(HERE, 1)], {(3, 1): 1}),  # too weak
        ([(LOW, 1, 0.9)], [(HERE, 1)], {(1, 3): 1, (3, 1): 1}),  # IoU .62 is below .7
        ([(HERE, 1, 0.9), (HERE, 1, 0.8)], [(HERE, 1)], {(1, 1): 1, (1, 3): 1}),  # a duplicate
        ([(HERE, 2, 0.9), (HERE, 1, 0.8)], [(HERE, 1)], {(2, 1): 1, (1, 3): 1}),  # the better score decides
        ([(HERE, 0, 0.9), (THERE, 2, 0.8)], [(THERE, 2), (HERE, 0)], {(0, 0): 1, (2, 2): 1}),
        ([], [], {}),
    ],
)
def test_confusion_of_one_photo(detections, objects, cells):
    matrix = confusion_matrix([found(*detections)], [truth(*objects)], 3, 0.7, 0.5)
    expected = np.zeros((4, 4), dtype=np.int64)
    for cell, count in cells.items():
        expected[cell] = count
    np.testing.assert_array_equal(matrix, expected)


def test_confusion_counts_every_photo_and_more_objects_than_a_card_has():
    boxes = [([20 * k, 0, 20 * k + 10, 10], 0) for k in range(9)]
    detections = [found((HERE, 0, 0.9)), found(), found(*[(box, 0, 0.9) for box, _ in boxes])]
    matrix = confusion_matrix(detections, [truth((HERE, 0)), truth((HERE, 1)), truth(*boxes)], 2, 0.6, 0.5)
    np.testing.assert_array_equal(matrix, [[10, 0, 0], [0, 0, 0], [0, 1, 0]])


def test_quality_ranks_photos_and_counts_alarms_misses_and_fit():
    truths = [truth((HERE, 0), (THERE, 1))] * 4 + [truth()] * 2
    detections = [
        found((HERE, 0, 0.9), (THERE, 1, 0.9)),
        found((LOW, 0, 0.9), (THERE, 1, 0.9)),
        found((HERE, 0, 0.9), (THERE, 2, 0.9), (NOWHERE, 1, 0.9)),  # 1 of (3 detections + 2 objects) / 2
        found(),
        found(),
        found((HERE, 0, 0.9)),
    ]
    quality = photo_quality(detections, truths, 0.6, 0.5)
    np.testing.assert_allclose(quality, [1, 0.81, 0.4, 0, 1, 0], rtol=1e-6)


def test_inputs_stay_as_they_were():
    detections, truths = found((LOW, 0, 0.9), (THERE, 1, 0.8)), truth((HERE, 0), (THERE, 1))
    before = [array.copy() for array in (*detections, *truths)]
    average_precision([detections], [truths], 2)
    confusion_matrix([detections], [truths], 2, 0.5, 0.5)
    for array, copy in zip((*detections, *truths), before, strict=True):
        np.testing.assert_array_equal(array, copy)
