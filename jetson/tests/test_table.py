import numpy as np
import pytest

from jetson.bundle import load_bundle
from jetson.cards import find_cards
from jetson.detect import Detector
from jetson.runners import Runner
from jetson.table import play_table, read_photo_of_card

LEFT, MIDDLE, RIGHT = (250, 360, 300, 300, 0), (640, 360, 260, 240, 30), (1020, 330, 320, 240, 10)
SIDE = 32  # of the input in the bundle that `write_bundle` makes


class Scripted(Runner):
    """Answers the pictures that it is given with one card after the other, in the middle of the input."""

    def __init__(self, *cards):
        self.cards = list(cards)
        self.batches = []

    def infer(self, batch):
        self.batches.append(batch)
        card = self.cards.pop(0)
        scores = np.full((4, 8), 0.01, np.float32)
        scores[:, 0] = 0.93
        boxes = np.tile(np.array([0.25, 0.25, 0.5, 0.75], np.float32), (4, 1))
        for row, symbol in enumerate(card):
            scores[row, 0], scores[row, 1 + symbol] = 0.04, 0.9
        return scores, boxes


@pytest.fixture
def detector_of(write_bundle):
    """Return a function that makes a detector which sees the given cards, one a picture."""

    def make(*cards, **changes):
        return Detector(load_bundle(write_bundle(**changes)), Scripted(*cards))

    return make


def test_a_lone_card_is_cut_out_and_its_boxes_lead_back_to_the_photo(detector_of, draw_table, fano):
    image = draw_table([RIGHT])
    (card,) = find_cards(image)
    detector = detector_of(fano[3])
    reading = read_photo_of_card(detector, image)
    side = 1.12 * card.axes[0]
    left, top = card.centre[0] - side / 2, card.centre[1] - side / 2
    expected = [left + side / 4, top + side / 4, left + side / 2, top + 3 * side / 4]
    assert sorted(reading.detections.labels) == list(fano[3])
    for box in reading.detections.boxes:
        assert box == pytest.approx(expected, abs=2)
    assert reading.evidence.boxes[fano[3][0]] == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("cards", [[], [LEFT, RIGHT]])
def test_a_photo_without_one_clear_card_is_read_as_a_whole(detector_of, draw_table, fano, cards):
    detector = detector_of(fano[0])
    reading = read_photo_of_card(detector, draw_table(cards))
    assert len(detector.runner.batches) == 1
    # 1280 x 720 lies in the input of 32 x 32 as rows 7 to 25: half of it is 640 wide, and all 720 high.
    assert reading.detections.boxes[0] == pytest.approx([320, 40, 640, 680], abs=1)


def test_two_cards_are_played_from_left_to_right(detector_of, draw_table, fano):
    table = play_table(detector_of(fano[1], fano[5]), draw_table([RIGHT, LEFT]))
    assert [round(card.centre[0], -1) for card in table.cards] == [250, 1020]
    assert [sorted(reading.detections.labels) for reading in table.readings] == [
        list(fano[1]),
        list(fano[5]),
    ]
    (only,) = table.rounds
    assert (only.first, only.second, table.no_answer) == (0, 1, None)
    assert only.match.no_answer is None
    assert only.match.symbol == 3  # the symbol of both (0, 3, 4) and (2, 3, 6)
    for number, box in enumerate(only.match.boxes):
        card = table.cards[number]
        assert card.box[0] < box[0] < box[2] < card.box[2]
        assert card.box[1] < box[1] < box[3] < card.box[3]


def test_of_three_cards_every_pair_is_played_answers_first(detector_of, draw_table, fano):
    detector = detector_of(fano[0], (), fano[3])  # nothing is seen on the card in the middle
    table = play_table(detector, draw_table([LEFT, MIDDLE, RIGHT]))
    assert len(table.cards) == 3
    assert sorted((played.first, played.second) for played in table.rounds) == [(0, 1), (0, 2), (1, 2)]
    best = table.rounds[0]
    assert (best.first, best.second, best.match.symbol) == (0, 2, 1)  # of (0, 1, 2) and (1, 3, 5)
    assert [played.match.no_answer is None for played in table.rounds] == [True, False, False]


@pytest.mark.parametrize(
    ("cards", "reason"), [([], "no card found: lay two"), ([LEFT], "one card only found: lay two")]
)
def test_fewer_than_two_cards_are_no_game(detector_of, draw_table, fano, cards, reason):
    table = play_table(detector_of(*fano[: len(cards)]), draw_table(cards))
    assert table.no_answer.startswith(reason)
    assert table.rounds == []
    assert len(table.cards) == len(table.readings) == len(cards)


def test_the_network_sees_the_card_and_not_the_table(detector_of, draw_table, fano):
    detector = detector_of(fano[0])
    read_photo_of_card(detector, draw_table([LEFT], colour=(10, 10, 10)))
    (batch,) = detector.runner.batches
    assert batch.shape == (1, 3, SIDE, SIDE)
    assert batch[0, :, 4, SIDE // 2].mean() > 0.5  # paper near the upper edge
    assert batch[0, :, 0, 0].mean() < -0.5  # the table only in the corners
