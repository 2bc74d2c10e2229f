"""SSD's multibox loss with GIoU boxes, a whole batch at once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from dobble.detector.network import decode_boxes

MATCH_IOU = 0.5
NEGATIVES_PER_POSITIVE = 3
WEIGHT_OF_EMPTY = 8
"""Positives for which a photo without symbols stands: about what a card's symbols match."""
BOX_WEIGHT = 2.0


def multibox_loss(
    logits: Tensor,
    deltas: Tensor,
    boxes: Tensor,
    labels: Tensor,
    anchors: Tensor,
    add_up: Callable[[Tensor], Tensor] = lambda count: count,
) -> tuple[Tensor, Tensor]:
    """Box and class loss of Liu et al., "SSD" (2016), with GIoU (Rezatofighi et al., 2019) for the boxes.

    Args:
        logits: float [B, A, C + 1], class 0 is the background.
        deltas: float [B, A, 4] against the anchors.
        boxes: float [B, G, 4] ground truth, xyxy as shares of the input; boxes without area are padding.
        labels: int [B, G] from 1 to C.
        anchors: float [A, 4], xyxy as shares of the input.
        add_up: adds the number of matched anchors in the other parts of the batch, where this is a part.

    Returns:
        Box loss and class loss, each a scalar summed over anchors and divided by the number of matched ones,
        so that the losses of a batch's parts add up to that of the batch. A photo without symbols counts as
        one with eight matched anchors: it teaches what is background.
    """
    matched = match_anchors(boxes, anchors)
    positive = matched >= 0
    photo = torch.arange(len(boxes), device=boxes.device)[:, None].expand_as(matched)[positive]
    truth = matched[positive]
    found = positive.sum(1)
    weight = torch.where(found > 0, found, WEIGHT_OF_EMPTY)
    count = max(1, int(add_up(weight.sum())))
    decoded = decode_boxes(deltas.float(), anchors)[positive]
    box_loss = BOX_WEIGHT * generalized_box_iou_loss(decoded, boxes[photo, truth], reduction="sum") / count
    target = torch.zeros_like(matched)
    target[positive] = labels[photo, truth]
    chosen = positive | _hard_negatives(logits, positive, weight)
    class_loss = F.cross_entropy(logits[chosen].float(), target[chosen], reduction="sum") / count
    return box_loss, class_loss


@torch.no_grad()
def match_anchors(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Index int64 [B, A] of each anchor's ground truth, -1 where it has none.

    An anchor takes the box of its best IoU if that is at least 0.5; besides, every box takes its best anchor.
    """
    overlap = box_iou(boxes.flatten(0, 1), anchors).view(*boxes.shape[:2], -1).nan_to_num(0)
    best, matched = overlap.max(1)
    matched = torch.where(best >= MATCH_IOU, matched, -1)
    real = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    photo, truth = torch.where(real)
    matched[photo, overlap.argmax(2)[photo, truth]] = truth
    return matched


@torch.no_grad()
def _hard_negatives(logits: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """The background anchors [B, A] that look least like background, three for each of the weight [B]."""
    surprise = torch.logsumexp(logits.float(), -1) - logits[..., 0].float()
    surprise = surprise.masked_fill(positive, -1)
    wanted = (NEGATIVES_PER_POSITIVE * weight).clamp(max=surprise.shape[1])
    threshold = surprise.sort(1, descending=True)[0].gather(1, wanted[:, None] - 1)
    return (surprise >= threshold) & ~positive
