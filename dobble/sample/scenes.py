"""Symbols of cards into photos of tables with one kind of trouble each, for measuring how cards are found."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dobble.sample import render
from dobble.sample.render import Photo, circle, similarity, spread_disc
from dobble.sample.symbols import Floats, Pixels, Symbol, project
from dobble.sample.tabletop import Plane, any_colour, as_bytes, plain, table_top

FOCUS = 1.1  # focal length of the camera, in widths of the photo: 49 degrees from side to side


class Trouble(NamedTuple):
    """One kind of table.

    Attributes:
        cards: fewest and most cards.
        diameter: smallest and largest diameter of a card, in widths of the photo.
        slant: greatest angle in degrees between the camera's axis and the table's normal.
        gap: least and greatest distance between the outlines of neighbours, in radii; None spreads cards
            freely, negative ones overlap.
        table: paints the table, uint8 [H, W, 3] BGR, from its width, height and chance.
        inside: how far the centre of a card stays from the photo's edge, in radii.
        spoil: changes the photo in place, from it, the views of the cards and chance; or None.
    """

    cards: tuple[int, int] = (2, 4)
    diameter: tuple[float, float] = (0.16, 0.34)
    slant: float = 12.0
    gap: tuple[float, float] | None = None
    table: Callable[[int, int, np.random.Generator], Pixels] = lambda w, h, rng: table_top(w, h, 20, 150, rng)
    inside: float = 1.04
    spoil: Callable[[Pixels, Sequence[Floats], np.random.Generator], None] | None = None


def photo_of_scene(
    trouble: str,
    cards: Sequence[Sequence[Symbol]],
    rng: np.random.Generator,
    width: int = 1280,
    height: int = 720,
) -> Photo:
    """Take cards on a table of the kind that `trouble` names in `TROUBLES`.

    Args:
        trouble: the kind.
        cards: the symbols of each; their number should be within the kind's.
        rng: all chance comes from it.
        width: pixels.
        height: pixels.
    """
    kind = TROUBLES[trouble]
    image = kind.table(width, height, rng)
    camera = _camera(kind.slant, width, height, rng)
    views = _lay_out(kind, len(cards), camera, width, height, rng)
    return render.shoot(
        image, cards, [spread_disc(len(symbols), rng) for symbols in cards], views, rng, spoil=kind.spoil
    )


def _camera(slant: float, width: int, height: int, rng: np.random.Generator) -> Floats:
    """The homography from pixels of the table, about its middle, to the photo."""
    slanted = np.deg2rad(slant * rng.uniform(0.75, 1) if slant > 20 else rng.uniform(0, slant))
    turned = similarity(0, 0, 1, rng.normal(0, 0.35))
    focus = FOCUS * width
    tilted = np.array([[1, 0, 0], [0, np.cos(slanted), 0], [0, -np.sin(slanted) / focus, 1]])
    camera: Floats = similarity(width / 2, height / 2, 1, 0) @ turned @ tilted @ np.linalg.inv(turned)
    return camera


def _lay_out(
    kind: Trouble, number: int, camera: Floats, width: int, height: int, rng: np.random.Generator
) -> list[Floats]:
    """Views of cards that lie as their kind wants, smaller ones where there is no room."""
    smallest, largest = (share * width / 2 for share in kind.diameter)
    scale = 1.0
    while True:
        radius = max(rng.uniform(smallest, largest) * scale, smallest * min(scale * 2, 1))
        laid = _places(kind, number, radius, camera, width, height, rng)
        if laid is not None:
            return [
                camera @ similarity(place[0], place[1], radius, rng.uniform(0, 2 * np.pi)) for place in laid
            ]
        scale *= 0.97


def _places(
    kind: Trouble,
    number: int,
    radius: float,
    camera: Floats,
    width: int,
    height: int,
    rng: np.random.Generator,
) -> list[Floats] | None:
    laid: list[Floats] = []
    for _ in range(number):
        if laid and kind.gap is not None:
            away = 2 * radius * (1 + np.zeros(200)) + radius * rng.uniform(*kind.gap, 200)
            angle = rng.uniform(0, 2 * np.pi, 200)
            near = np.array(laid)[rng.integers(len(laid), size=200)]
            tries = near + (away * [np.cos(angle), np.sin(angle)]).T
        else:
            tries = (rng.uniform(size=(200, 2)) - 0.5) * np.array([width, height]) * 1.3
        rings = tries[:, None] + kind.inside * radius * circle()[::10]
        seen = project(camera, rings.reshape(-1, 2)).reshape(rings.shape)
        free = ((seen.min(1) > 0) & (seen.max(1) < [width, height])).all(1)
        least = 2 * radius + radius * (0.1 if kind.gap is None else kind.gap[0]) - 1e-6
        for other in laid:
            free &= np.hypot(*(tries - other).T) >= least
        if not free.any():
            return None
        laid.append(tries[np.argmax(free)])
    return laid


def _pale(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """A table as white as paper, or nearly: cloth, wall paint or paper with a little grain and light."""
    colour = rng.uniform(215, 252) + rng.uniform(-1, 1, 3) * rng.uniform(0, 10)
    grain = cv2.resize(
        rng.standard_normal((height // 6, width // 6), np.float32),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    ) * np.float32(rng.uniform(0, 2.5))
    return np.asarray(cv2.merge([as_bytes(shade + grain) for shade in colour]), np.uint8)


def _striped(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Stripes, checks or thin lines of which some are as light as paper."""
    step, angle = rng.uniform(25, 130), rng.uniform(0, np.pi)
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    share = rng.choice([0.5, 0.8, 0.94])
    odd = ((x * np.cos(angle) + y * np.sin(angle)) / step % 1 < share).astype(np.float32)
    if rng.uniform() < 0.4:
        odd *= (x * np.sin(angle) - y * np.cos(angle)) / step % 1 < share
    light, dark = any_colour(150, 250, rng), any_colour(20, 140, rng)
    if rng.uniform() < 0.4:
        light, dark = dark, light
    planes: list[Plane] = [b + (a - b) * odd for a, b in zip(light, dark, strict=True)]
    return np.asarray(cv2.merge([as_bytes(plane) for plane in planes]), np.uint8)


def _furry(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """A rug: hairs of many greys, some as light as paper."""
    image = plain(width, height, any_colour(60, 170, rng))
    lean, light = rng.uniform(0, 2 * np.pi), rng.uniform(120, 245)
    for _ in range(5000):
        start = rng.uniform(0, [width, height])
        angle = lean + rng.normal(0, 0.6)
        end = start + rng.uniform(10, 40) * np.array([np.cos(angle), np.sin(angle)])
        colour = np.clip(rng.uniform(30, light) + rng.uniform(-12, 12, 3), 0, 255).tolist()
        ends = [tuple(int(value) for value in point) for point in (start, end)]
        cv2.line(image, ends[0], ends[1], colour, int(rng.integers(1, 3)), cv2.LINE_AA)
    return image


def _hand(image: Pixels, views: Sequence[Floats], rng: np.random.Generator) -> None:
    """Fingers that hold a card: they come from the photo's edge and end on it."""
    view = views[int(rng.integers(len(views)))]
    skin = np.array([rng.uniform(90, 160), rng.uniform(120, 190), rng.uniform(170, 235)]) * rng.uniform(
        0.5, 1
    )
    middle = project(view, np.zeros((1, 2)))[0]
    radius = float(np.ptp(project(view, circle()), axis=0).mean()) / 2
    angle = rng.uniform(0, 2 * np.pi)
    for finger in range(int(rng.integers(1, 4))):
        at = angle + 0.33 * finger
        out = np.array([np.cos(at), np.sin(at)])
        start = middle + out * radius * rng.uniform(0.6, 0.9)
        end = start + out * radius * 4
        shade = (skin * rng.uniform(0.9, 1.05)).clip(0, 255).tolist()
        points = [tuple(int(value) for value in point) for point in (start, end)]
        cv2.line(image, points[0], points[1], shade, max(3, int(0.3 * radius)), cv2.LINE_AA)


def _glare(image: Pixels, views: Sequence[Floats], rng: np.random.Generator) -> None:
    """Mirror images of lamps that drown what is printed."""
    height, width = image.shape[:2]
    light = np.zeros((height, width), np.float32)
    for view in views:
        if rng.uniform() < 0.7:
            ring = project(view, circle())
            axes = np.ptp(ring, axis=0) * rng.uniform(0.1, 0.3, 2)
            centre = project(view, rng.uniform(-0.7, 0.7, (1, 2)))[0]
            cv2.ellipse(light, (centre, axes, rng.uniform(0, 180)), 255 * rng.uniform(0.5, 1.3), -1)  # type: ignore[call-overload]
    soft = cv2.GaussianBlur(light, (0, 0), rng.uniform(8, 25))
    image[:] = as_bytes(image + soft[..., None])


def _motion(image: Pixels, views: Sequence[Floats], rng: np.random.Generator) -> None:  # noqa: ARG001 - one form for all kinds
    length = int(rng.integers(7, 16))
    image[:] = cv2.filter2D(image, -1, render.shake(length, rng.uniform(0, 180)))


def _decoys(image: Pixels, views: Sequence[Floats], rng: np.random.Generator) -> None:
    """Round and pale things without eight symbols: lids, plates, notes, coins."""
    height, width = image.shape[:2]
    taken = [
        (project(view, np.zeros((1, 2)))[0], np.ptp(project(view, circle()), axis=0).max() / 2)
        for view in views
    ]
    for _ in range(30):
        radius = rng.uniform(0.04, 0.13) * width
        centre = rng.uniform(0, [width, height])
        if any(np.hypot(*(centre - other)) < 1.05 * (radius + reach) for other, reach in taken):
            continue
        taken.append((centre, radius))
        x, y = (int(value) for value in centre)
        colour = any_colour(150, 250, rng).tolist() if rng.uniform() < 0.7 else [60, 200, 240]
        if rng.uniform() < 0.6:
            axes = (int(radius), int(radius * rng.uniform(0.75, 1)))
            turned = rng.uniform(0, 180)
            cv2.ellipse(image, (x, y), axes, turned, 0, 360, colour, -1, cv2.LINE_AA)
            ink = any_colour(20, 220, rng).tolist()
            inner = (int(axes[0] * 0.7), int(axes[1] * 0.7))
            cv2.ellipse(image, (x, y), inner, turned, 0, 360, ink, int(rng.choice([-1, 3])), cv2.LINE_AA)
        else:
            corners = cv2.boxPoints(((x, y), (2 * radius, radius * rng.uniform(0.8, 2)), rng.uniform(0, 90)))
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
            for row in range(-3, 4):
                at = (int(x - 0.5 * radius), int(y + row * radius * 0.1))
                cv2.line(image, at, (int(x + 0.5 * radius), at[1]), (60, 60, 60), 2, cv2.LINE_AA)


TROUBLES = {
    "apart": Trouble(),
    "pale": Trouble(table=_pale),
    "stripes": Trouble(table=_striped),
    "fur": Trouble(table=_furry),
    "touching": Trouble(cards=(2, 6), gap=(0.0, 0.04)),
    "overlapping": Trouble(cards=(2, 5), gap=(-0.25, -0.05)),
    "oblique": Trouble(slant=50.0),
    "cut": Trouble(inside=0.75),
    "hand": Trouble(spoil=_hand),
    "many": Trouble(cards=(5, 24), diameter=(0.11, 0.2)),
    "small": Trouble(diameter=(0.08, 0.11)),
    "glare": Trouble(spoil=_glare),
    "motion": Trouble(spoil=_motion),
    "decoys": Trouble(spoil=_decoys, diameter=(0.14, 0.24)),
}
"""What each kind of table is called, and what is the matter with it."""
