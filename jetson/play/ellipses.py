"""Turns a picture of a table into ellipses that may be rims of cards, the likeliest first."""

from typing import Iterator, List, Sequence, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.play.cards import Card, scale_card
from jetson.play.rims import Ellipse, Rim, View, inverse, mark_edges, measure, view_of, vote, voters

SMALLEST, LARGEST = 0.033, 0.52  # radius of a card: share of the longer side, and of the shorter
STEP = 1.1  # from one radius that is tried to the next
ALIKE = 1.6  # largest to smallest of the cards on a table, seen from the side
# Short to long axis and the turn of the short axis, in degrees, of the circles that are looked for: cards on
# one table are all flattened alike, most often from top to bottom.
ROUND = (1.0, 0.0)
FLATTENED = (ROUND, (0.8, 90.0), (0.64, 90.0), (0.78, 45.0), (0.78, 135.0))
FAINTEST, PRINTED, STRONG = 1.0, 6.0, 8.0  # grey values from one pixel to the next, of an edge
EDGES_SHARE = 0.08  # of the pixels are edges, about
CHANGED = 0.12  # of an axis, from one frame to the next
INK = (0.06, 0.75)  # share of a card that is printed
WHITE = 0.86  # of the paper's brightness: darker pixels are ink


def propose_cards(
    image: Array, known: Sequence[Card] = (), flattened: Sequence[Tuple[float, float]] = FLATTENED
) -> List[Card]:
    """Find ellipses on uint8 [H, W, 3] BGR that could be rims of cards, the likeliest first.

    Cards may touch, overlap, be cut by the border or lie on a table as white as paper; most of what is found
    is no card, though: plates, symbols, knots in wood. `quality` says how likely each is.

    Args:
        image: the picture.
        known: cards that are found already; what lies on them is not looked at.
        flattened: short to long axis and turn of the short axis in degrees, of the cards to look for.
    """
    view = view_of(image)
    radii = _radii(view, known)
    ellipses: List[Ellipse] = []
    for marked, faintest in _edges(view, known):
        edges = voters(view, marked)
        for aspect, turn in flattened:
            stretch = inverse(_flattened(aspect, turn))
            rims = vote(edges, (view.small.shape[1], view.small.shape[0]), radii, stretch)
            ellipses += measure(rims, inverse(stretch), view, faintest / 2)
    cards = _distinct(_judged(ellipses, view.small))
    return [scale_card(card, 1 / view.scale[0], 1 / view.scale[1]) for card in cards]


def follow_cards(image: Array, cards: Sequence[Card]) -> List[Card]:
    """Find again on uint8 [H, W, 3] BGR what lay at the places of `cards` a moment ago, rims seen or not."""
    view = view_of(image)
    found: List[Card] = []
    for card in (scale_card(card, *view.scale) for card in cards):
        back = _flattened(card.axes[1] / card.axes[0], card.angle + 90)
        rim = Rim(1.0, card.centre[0] - 0.5, card.centre[1] - 0.5, card.axes[0] / 2)
        again = _judged(measure([rim], back, view, FAINTEST / 2), view.small)
        found += [one for one in again if _shaped_alike(one, card)] or [card]
    return [scale_card(card, 1 / view.scale[0], 1 / view.scale[1]) for card in found]


def _edges(view: View, known: Sequence[Card]) -> Iterator[Tuple[Array, float]]:
    """Yield edges uint8 [h, w] off the known cards, clear ones first, and the least slope of each kind."""
    slopes = np.abs(view.dx[::2, ::2]) + np.abs(view.dy[::2, ::2])
    faintest = float(np.clip(np.quantile(slopes, 1 - EDGES_SHARE) / 8, FAINTEST, STRONG))
    marked = mark_edges(view, faintest)
    for card in known:
        cv2.ellipse(marked, _drawn(card, *view.scale), (0,), cv2.FILLED)
    yield marked, faintest
    if known:
        return
    # The rim of a card on a table as white as paper is fainter than all that is printed.
    printed = cv2.dilate(mark_edges(view, PRINTED), np.ones((5, 5), np.uint8))
    faint = cv2.subtract(mark_edges(view, FAINTEST), printed)
    yield faint, FAINTEST


def _flattened(aspect: float, turn: float) -> Array:
    """Return float32 [2, 2] that shortens the axis at an angle of `turn` degrees to a share `aspect`."""
    axis = np.array([np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))])
    matrix: Array = (np.eye(2) + (aspect - 1) * np.outer(axis, axis)).astype(np.float32)
    return matrix


def _radii(view: View, known: Sequence[Card]) -> Array:
    """Return the radii to look for: all, or those that cards on one table with the known ones may have."""
    sides = view.small.shape[:2]
    smallest, largest = SMALLEST * max(sides), LARGEST * min(sides)
    if known:
        diameters = [card.axes[0] * view.scale[0] for card in known]
        smallest = max(smallest, min(diameters) / 2 / ALIKE)
        largest = max(smallest, min(largest, max(diameters) / 2 * ALIKE))
    count = int(np.log(largest / smallest) / np.log(STEP)) + 1
    radii: Array = (smallest * STEP ** np.arange(count)).astype(np.float32)
    return radii


def _drawn(
    card: Card, scale_x: float, scale_y: float
) -> Tuple[Tuple[float, float], Tuple[float, float], float]:
    axes = 1.06 * card.axes[0] * scale_x, 1.06 * card.axes[1] * scale_x
    return (card.centre[0] * scale_x, card.centre[1] * scale_y), axes, card.angle


def _judged(ellipses: List[Ellipse], small: Array) -> List[Card]:
    """Order by how much of the rim is there, and of paper along it; there must be ink inside."""
    if not ellipses:
        return []
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    radii = np.concatenate([np.sqrt((np.arange(6) + 0.5) / 6) * 0.86, [0.9, 0.95]])
    grid = np.stack([np.outer(radii, np.cos(angle)), np.outer(radii, np.sin(angle))], 2).reshape(-1, 2)
    where = np.empty((len(ellipses), len(grid), 2), np.float32)
    for index, ellipse in enumerate(ellipses):
        turn = np.deg2rad(ellipse.angle)
        long, short = ellipse.axes[0] / 2, ellipse.axes[1] / 2
        axes = np.array(
            [[np.cos(turn) * long, np.sin(turn) * long], [-np.sin(turn) * short, np.cos(turn) * short]]
        )
        where[index] = grid.dot(axes) + ellipse.centre
    seen = cv2.remap(small, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    darkest = seen.min(axis=2).astype(np.float32)
    inner = darkest[:, : 6 * len(angle)]
    paper = np.percentile(inner, 80, axis=1)[:, None]
    ink = (inner < WHITE * paper).mean(axis=1)
    clean = (darkest[:, 6 * len(angle) :] > WHITE * paper).mean(axis=1)
    cards = []
    for index, ellipse in enumerate(ellipses):
        if INK[0] < ink[index] < INK[1]:
            x, y = ellipse.centre
            reach = ellipse.axes[0] / 2
            quality = ellipse.support * (0.3 + 0.7 * float(clean[index]))
            box = (x - reach, y - reach, x + reach, y + reach)
            cards.append(Card(box, (x + 0.5, y + 0.5), ellipse.axes, quality, ellipse.angle))
    return sorted(cards, key=lambda card: -card.quality)


def _distinct(cards: List[Card]) -> List[Card]:
    """Of several at one place and of one size, keep the first."""
    kept: List[Card] = []
    for card in cards:
        (x, y), size = card.centre, card.axes[0]
        if not any(
            abs(x - other.centre[0]) + abs(y - other.centre[1]) < 0.14 * size
            and 0.85 < size / other.axes[0] < 1.18
            for other in kept
        ):
            kept.append(card)
    return kept


def _shaped_alike(card: Card, other: Card) -> bool:
    return all(abs(card.axes[side] / other.axes[side] - 1) < CHANGED for side in (0, 1))
