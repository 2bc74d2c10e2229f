"""Draws what was seen and what it means on copies of the pictures: cards, and the symbol that they share."""

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.play.cards import Card
from jetson.play.game import Match

FONT = cv2.FONT_HERSHEY_DUPLEX
WHITE, INK, PAPER = (255, 255, 255), (40, 32, 28), (246, 242, 240)
ANSWER, SILENCE = (72, 150, 40), (60, 76, 205)  # green and red, in BGR


def draw_match(
    first_image: Array, second_image: Array, match: Match, labels: Sequence[str], height: int = 480
) -> Array:
    """Return both cards side by side under a banner with the answer, or with why there is none.

    Args:
        first_image: uint8 [H, W, 3] BGR.
        second_image: the same for the other card.
        match: from `game.play` on their readings.
        labels: names of the symbols.
        height: to which both cards are scaled, in pixels.
    """
    sides = []
    for number, image in enumerate((first_image, second_image)):
        scale = height / float(image.shape[0])
        size = (max(1, round(image.shape[1] * scale)), height)
        side = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if match.no_answer is None:
            _box(side, match.boxes[number] * scale, labels[match.symbol])
        sides.append(side)
    gap = np.full((height, max(4, height // 60), 3), PAPER, np.uint8)
    cards = np.hstack([sides[0], gap, sides[1]])
    return np.vstack([_banner(cards.shape[1], max(48, height // 6), *_words(match, labels)), cards])


def draw_table(
    frame: Array,
    cards: Sequence[Card],
    match: Optional[Match],
    labels: Sequence[str],
    no_answer: Optional[str] = None,
) -> Array:
    """Return a copy of a frame with its cards outlined and, under a banner, what two of them share.

    Args:
        frame: uint8 [H, W, 3] BGR.
        cards: from `find_cards`.
        match: of two of the cards, boxes in pixels of the frame, or None while there are not two.
        labels: names of the symbols.
        no_answer: what the banner says without a match; without either there is no banner.
    """
    picture = frame.copy()
    for card in cards:
        left, top, right, bottom = (round(float(value)) for value in card.box)
        cv2.rectangle(picture, (left, top), (right, bottom), WHITE, _line(picture), cv2.LINE_AA)
    if match is None and no_answer is None:
        return picture
    if match is not None and match.no_answer is None:
        for box in match.boxes:
            _box(picture, box, labels[match.symbol])
    words = (None, no_answer or "") if match is None else _words(match, labels)
    return np.vstack([_banner(picture.shape[1], max(40, picture.shape[0] // 10), *words), picture])


def _line(picture: Array) -> int:
    return max(1, round(min(picture.shape[:2]) / 240.0))


def _box(picture: Array, box: Array, text: str) -> None:
    """Draw a box in place, its name on a plate: above it, or inside where there is no room."""
    height, width = picture.shape[:2]
    left, top, right, bottom = (round(float(value)) for value in box)
    line = 2 * _line(picture)
    cv2.rectangle(picture, (left, top), (right, bottom), WHITE, line + 2, cv2.LINE_AA)
    cv2.rectangle(picture, (left, top), (right, bottom), ANSWER, line, cv2.LINE_AA)
    scale = max(0.35, min(height, width) / 900.0)
    (text_width, text_height), drop = cv2.getTextSize(text, FONT, scale, 1)
    margin = max(2, text_height // 3)
    plate_width, plate_height = text_width + 2 * margin, text_height + drop + margin
    x = min(max(left - line // 2, 0), max(width - plate_width, 0))
    y = top - plate_height if top >= plate_height else min(top, height - plate_height)
    cv2.rectangle(picture, (x, y), (x + plate_width, y + plate_height), ANSWER, -1)
    origin = (x + margin, y + plate_height - drop - margin // 2)
    cv2.putText(picture, text, origin, FONT, scale, WHITE, max(1, round(1.2 * scale)), cv2.LINE_AA)


def _words(match: Match, labels: Sequence[str]) -> Tuple[Optional[str], str]:
    """Return the answer, or None, and what else there is to say."""
    if match.no_answer is not None:
        return None, match.no_answer
    details = "{:.0f}%   then {} {:.0f}%".format(
        100 * match.probability, labels[match.runner_up], 100 * match.runner_up_probability
    )
    return labels[match.symbol], details


def _banner(width: int, height: int, answer: Optional[str], details: str) -> Array:
    """Return uint8 [height, width, 3]: the answer large, details small."""
    banner = np.full((height, width, 3), PAPER, np.uint8)
    banner[:, : max(4, height // 8)] = SILENCE if answer is None else ANSWER
    left = height // 4
    used = _write(banner, answer or "no answer", left, 0.42, 0.55 * width)
    _write(banner, details, left + used + height // 3, 0.22, width - 2 * left - used - height // 3)
    return banner


def _write(banner: Array, text: str, left: int, share: float, room: float) -> int:
    """Write a share of a banner high, smaller where room is short, and return the width in pixels."""
    (width, height), _ = cv2.getTextSize(text, FONT, 1, 1)
    scale = min(share * banner.shape[0] / height, max(room, 1) / width)
    baseline = round((banner.shape[0] + scale * height) / 2)
    cv2.putText(banner, text, (left, baseline), FONT, scale, INK, max(1, round(1.2 * scale)), cv2.LINE_AA)
    return round(scale * width)
