import numpy as np
import pytest

from jetson.play.bundle import load_bundle
from jetson.play.cards import MARGIN, find_cards
from jetson.play.detect import Detector
from jetson.play.table import play_table, read_photo_of_card
from jetson.runners.runner import Runner

LEFT, MIDDLE, RIGHT = (250, 360, 300, 300, 0), (640, 360, 260, 256, 30), (1020, 330, 320, 316, 10)
PLACES = ((0.2, 0.3, 0.4, 0.6), (0.4, 0.1, 0.6, 0.3), (0.6, 0.5, 0.8, 0.7), (0.4, 0.6, 0.6, 0.9))
SIDE = 32  # of the input in the bundle that `write_bundle` makes


class Scripted(Runner):
    """Answers the pictures that it is given with one card after the other, then with none."""

    def __init__(self, *cards):
        self.cards = list(cards)
        self.batches = []

    def infer(self, batch):
        self.batches.append(batch)
        card = self.cards.pop(0) if self.cards else ()
        scores = np.full((4, 8), 0.01, np.float32)
        scores[:, 0] = 0.93
        boxes = np.array(PLACES, np.float32)
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
    side = MARGIN * card.axes[0]
    left, top = card.centre[0] - side / 2, card.centre[1] - side / 2
    assert reading.detections.labels.tolist() == list(fano[3])
    for number, symbol in enumerate(fano[3]):
        expected = [(left, top)[edge % 2] + side * PLACES[number][edge] for edge in range(4)]
        assert reading.detections.boxes[number] == pytest.approx(expected, abs=2)
        assert reading.evidence.boxes[symbol] == pytest.approx(expected, abs=2)


def test_a_photo_with_two_cards_is_read_as_a_whole(detector_of, draw_table, fano):
    detector = detector_of(fano[1], fano[5], fano[0])
    reading = read_photo_of_card(detector, draw_table([LEFT, RIGHT]))
    assert reading.detections.labels.tolist() == list(fano[0])
    # 1280 x 720 lies in the input of 32 x 32 as rows 7 to 25: the input's pixel is 40 of the photo's.
    assert reading.detections.boxes[0] == pytest.approx([256, 104, 512, 488], abs=1)


def test_a_photo_without_a_card_that_stands_out_is_read_as_a_whole(detector_of, draw_table):
    detector = detector_of()
    reading = read_photo_of_card(detector, draw_table([]))
    assert not len(reading.detections.labels)
    assert reading.evidence.boxes[0] == pytest.approx([256, 104, 512, 488], abs=1)


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
        reach = (MARGIN - 1) / 2 * card.axes[0]  # of the square that is read, beyond the card
        assert card.box[0] - reach < box[0] < box[2] < card.box[2] + reach
        assert card.box[1] - reach < box[1] < box[3] < card.box[3] + reach


def test_of_three_cards_every_pair_is_played_answers_first(detector_of, draw_table, fano):
    detector = detector_of(fano[0], (4,), fano[3])  # only one symbol is seen on the card in the middle
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
