"""Turns a picture of a table into its cards and what is read on them: a card is what reads as one."""

from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.play.cards import Card, Crop, crop_card, find_cards, scale_card
from jetson.play.detect import CardReading, Detector, Evidence
from jetson.play.ellipses import FLATTENED, ROUND, follow_cards, propose_cards

SEARCHED = 1280  # pixels of the longer side are enough to find cards, not to read them
PLAYABLE = 2  # cards: with fewer there is no game
LOOKS = 40  # at places of which most are no cards, in a picture
LIKELY = 0.5  # quality of an ellipse
FRUITLESS, CONTENT = 16, 4  # looks in a row after which the rest is not worth one, and where there is a game
FIRST, READ = (
    0.72,
    0.55,
)  # of a card's symbols must be seen without a clear outline: on an empty table, beside others
OUTLINED = 0.25  # where one does
HINT, SURE = 0.25, 0.85  # of its symbols: between them a better place for the card is looked for
TOGETHER = 2  # places are read at the same time, where the runtime can
MOVES, WORTH = 3, 0.03  # at most, and what each must bring
BORDER = 1.05  # of a card to the circle about its symbols
TILES = (0.45, 0.3, 0.2)  # diameters of cards, in widths of the picture
SAME_PLACE = 0.5  # IoU of two boxes above which they are of one symbol on the card
WEAK = 0.05  # a symbol less probable than that is not there
OUTSIDE = 1.15  # radii from the card's middle, beyond which no symbol lies
APART = 0.62  # of both radii together: cards may overlap so far


class Seen(NamedTuple):
    """A card and what is read on it, boxes in pixels of the whole picture."""

    card: Card
    reading: CardReading


class Sight(NamedTuple):
    """What a look at a picture comes to.

    Attributes:
        cards: those that were found, in no order.
        hidden: of these, the ones that have no clear outline of their own.
    """

    cards: List[Seen]
    hidden: List[Card]


def look_for_cards(
    detector: Detector, image: Array, hidden: Sequence[Card] = (), thorough: bool = True
) -> Sight:
    """Find the cards on uint8 [H, W, 3] BGR and read them.

    Cards that lie apart on a table darker than paper are found by their outlines. For others, ellipses that
    edges suggest are read, and kept if the network sees a card's worth of different symbols on them.

    Args:
        detector: reads a card.
        image: the picture.
        hidden: cards without clear outlines that were there a moment ago.
        thorough: look for others of that kind as well.
    """
    symbols = symbols_per_card(len(detector.bundle.labels))
    small, x, y = _reduced(image)
    found = [scale_card(card, 1 / x, 1 / y) for card in find_cards(small)]
    outlined = sorted(found, key=lambda card: card.centre)
    readings = detector.runner.each(lambda card: read_card(detector, image, card), outlined)
    kept = [
        Seen(card, readings[place])
        for place, card in enumerate(outlined)
        if legible(card, readings[place].evidence, symbols) > OUTLINED
    ]
    clear = len(kept)
    _read_on(detector, image, follow_cards(image, hidden) if hidden else (), symbols, kept, followed=True)
    if thorough:
        flattened = [_flattening(seen.card) for seen in kept[:1]] or FLATTENED
        known = [scale_card(seen.card, x, y) for seen in kept]
        proposals = [scale_card(card, 1 / x, 1 / y) for card in propose_cards(small, known, flattened)]
        _read_on(detector, image, [card for card in proposals if _promising(card, kept)], symbols, kept)
        if len(kept) < PLAYABLE:
            _read_on(detector, image, _tiles(image, [seen.card for seen in kept]), symbols, kept)
    return Sight(kept, [seen.card for seen in kept[clear:]])


def read_card(detector: Detector, image: Array, card: Card) -> CardReading:
    """Read one card of a picture; boxes are in pixels of the picture."""
    crop = crop_card(image, card)
    return in_picture(detector.read(crop.image), crop)


def in_picture(reading: CardReading, crop: Crop) -> CardReading:
    """Give what was read on a crop, with boxes in pixels of the picture that it was cut out of."""
    detections, evidence = reading
    return CardReading(
        detections._replace(boxes=crop.to_picture(detections.boxes)),
        evidence._replace(boxes=crop.to_picture(evidence.boxes)),
    )


def symbols_per_card(symbols: int) -> int:
    """Return n + 1 for a deck of n * n + n + 1 symbols, of which any two cards share one."""
    return round((1 + float(np.sqrt(max(4 * symbols - 3, 1)))) / 2)


def legible(card: Card, evidence: Evidence, symbols: int) -> float:
    """Return the expected number of different symbols, each at a place of its own, as a share of a card's.

    Args:
        card: where it is.
        evidence: what is read there, boxes in pixels of the same picture.
        symbols: on a card.
    """
    return float(evidence.probability[_places(card, evidence, symbols)].sum()) / symbols


def _places(card: Card, evidence: Evidence, symbols: int) -> List[int]:
    """Return the most probable symbols of a card that lie at different places on it, at most `symbols`."""
    middles = (evidence.boxes[:, :2] + evidence.boxes[:, 2:]) / 2
    turn = np.deg2rad(card.angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    away = np.hypot(*((middles - card.centre).dot(axes) * 2 / card.axes).T)
    taken: List[int] = []
    for symbol in np.argsort(-evidence.probability, kind="mergesort")[: 3 * symbols].tolist():
        if evidence.probability[symbol] < WEAK or len(taken) == symbols:
            break
        box = evidence.boxes[symbol]
        if away[symbol] < OUTSIDE and all(_overlap(box, evidence.boxes[one]) < SAME_PLACE for one in taken):
            taken.append(symbol)
    return taken


def _read_on(
    detector: Detector,
    image: Array,
    proposals: Sequence[Card],
    symbols: int,
    kept: List[Seen],
    followed: bool = False,
) -> None:
    """Read proposals, the likeliest first, and add those that read as cards to `kept`."""
    waiting = [card for card in proposals if _free(card, [one.card for one in kept])]
    looks = fruitless = 0
    while waiting and looks < LOOKS and fruitless < (FRUITLESS if len(kept) < PLAYABLE else CONTENT):
        chosen = waiting[:1] + [card for card in waiting[1:] if _free(card, waiting[:1])][: TOGETHER - 1]
        seen = detector.runner.each(lambda card: _settled(detector, image, card, symbols), chosen)
        looks += len(chosen)
        fruitless += len(chosen)
        for score, one in seen:
            if score > (READ if kept or followed else FIRST) and _free(
                one.card, [other.card for other in kept]
            ):
                kept.append(one)
                fruitless = 0
        waiting = [card for card in waiting if card not in chosen and _free(card, [one.card for one in kept])]


def _settled(detector: Detector, image: Array, card: Card, symbols: int) -> Tuple[float, Seen]:
    """Read a place; if it hints at a card, move there. Returns how legible it is in the end."""
    best = Seen(card, read_card(detector, image, card))
    score = legible(card, best.reading.evidence, symbols)
    for _ in range(MOVES if HINT < score < SURE else 0):
        moved = _moved(best, symbols)
        reading = read_card(detector, image, moved)
        gain = legible(moved, reading.evidence, symbols) - score
        if gain > 0:
            best, score = Seen(moved, reading), score + gain
        if gain < WORTH or score > SURE:
            break
    return score, best


def _moved(seen: Seen, symbols: int) -> Card:
    """Put a card about the symbols that are seen there."""
    taken = _places(seen.card, seen.reading.evidence, symbols)
    boxes = seen.reading.evidence.boxes[taken]
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    ends = [middles + halves * np.array(way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    (x, y), radius = cv2.minEnclosingCircle(np.concatenate(ends).astype(np.float32))
    long, short = seen.card.axes
    diameter = 2 * BORDER * radius
    if len(taken) < symbols - 1:
        diameter = max(diameter, 0.9 * long)
    box = (x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2)
    return Card(box, (x, y), (diameter, diameter * short / long), seen.card.quality, seen.card.angle)


def _tiles(image: Array, known: Sequence[Card]) -> List[Card]:
    """Cover the picture with circles, or with ellipses like the first of `known`, that overlap by half."""
    height, width = image.shape[:2]
    sizes = [known[0].axes[0]] if known else [share * width for share in TILES]
    aspect, angle = (known[0].axes[1] / known[0].axes[0], known[0].angle) if known else (1.0, 0.0)
    tiles = []
    for size in sizes:
        half = size / 2
        columns, rows = (max(1, round(1.8 * (side - size) / size) + 1) for side in (width, height))
        for y in np.linspace(min(half, height / 2.0), max(height - half, height / 2.0), rows):
            for x in np.linspace(min(half, width / 2.0), max(width - half, width / 2.0), columns):
                box = (x - half, y - half, x + half, y + half)
                tiles.append(Card(box, (float(x), float(y)), (size, size * aspect), 0.0, angle))
    return tiles


def _promising(card: Card, kept: Sequence[Seen]) -> bool:
    """Tell whether a place is worth a look: any is while there is no game, only likely ones then."""
    return len(kept) < PLAYABLE or card.quality > LIKELY


def _reduced(image: Array) -> Tuple[Array, float, float]:
    """Return a picture as it is searched for cards, and its width and height to those of the whole."""
    height, width = image.shape[:2]
    scale = SEARCHED / float(max(height, width))
    if scale > 0.7:
        return image, 1.0, 1.0
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, size[0] / float(width), size[1] / float(height)


def _free(card: Card, others: Sequence[Card]) -> bool:
    """Tell whether a card can lie there beside others, or half under them."""
    return all(_distance(card, other) > APART * (card.axes[0] + other.axes[0]) / 2 for other in others)


def _distance(card: Card, other: Card) -> float:
    return float(np.hypot(card.centre[0] - other.centre[0], card.centre[1] - other.centre[1]))


def _flattening(card: Card) -> Tuple[float, float]:
    aspect = card.axes[1] / card.axes[0]
    return ROUND if aspect > 0.93 else (aspect, card.angle + 90)


def _overlap(first: Array, second: Array) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(width * height / (sum(areas) - width * height))
