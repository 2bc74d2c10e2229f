"""Finds the round cards that lie apart on a table darker than paper, and cuts each out as a square."""

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array

SIDE = 320  # pixels of the longer side of the small picture that is searched
LEVELS = (
    80,
    100,
    120,
    140,
    160,
    180,
    200,
    215,
    230,
    242,
)  # some brightness among these parts paper from table
BRIGHTEST = 0.01  # share of the pixels that is taken for white
SMALLEST, LARGEST = 0.008, 0.9  # area of a card, as a share of the picture
CONVEX = 0.8  # area of a card's outline to that of its hull: symbols at the edge, thumbs and glare nibble
ROUND = 0.5  # short to long axis: seen from 30 degrees above the table or more
MISFIT = 0.05  # of the hull's area to that of the ellipse fitted to it
ROUGH = 0.015  # how far the hull's corners lie from that ellipse, in radii, root of the mean square
BEYOND = 0.5  # pixels of the small picture by which the ellipse may leave it
CORNERS = 8  # of the hull, at least
PERFECT = 0.97  # quality of an outline that other levels need not better
PAPER = 0.5  # share of a card that is brighter than the level, and share that is not colourful
MARGIN = 1.3  # side of the square that is cut out, to the card's diameter
ROUNDED = 0.97  # short to long axis below which a card is made round before it is read
COLOURFUL = 90  # brightest minus darkest channel of a pixel; paper and most print stay below


Box = Tuple[float, float, float, float]


class Card(NamedTuple):
    """A card on the table, in pixels of the picture.

    Attributes:
        box: left, top, right, bottom of its outline.
        centre: x, y.
        axes: the long and the short diameter of its ellipse.
        quality: 1 for a perfect ellipse, less the worse the outline fits.
        angle: degrees by which the long axis is turned clockwise from the picture's x.
    """

    box: Box
    centre: Tuple[float, float]
    axes: Tuple[float, float]
    quality: float
    angle: float = 0.0


class Crop(NamedTuple):
    """A card cut out.

    Attributes:
        image: uint8 [S, S, 3].
        matrix: float64 [2, 2], from the crop's pixels to the picture's, and
        shift: float64 [2], what is added then.
        size: width and height of the picture.
    """

    image: Array
    matrix: Array
    shift: Array
    size: Tuple[int, int]

    def to_picture(self, boxes: Array) -> Array:
        """Map float [N, 4] xyxy in pixels of the crop to float32 boxes around them, within the picture."""
        limit = np.array(self.size * 2, np.float32)
        inside: Array = np.minimum(np.maximum(_moved(boxes, self.matrix, self.shift), 0), limit)
        return inside

    def resized(self, image: Array) -> "Crop":
        """Return the same crop with its image at another size, uint8 [H, W, 3]."""
        scale = np.array(self.image.shape[1::-1]) / np.array(image.shape[1::-1], np.float64)
        return Crop(image, self.matrix * scale, self.shift, self.size)

    def from_picture(self, boxes: Array) -> Array:
        """Map float [N, 4] xyxy in pixels of the picture to float32 boxes around them in the crop."""
        back = np.linalg.inv(self.matrix)
        return _moved(boxes, back, -back.dot(self.shift))


def find_cards(image: Array) -> List[Card]:
    """Find whole, separate cards on uint8 [H, W, 3] BGR, best outline first.

    Touching or overlapping cards, cards cut by the border and cards on a table as white as paper are
    not found.
    """
    scale = min(1.0, SIDE / float(max(image.shape[:2])))
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
    planes = [cv2.blur(_balance(plane), (3, 3)) for plane in cv2.split(small)]
    # A coloured light or a coloured table separates from paper in one of the two, hardly ever in both.
    darkest, brightest = cv2.min(cv2.min(*planes[:2]), planes[2]), cv2.max(cv2.max(*planes[:2]), planes[2])
    pale = cv2.threshold(cv2.subtract(brightest, darkest), COLOURFUL, 1, cv2.THRESH_BINARY_INV)[1]
    found: List[Card] = []
    for plane in (darkest, brightest):
        for level in _telling_levels(plane):
            found += _cards_above(plane, level, pale, found)
    cards: List[Card] = []
    for card in sorted(found, key=lambda card: -card.quality):
        if all(_apart(card, other) for other in cards):
            cards.append(card)
    scale_x, scale_y = image.shape[1] / float(width), image.shape[0] / float(height)
    return [scale_card(card, scale_x, scale_y) for card in cards]


def crop_card(image: Array, card: Card, margin: float = MARGIN) -> Crop:
    """Cut a card out of uint8 [H, W, 3] as a square around its centre; beyond the border, edges repeat.

    A card seen from the side is made round again, without being turned.

    Args:
        image: the picture that the card was found in.
        card: from `find_cards`.
        margin: side of the square to the card's long axis.
    """
    long, short = card.axes
    side = max(1, round(margin * long))
    if short < ROUNDED * long:
        return _rounded(image, card, side)
    left, top = round(card.centre[0] - side / 2.0), round(card.centre[1] - side / 2.0)
    height, width = image.shape[:2]
    beyond = [max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width)]
    window = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if any(beyond):
        window = cv2.copyMakeBorder(window, beyond[0], beyond[1], beyond[2], beyond[3], cv2.BORDER_REPLICATE)
    return Crop(np.ascontiguousarray(window), np.eye(2), np.array([left, top], np.float64), (width, height))


def frame_card(image: Array) -> Crop:
    """Cut out the one card that stands out on a photo; where there is not exactly one, all of it is taken."""
    cards = find_cards(image)
    return crop_card(image, cards[0]) if len(cards) == 1 else whole(image)


def whole(image: Array) -> Crop:
    """Return a picture uint8 [H, W, 3] that is a card, or to be read as one, as a crop of itself."""
    return Crop(image, np.eye(2), np.zeros(2), (image.shape[1], image.shape[0]))


def _rounded(image: Array, card: Card, side: int) -> Crop:
    turn = np.deg2rad(card.angle)
    axis = np.array([-np.sin(turn), np.cos(turn)])  # the short one
    matrix = np.eye(2) + (card.axes[1] / card.axes[0] - 1) * np.outer(axis, axis)
    shift = np.array(card.centre) - matrix.dot([side / 2.0, side / 2.0])
    # OpenCV counts from the centres of pixels, which lie at 0.5.
    centres = shift + matrix.dot([0.5, 0.5]) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(
        image, np.column_stack([matrix, centres]), (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return Crop(view, matrix, shift, (image.shape[1], image.shape[0]))


def _moved(boxes: Array, matrix: Array, shift: Array) -> Array:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).dot(np.abs(matrix).T)
    middle = middle.dot(matrix.T) + shift
    moved: Array = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
    return moved


def _balance(plane: Array) -> Array:
    """Stretch one channel so that the brightest 1 % of uint8 [H, W] becomes white."""
    darker = _cumulated(plane)
    white = max(1, int(np.searchsorted(darker, (1 - BRIGHTEST) * plane.size)))
    table = np.minimum(np.arange(256) * (255.0 / white), 255).astype(np.uint8)
    balanced: Array = cv2.LUT(plane, table)
    return balanced


def _cumulated(plane: Array) -> Array:
    """Return [256], how many pixels are as dark as each value or darker."""
    return np.cumsum(cv2.calcHist([plane], [0], None, [256], [0, 256]))


def _telling_levels(plane: Array) -> List[int]:
    """Return the levels whose masks differ from the level's below and are neither too small nor too full."""
    above = plane.size - _cumulated(plane)
    levels: List[int] = []
    before = plane.size
    for level in LEVELS:
        if SMALLEST * PAPER * plane.size < above[level] < before:
            levels.append(level)
        before = above[level]
    return levels


def _cards_above(plane: Array, level: int, pale: Array, known: List[Card]) -> List[Card]:
    mask = cv2.threshold(plane, level, 1, cv2.THRESH_BINARY)[1]
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours = cv2.findContours(mask.copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[-2]
    perfect = [card.box for card in known if card.quality > PERFECT]
    cards = [_card(contour, mask, pale, perfect) for contour in contours if len(contour) >= CORNERS]
    return [card for card in cards if card is not None]


def _card(contour: Array, mask: Array, pale: Array, perfect: List[Box]) -> Optional[Card]:
    """Return the card that a contour outlines, or None; the cheap tests come first."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(contour)
    if w * h < SMALLEST * mask.size or any(_near((x, y, x + w, y + h), box) for box in perfect):
        return None
    area = cv2.contourArea(contour)
    hull = cv2.convexHull(contour)
    hull_area = cv2.contourArea(hull)
    sized = SMALLEST * mask.size < area < LARGEST * mask.size
    if not sized or len(hull) < CORNERS or area < CONVEX * hull_area:
        return None
    centre, axes, angle = cv2.fitEllipse(hull)
    short, long = min(axes), max(axes)
    misfit = abs(1 - hull_area / (np.pi * short * long / 4))
    if short < ROUND * long or misfit > MISFIT:
        return None
    turn = np.deg2rad(angle)
    # To the ellipse's own axes, in which it is the unit circle.
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    rough = np.hypot(*((hull[:, 0] - centre).dot(turned) * 2 / axes).T) - 1
    reach = np.hypot(*(turned * axes).T / 2)
    farthest = np.array([width, height]) - 1 + BEYOND
    cut = np.any(centre - reach < -BEYOND) or np.any(centre + reach > farthest)
    if cut or np.sqrt(np.mean(rough**2)) > ROUGH:
        return None
    disc = np.zeros((h, w), np.uint8)
    cv2.drawContours(disc, [contour], -1, (1,), -1, offset=(-x, -y))
    window = (slice(y, y + h), slice(x, x + w))
    if min(cv2.mean(mask[window], disc)[0], cv2.mean(pale[window], disc)[0]) < PAPER:
        return None
    quality = area / hull_area - misfit
    # The centre of pixel 0 lies at 0.5 in continuous coordinates, and OpenCV counts from pixel centres.
    turned_by = angle if axes[0] == long else angle + 90
    return Card((x, y, x + w, y + h), (centre[0] + 0.5, centre[1] + 0.5), (long, short), quality, turned_by)


def _near(box: Box, other: Box) -> bool:
    return all(abs(box[side] - other[side]) <= 1 for side in range(4))


def _apart(card: Card, other: Card) -> bool:
    distance = np.hypot(card.centre[0] - other.centre[0], card.centre[1] - other.centre[1])
    return bool(distance > 0.5 * max(card.axes[1], other.axes[1]))


def scale_card(card: Card, scale_x: float, scale_y: float) -> Card:
    """Return the card on a picture that is so many times wider and higher."""
    left, top, right, bottom = card.box
    return Card(
        box=(left * scale_x, top * scale_y, right * scale_x, bottom * scale_y),
        centre=(card.centre[0] * scale_x, card.centre[1] * scale_y),
        axes=(card.axes[0] * scale_x, card.axes[1] * scale_x),
        quality=card.quality,
        angle=card.angle,
    )
