"""The symbols of cards into photos of them on a table, with the exact box of every symbol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dobble.sample.symbols import Floats, Pixels, Symbol, project
from dobble.sample.tabletop import Plane, any_colour, as_bytes, plain, table_top

_FINER = 2  # cards are drawn so many times finer than the photo
_SMALLEST, _LARGEST = 125.0, 300.0  # radius in pixels of cards in a frame
_GAP = 0.14  # between cards in a frame, in radii
_PAPER, _EDGE = (246, 249, 250), (198, 203, 205)


@dataclass(frozen=True)
class Photo:
    """A photo of cards and what is on it.

    Attributes:
        image: uint8 [H,W,3] BGR.
        boxes: for each card float64 [S,4] xyxy of its symbols in pixels, in the order they were given.
        cards: float64 [K,4] xyxy of the cards in pixels, within the photo.
    """

    image: Pixels
    boxes: list[Floats]
    cards: Floats


def photo_of_card(symbols: Sequence[Symbol], rng: np.random.Generator, size: int = 480) -> Photo:
    """Take one card on a table, seen from almost above, into a square photo of `size` pixels.

    The card may be cut off at the edge of the photo, its symbols never are.
    """
    image = table_top(size, size, 25, 205, rng)
    radius = 0.46 * rng.uniform(0.72, 1.0)
    room = (0.5 - radius) * 0.9
    centre = 0.5 + rng.uniform(-room, room, 2)
    tilt = rng.uniform(-0.12, 0.12, 2)
    view = _view(centre * size, tilt / (radius * size)) @ _turn(rng, radius * size)
    places = spread_disc(len(symbols), rng)
    boxes = _boxes(symbols, places, view)
    outside = np.maximum(1.5 - boxes[:, :2].min(0), 0) - np.maximum(boxes[:, 2:].max(0) - (size - 1.5), 0)
    view = _view(outside, np.zeros(2)) @ view
    return shoot(image, [symbols], [places], [view], rng)


def photo_of_table(
    cards: Sequence[Sequence[Symbol]],
    rng: np.random.Generator,
    width: int = 1280,
    height: int = 720,
    tones: tuple[float, float] | None = None,
) -> Photo:
    """Take cards with clear gaps between them, or none, on a table that is mostly darker than paper.

    Cards lie wholly within the frame.

    Args:
        cards: the symbols of each.
        rng: all chance comes from it.
        width: pixels.
        height: pixels.
        tones: least and greatest grey value of the table's base colours; None takes 15 to 110 for most
            tables and up to 205 for some.
    """
    dark = rng.uniform() < 0.85
    darkest, lightest = tones or (15, 110 if dark else 205)
    image = table_top(width, height, darkest, lightest, rng)
    middle = np.array([width / 2, height / 2])
    camera = _view(middle, rng.uniform(-0.2, 0.2, 2) / middle)
    views = [
        camera @ _view(centre, np.zeros(2)) @ _turn(rng, radius)
        for centre, radius in _spread(len(cards), camera, width, height, rng)
    ]
    places = [spread_disc(len(symbols), rng) for symbols in cards]
    return shoot(image, cards, places, views, rng)


def shoot(
    image: Pixels,
    cards: Sequence[Sequence[Symbol]],
    places: Sequence[Floats],
    views: Sequence[Floats],
    rng: np.random.Generator,
    spoil: Callable[[Pixels, Sequence[Floats], np.random.Generator], None] | None = None,
) -> Photo:
    """Lay cards on a table and take the photo.

    Args:
        image: the empty table, uint8 [H,W,3] BGR, changed in place.
        cards: the symbols of each.
        places: for each card where its symbols are, from `spread_disc`.
        views: for each card the homography [3,3] from the unit circle to pixels.
        rng: all chance comes from it.
        spoil: what else happens to the scene, from the picture (changed in place), the views and chance.
    """
    height, width = image.shape[:2]
    for symbols, laid, view in zip(cards, places, views, strict=True):
        _cast_shadow(image, view, rng)
        _lay_card(image, symbols, laid, view, rng)
    if spoil is not None:
        spoil(image, views, rng)
    outlines = [project(view, circle()) for view in views]
    edges = np.array([[*outline.min(0), *outline.max(0)] for outline in outlines]).reshape(-1, 4)
    return Photo(
        _developed(image, rng),
        [_boxes(symbols, laid, view) for symbols, laid, view in zip(cards, places, views, strict=True)],
        np.clip(edges, 0, [width, height, width, height]),
    )


def _view(shift: Floats, tilt: Floats) -> Floats:
    """The homography that tilts the plane about its origin and then shifts it."""
    tilted = np.eye(3)
    tilted[2, :2] = tilt
    shifted = np.eye(3)
    shifted[:2, 2] = shift
    return shifted @ tilted


def _turn(rng: np.random.Generator, radius: float) -> Floats:
    return similarity(0, 0, radius, rng.uniform(0, 2 * np.pi))


def similarity(x: float, y: float, scale: float, angle: float) -> Floats:
    """Return the homography [3,3] that turns by an angle in radians, scales and then shifts."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def circle(radius: float = 1.0) -> Floats:
    """Return 180 points [180,2] of a circle about the origin."""
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    points: Floats = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    return points


def spread_disc(number: int, rng: np.random.Generator) -> Floats:
    """Places [number,4] (x, y, radius, angle) of circles that do not touch within the unit circle."""
    radii = np.sort(rng.uniform(0.17, 0.36, number))[::-1]
    while True:
        placed = np.empty((0, 3))
        for radius in radii:
            angle = rng.uniform(0, 2 * np.pi, 120)
            distance = (0.95 - radius) * np.sqrt(rng.uniform(size=120))
            tries = np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)
            gaps = np.hypot(*(tries[:, None] - placed[:, :2]).transpose(2, 0, 1)) - placed[:, 2]
            free = np.flatnonzero((gaps > radius + 0.02).all(1))
            if not len(free):
                break
            placed = np.concatenate([placed, [[*tries[free[0]], radius]]])
        if len(placed) == number:
            break
        radii = radii * 0.97
    return np.column_stack([rng.permutation(placed), rng.uniform(0, 2 * np.pi, number)])


def _spread(
    number: int, camera: Floats, width: int, height: int, rng: np.random.Generator
) -> list[tuple[Floats, float]]:
    """Centres and radii of cards on the table, of the wanted size in the frame and wholly within it."""
    largest = _LARGEST
    while True:
        placed: list[tuple[Floats, float]] = []
        for radius in sorted(rng.uniform(_SMALLEST, largest, number), reverse=True):
            tries = (rng.uniform(size=(200, 2)) - 0.5) * [width, height]
            rings = tries[:, None] + circle(radius)[::6]
            seen = project(camera, rings.reshape(-1, 2)).reshape(rings.shape)
            low, high = seen.min(1), seen.max(1)
            free = ((low > 4) & (high < [width - 4, height - 4])).all(1)
            free &= ((high - low > 2 * _SMALLEST) & (high - low < 2 * _LARGEST)).all(1)
            for centre, larger in placed:
                free &= np.hypot(*(tries - centre).T) > radius + (1 + _GAP) * larger
            if not free.any():
                break
            placed.append((tries[np.argmax(free)], radius))
        if len(placed) == number:
            return placed
        largest = max(largest * 0.97, _SMALLEST + 20)


def _boxes(symbols: Sequence[Symbol], places: Floats, view: Floats) -> Floats:
    outlines = [
        project(view @ similarity(*place), s.outline) for s, place in zip(symbols, places, strict=True)
    ]
    return np.array([[*outline.min(0), *outline.max(0)] for outline in outlines])


def _cast_shadow(image: Pixels, view: Floats, rng: np.random.Generator) -> None:
    """Darken the table around the card, in place."""
    height, width = image.shape[:2]
    ring = project(view, circle())
    away = rng.uniform(-0.04, 0.04, 2) * np.ptp(ring, axis=0)
    light = np.full((height // 2, width // 2), 255, np.uint8)
    cv2.fillPoly(light, [np.int32((ring + away) / 2)], [255 * (1 - rng.uniform(0.2, 0.5))])  # type: ignore[list-item]
    soft = cv2.resize(cv2.GaussianBlur(light, (0, 0), 5), (width, height))
    cv2.multiply(image, cv2.merge([soft] * 3), dst=image, scale=1 / 255)


def _lay_card(
    image: Pixels, symbols: Sequence[Symbol], places: Floats, view: Floats, rng: np.random.Generator
) -> None:
    """Draw the card on the photo, in place: its edge, perhaps a printed rim, its symbols, perhaps a gleam."""
    height, width = image.shape[:2]
    ring = project(view, circle())
    left, top = np.maximum(np.floor(ring.min(0)).astype(int) - 1, 0).tolist()
    right, bottom = np.minimum(np.ceil(ring.max(0)).astype(int) + 1, [width, height]).tolist()
    size = (right - left, bottom - top)
    finer = np.array([[_FINER, 0, -_FINER * left - 0.5], [0, _FINER, -_FINER * top - 0.5], [0, 0, 1]]) @ view
    card = plain(size[0] * _FINER, size[1] * _FINER, _EDGE)
    inside = np.zeros(card.shape[:2], np.uint8)
    _fill(inside, finer, 1, [255])
    _fill(card, finer, 0.99, _PAPER)
    if rng.uniform() < 0.3:
        _fill(card, finer, 0.985, any_colour(90, 200, rng).tolist())
        _fill(card, finer, 0.965, _PAPER)
    for symbol, place in zip(symbols, places, strict=True):
        symbol.paint(card, finer @ similarity(*place))
    laid = cv2.resize(card, size, interpolation=cv2.INTER_AREA)
    if rng.uniform() < 0.25:
        laid = cv2.add(laid, cv2.merge([_gleam(*size, rng)] * 3))
    share = cv2.resize(inside, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    under = image[top:bottom, left:right]
    under[:] = cv2.blendLinear(laid, under, share, 1 - share)


def _fill(canvas: Pixels, view: Floats, radius: float, colour: Sequence[float]) -> None:
    ring = np.round(project(view, circle(radius)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [ring], colour, cv2.LINE_AA, 4)


def _gleam(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """A lamp's soft mirror image on glossy paper: uint8 [H,W]."""
    down, across = (
        np.exp(-(((np.arange(side) / side - rng.uniform(0.1, 0.9)) / rng.uniform(0.08, 0.3)) ** 2))
        for side in (height, width)
    )
    return as_bytes(rng.uniform(15, 60) * down[:, None] * across)


def _developed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """What the camera makes of it: uneven light, exposure, white balance, soft focus, shake and noise."""
    height, width = image.shape[:2]
    angle, falloff, exposure = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.45), rng.uniform(0.6, 1.1)
    x = (np.arange(width, dtype=np.float32) / width - 0.5) * (falloff * np.cos(angle))
    y = (np.arange(height, dtype=np.float32) / height - 0.5) * (falloff * np.sin(angle))
    light = (1 + x + y[:, None]) * exposure
    seen = cv2.multiply(
        image, cv2.merge([light * balance for balance in rng.uniform(0.88, 1.12, 3)]), dtype=cv2.CV_8U
    )
    if rng.uniform() < 0.7:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 1.5))
    if rng.uniform() < 0.2:
        seen = cv2.filter2D(seen, -1, shake(int(rng.integers(3, 8)), rng.uniform(0, 180)))
    # no eye tells uniform noise from normal noise, which costs five times more
    strength = rng.uniform(1, 7) * 12**0.5 / 256
    grey = cv2.merge([rng.integers(0, 256, (height, width), np.uint8)] * 3)
    colour = rng.integers(0, 256, (height, width, 3), np.uint8)
    grain = cv2.addWeighted(grey, strength, colour, 0.6 * strength, -0.8 * 255 * strength, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(seen, grain, dtype=cv2.CV_8U), np.uint8)


def shake(length: int, angle: float) -> Plane:
    """Return the kernel [L,L] of a straight movement by so many pixels, at an angle in degrees."""
    path = np.zeros((length, length), np.float32)
    path[length // 2] = 1 / length
    centre = (length / 2 - 0.5, length / 2 - 0.5)
    turned = cv2.warpAffine(path, cv2.getRotationMatrix2D(centre, angle, 1), (length, length))
    return np.asarray(turned, np.float32)
