import math

import pytest
import torch

from dobble.detector.loss import BOX_WEIGHT, match_anchors, multibox_loss

ANCHORS = torch.tensor(
    [
        [0.0, 0.0, 0.4, 0.4],
        [0.1, 0.0, 0.5, 0.4],
        [0.5, 0.5, 0.9, 0.9],
        [0.0, 0.5, 0.2, 0.7],
        [0.6, 0.0, 0.8, 0.2],
    ]
)
NOTHING = [0.0, 0.0, 0.0, 0.0]


def boxes(*photos):
    return torch.tensor(photos)


def surely(*classes, of=3):
    """Logits [1, A, of] that leave no doubt."""
    logits = torch.zeros(1, len(classes), of)
    for anchor, number in enumerate(classes):
        logits[0, anchor, number] = 50
    return logits


def test_anchor_takes_a_box_from_an_overlap_of_a_half():
    # IoU of the box with anchor 0 is .75; with anchor 1 it is .2 * .4 / (.16 + .12 - .08) = .4.
    assert match_anchors(boxes([[0.0, 0.0, 0.3, 0.4]]), ANCHORS).tolist() == [[0, -1, -1, -1, -1]]


def test_several_anchors_take_the_same_box():
    # The box lies between anchors 0 and 1: .35 * .4 / (.16 + .16 - .14) = .78 with both.
    assert match_anchors(boxes([[0.05, 0.0, 0.45, 0.4]]), ANCHORS).tolist() == [[0, 0, -1, -1, -1]]


def test_box_without_a_good_anchor_takes_its_best_one():
    # The box fills a quarter of anchor 2 and meets no other.
    assert match_anchors(boxes([[0.5, 0.5, 0.7, 0.7]]), ANCHORS).tolist() == [[-1, -1, 0, -1, -1]]


def test_box_takes_its_best_anchor_even_from_a_box_that_fits_it_better():
    whole, small = [0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.6, 0.6]
    assert match_anchors(boxes([whole, small]), ANCHORS)[0, 2] == 1


def test_anchor_of_two_boxes_takes_the_one_of_more_overlap():
    first, second = [0.0, 0.0, 0.4, 0.3], [0.0, 0.0, 0.4, 0.39]
    anchors = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.3]])
    assert match_anchors(boxes([first, second]), anchors).tolist() == [[1, 0]]


def test_padding_takes_no_anchor_and_moves_no_index():
    photo, full = [NOTHING, [0.0, 0.0, 0.4, 0.4], NOTHING], [[0.5, 0.5, 0.9, 0.9], NOTHING, NOTHING]
    # The first photo's box overlaps anchor 1 by .3 * .4 / .2 = .6 too.
    assert match_anchors(boxes(photo, full), ANCHORS).tolist() == [[1, 1, -1, -1, -1], [-1, -1, 0, -1, -1]]


def test_perfect_answer_costs_nothing():
    box_loss, class_loss = multibox_loss(
        surely(0, 0, 2, 0, 0),
        torch.zeros(1, 5, 4),
        boxes([[0.5, 0.5, 0.9, 0.9]]),
        torch.tensor([[2]]),
        ANCHORS,
    )
    assert float(box_loss) == pytest.approx(0, abs=1e-5)
    assert float(class_loss) == pytest.approx(0, abs=1e-6)


def test_box_loss_is_the_weighted_giou_of_the_matched_anchors():
    box_loss, _ = multibox_loss(
        surely(0, 0, 1, 0, 0),
        torch.zeros(1, 5, 4),
        boxes([[0.5, 0.5, 0.7, 0.7]]),
        torch.tensor([[1]]),
        ANCHORS,
    )
    # The answer is anchor 2 itself: IoU .04 / .16, and the box around both is anchor 2, so GIoU is IoU.
    assert float(box_loss) == pytest.approx(BOX_WEIGHT * (1 - 0.25), abs=1e-5)


def test_giou_still_tells_boxes_apart_that_do_not_meet():
    far = torch.zeros(1, 5, 4)
    far[0, 2, 0] = -10  # one anchor's width to the left: SSD's factor is 10
    box_loss, _ = multibox_loss(
        surely(0, 0, 1, 0, 0), far, boxes([[0.5, 0.5, 0.9, 0.9]]), torch.tensor([[1]]), ANCHORS
    )
    # [.1, .5, .5, .9] beside [.5, .5, .9, .9]: IoU 0, and the box around both is full: GIoU 0.
    assert float(box_loss) == pytest.approx(BOX_WEIGHT * 1, abs=1e-5)
    far[0, 2, 0] = -30
    box_loss, _ = multibox_loss(
        surely(0, 0, 1, 0, 0), far, boxes([[0.5, 0.5, 0.9, 0.9]]), torch.tensor([[1]]), ANCHORS
    )
    # Three widths away half of the box around both is empty: GIoU -1/2.
    assert float(box_loss) == pytest.approx(BOX_WEIGHT * 1.5, abs=1e-5)


def test_class_loss_counts_the_symbol_and_the_three_anchors_least_like_background():
    anchors = torch.tensor([[x / 10, 0.0, x / 10 + 0.1, 0.1] for x in range(8)])
    odds = torch.tensor([3.0, 1, 7, 2, 9, 0.5, 4, 5])  # of the symbol against the background
    logits = torch.stack([torch.zeros(8), odds.log()], 1)[None]
    truth = boxes([[0.0, 0.0, 0.1, 0.1]])
    _, class_loss = multibox_loss(logits, torch.zeros(1, 8, 4), truth, torch.tensor([[1]]), anchors)
    # Anchor 0 is the symbol, -log(3 / 4); background with odds 9, 7 and 5 against it, -log(1 / 10) and so on.
    assert float(class_loss) == pytest.approx(math.log(4 / 3) + math.log(10 * 8 * 6), rel=1e-5)


def test_losses_are_shares_of_all_matched_anchors_of_the_batch():
    logits = torch.zeros(2, 5, 3)
    logits[..., 1] = torch.arange(10).view(2, 5) * 0.1
    one, two = [[0.5, 0.5, 0.9, 0.9], NOTHING], [[0.0, 0.5, 0.2, 0.7], [0.6, 0.0, 0.8, 0.2]]
    labels = torch.tensor([[1, 0], [2, 1]])
    _, class_loss = multibox_loss(logits, torch.zeros(2, 5, 4), boxes(one, two), labels, ANCHORS)
    chance = logits.softmax(-1).double()
    # Photo 0 has one symbol and takes the highest three of its background anchors 0, 1, 3, 4; photo 1 has two
    # symbols, would take six, and has three.
    right = [chance[0, 2, 1], chance[0, 4, 0], chance[0, 3, 0], chance[0, 1, 0]]
    right += [chance[1, 3, 2], chance[1, 4, 1], chance[1, 0, 0], chance[1, 1, 0], chance[1, 2, 0]]
    assert float(class_loss) == pytest.approx(sum(-math.log(value) for value in right) / 3, rel=1e-5)


def test_photo_without_symbols_teaches_what_is_background():
    odds = torch.tensor([1.0, 3, 7, 1, 9])  # of a symbol against the background, in two classes
    logits = torch.stack([torch.zeros(5), (odds / 2).log(), (odds / 2).log()], 1)[None].requires_grad_()
    deltas = torch.randn(1, 5, 4, requires_grad=True)
    box_loss, class_loss = multibox_loss(
        logits, deltas, torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.int64), ANCHORS
    )
    assert float(box_loss.detach()) == 0
    # All five anchors are background, log(1 + odds) each, and the photo stands for eight matched anchors.
    assert float(class_loss.detach()) == pytest.approx(math.log(2 * 4 * 8 * 2 * 10) / 8, rel=1e-5)
    torch.autograd.backward(box_loss + class_loss)
    assert (logits.grad[..., 0] < 0).all()
    assert torch.equal(deltas.grad, torch.zeros_like(deltas))


def test_photo_without_symbols_weighs_as_one_with_eight_matched_anchors():
    anchors = torch.tensor([[x / 40, 0.0, x / 40 + 0.025, 0.025] for x in range(40)])
    full, empty = [[0.0, 0.0, 0.025, 0.025]], [NOTHING]
    logits = torch.zeros(2, 40, 2)
    logits[..., 1] = torch.arange(40) * 1e-5  # no two anchors alike, and each as good as a coin's toss
    _, class_loss = multibox_loss(
        logits, torch.zeros(2, 40, 4), boxes(full, empty), torch.tensor([[1], [0]]), anchors
    )
    # log(2) for each of 1 + 3 and of 3 * 8 anchors, over 1 + 8 matched ones.
    assert float(class_loss) == pytest.approx((4 + 24) * math.log(2) / 9, rel=1e-3)


def test_loss_pulls_the_boxes_and_the_classes_of_matched_anchors():
    logits, deltas = torch.zeros(1, 5, 3, requires_grad=True), torch.zeros(1, 5, 4, requires_grad=True)
    truth = boxes([[0.55, 0.5, 0.9, 0.9]])
    torch.autograd.backward(sum(multibox_loss(logits, deltas, truth, torch.tensor([[2]]), ANCHORS)))
    assert float(deltas.grad[0, 2, 0]) < 0  # the box's centre lies to the right: the delta must grow
    assert float(deltas.grad[0, 2, 2]) > 0  # and it is narrower
    assert float(logits.grad[0, 2, 2]) < 0
    assert torch.equal(deltas.grad[0, [0, 1, 3, 4]], torch.zeros(4, 4))
