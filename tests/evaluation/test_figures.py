import cv2
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dobble.detector.metrics import AveragePrecision, Truth
from dobble.evaluation.figures import (
    AMBER,
    BLUE,
    DOTS_PER_INCH,
    GREEN,
    RED,
    draw_class_precision,
    draw_confusion,
    draw_photo,
    draw_precision_recall,
    draw_reliability,
    draw_training,
    save_figure,
)
from dobble.evaluation.reliability import Reliability
from jetson.play.detect import Detections

NAMES = ["anchor", "$pi$ $", "<b>"]
MATRIX = np.array([[4, 0, 0, 0], [0, 2, 3, 0], [0, 0, 0, 1], [0, 2, 0, 0]])


def labels_of(ticks):
    return [tick.get_text() for tick in ticks]


def test_confusion_shows_errors_in_red_hits_in_green_and_the_rest_in_white():
    colours = draw_confusion(MATRIX, NAMES).axes[0].images[0].get_array()
    red, green, _ = np.moveaxis(np.asarray(colours), -1, 0)
    assert (green > red)[[0, 1], [0, 1]].all()
    assert (red > green)[[1, 2, 3], [2, 3, 1]].all()
    np.testing.assert_array_equal(colours[MATRIX == 0], 1.0)
    assert green[1, 2] < green[3, 1] < green[2, 3]  # more errors, deeper red


def test_confusion_names_its_axes_and_writes_every_count():
    axes = draw_confusion(MATRIX, NAMES).axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("predicted", "actual")
    assert labels_of(axes.get_yticklabels())[::3] == ["anchor", "missed"]
    assert labels_of(axes.get_xticklabels())[::3] == ["anchor", "nothing there"]
    written = {(text.get_position()[::-1], text.get_text()) for text in axes.texts}
    assert written == {((0, 0), "4"), ((1, 1), "2"), ((1, 2), "3"), ((2, 3), "1"), ((3, 1), "2")}


def test_confusion_of_a_whole_deck_is_large_enough_to_read():
    figure = draw_confusion(np.eye(58, dtype=np.int64), [f"symbol-{number}" for number in range(57)])
    assert (figure.get_size_inches() * DOTS_PER_INCH / 58 > 24).all()  # pixels for each cell


def test_training_leaves_out_epochs_that_were_not_evaluated():
    losses, precision = draw_training(
        {"loss": [3.0, 2.0, 1.0, 0.5]},
        {"mAP": [np.nan, 0.4, np.nan, 0.8], "mAP50": [np.nan, 0.6, np.nan, 1.0]},
    ).axes
    assert losses.lines[0].get_xydata().tolist() == [[1, 3], [2, 2], [3, 1], [4, 0.5]]
    assert precision.lines[0].get_xydata().tolist() == [[2, 0.4], [4, 0.8]]
    assert labels_of(precision.get_legend().get_texts()) == ["mAP", "mAP50"]


def test_reliability_shows_what_is_right_beside_what_is_shown_where_there_are_pairs():
    count = np.array([0, 0, 2, 0, 0, 0, 0, 0, 0, 6])
    confidence, accuracy = (np.full(10, np.nan) for _ in range(2))
    confidence[[2, 9]], accuracy[[2, 9]] = (0.25, 0.96), (0.5, 1.0)
    one = Reliability(count, confidence, accuracy, ece=0.0925, nll=0.3, answered=0.75, wrong=0.0)
    trust, often = draw_reliability({"joint": one}).axes
    honest, shown = trust.lines
    assert honest.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert shown.get_xydata().tolist() == [[0.25, 0.5], [0.96, 1.0]]
    assert [bar.get_height() for bar in often.patches] == count.tolist()
    assert labels_of(often.get_legend().get_texts()) == ["joint (ECE 0.092)"]


def test_class_precision_is_sorted_and_names_classes_without_objects():
    axes = draw_class_precision(np.array([0.25, np.nan, 0.75]), NAMES).axes[0]
    assert labels_of(axes.get_yticklabels())[:2] == ["<b>", "anchor"]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25, 0]
    assert [text.get_text() for text in axes.texts] == ["0.750", "0.250", "not in these photos"]
    assert axes.lines[0].get_xdata()[0] == 0.5  # the mean of the known ones


def test_precision_recall_draws_the_curve():
    recall = np.linspace(0, 1, 101)
    average = AveragePrecision(0.5, 0.5, 0.5, np.array([0.5]), recall, 1 - recall)
    line = draw_precision_recall(average).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), np.stack([recall, 1 - recall], axis=1))


def test_photo_shows_what_is_right_wrong_and_missed():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[..., 0] = 200  # blue in BGR
    truth = Truth(
        np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32), np.array([0, 1, 2])
    )
    detections = Detections(
        np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 9, 30]], np.float32),
        np.array([0.9, 0.8, 0.3], np.float32),
        np.array([0, 2, 1]),
    )
    figure = draw_photo(image, truth, detections, NAMES, iou_threshold=0.5, score_threshold=0.5)
    left, right = figure.axes
    assert left.images[0].get_array()[0, 0].tolist() == [0, 0, 200]  # RGB
    assert [to_hex(patch.get_edgecolor()) for patch in left.patches] == [BLUE] * 3
    drawn = {(patch.get_x(), patch.get_y()): to_hex(patch.get_edgecolor()) for patch in right.patches}
    assert drawn == {(0, 0): GREEN, (20, 0): RED, (40, 0): AMBER}
    assert right.get_title() == "detected: 1 right, 1 wrong, 1 missed"
    assert [text.get_text() for text in right.texts] == ["<b>", "<b> 0.80", "anchor 0.90"]


def test_photo_without_objects_and_detections_can_be_drawn(tmp_path):
    empty = np.zeros((0, 4), np.float32)
    nothing, unseen = np.zeros(0, np.int64), np.zeros(0, np.float32)
    figure = draw_photo(
        np.zeros((30, 30, 3), np.uint8),
        Truth(empty, nothing),
        Detections(empty, unseen, nothing),
        NAMES,
        iou_threshold=0.5,
        score_threshold=0.5,
    )
    save_figure(figure, tmp_path / "empty.png")
    assert cv2.imread(str(tmp_path / "empty.png")) is not None


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_confusion(MATRIX, NAMES),
        lambda: draw_training({"loss": [1.0]}, {"mAP": [np.nan]}),
        lambda: draw_training({}, {}),
        lambda: draw_class_precision(np.full(3, np.nan), NAMES),
    ],
)
def test_same_figure_gives_the_same_bytes_without_a_date_or_a_program_in_them(draw, tmp_path):
    for name in ("first.png", "second.png"):
        figure = draw()
        assert isinstance(figure, Figure)
        save_figure(figure, tmp_path / name)
    data = (tmp_path / "first.png").read_bytes()
    assert data == (tmp_path / "second.png").read_bytes()
    assert b"tEXt" not in data
    assert b"tIME" not in data
