"""Turns the edges of a small picture into circles that they vote for, and those into fitted ellipses."""

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array

SIDE = 360  # pixels of the longer side of the small picture
VOTERS = 3000  # edges, at most
OCTAVE = 7  # radii that share a counting grid
CELL = 0.13  # of the counting grid, in radii
ENOUGH = 0.22  # of a rim must have voted
CANDIDATES = 30  # of one flattening
RAYS, REACH, STEPS = 48, 0.2, 21  # to measure a rim: rays, radii in and out along them, samples on each
ROUNDS = (0.12, 0.06, 0.035)  # radii by which an edge may lie off the ellipse, in each round of fitting
SUPPORT = 0.4  # of the rays must meet the rim
FLATTEST = 0.5  # short to long axis
NEIGHBOURS = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1))


class Rim(NamedTuple):
    """A circle on the stretched picture: share of it that voted, its centre on the picture, its radius."""

    share: float
    x: float
    y: float
    radius: float


class Edges(NamedTuple):
    """Places float32 [E, 2] of edges, slopes across them float32 [E, 2], and their share of all edges."""

    places: Array
    normals: Array
    share: float


class View(NamedTuple):
    """The small picture uint8 [h, w, 3], its slopes int16 [h, w] times 8, and its size to the picture's."""

    small: Array
    dx: Array
    dy: Array
    scale: Tuple[float, float]


class Ellipse(NamedTuple):
    """A fitted rim: share of it that is there, centre, long and short diameter, turn of the long one."""

    support: float
    centre: Tuple[float, float]
    axes: Tuple[float, float]
    angle: float


def view_of(image: Array) -> View:
    """Reduce uint8 [H, W, 3] BGR, and give the slopes of its darkest channel, in which paper stands out."""
    scale = min(1.0, SIDE / float(max(image.shape[:2])))
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
    small = cv2.GaussianBlur(small, (3, 3), 0)
    blue, green, red = cv2.split(small)
    darkest = cv2.min(cv2.min(blue, green), red)
    slopes = cv2.Sobel(darkest, cv2.CV_16S, 1, 0), cv2.Sobel(darkest, cv2.CV_16S, 0, 1)
    return View(small, slopes[0], slopes[1], (width / float(image.shape[1]), height / float(image.shape[0])))


def mark_edges(view: View, limit: float) -> Array:
    """Return uint8 [h, w], 255 on the edges whose slope is about `limit` or more."""
    edges: Array = cv2.Canny(view.dx, view.dy, 5 * limit, 8 * limit, L2gradient=True)
    return edges


def voters(view: View, marked: Array) -> Edges:
    """Return the edges that are marked on uint8 [h, w], or as many of them as may vote."""
    ys, xs = np.nonzero(marked)
    share = min(1.0, VOTERS / float(max(1, len(xs))))
    if share < 1:
        chosen = np.linspace(0, len(xs) - 1, VOTERS).astype(np.int64)
        xs, ys = xs[chosen], ys[chosen]
    normals = np.stack([view.dx[ys, xs], view.dy[ys, xs]], 1)
    return Edges(np.stack([xs, ys], 1).astype(np.float32), normals.astype(np.float32), share)


def vote(edges: Edges, size: Tuple[int, int], radii: Array, stretch: Array) -> List[Rim]:
    """Let every edge vote for the circles that it may be part of once the picture is stretched.

    Args:
        edges: from `voters`.
        size: width and height of the picture.
        radii: float32 [R], of the circles.
        stretch: float32 [2, 2], makes the ellipses round that are looked for.
    """
    if not len(edges.places):
        return []
    back = inverse(stretch)
    places, normals = edges.places.dot(stretch.T), edges.normals.dot(back)
    normals /= np.maximum(np.hypot(normals[:, 0], normals[:, 1]), 1e-6)[:, None]
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], np.float32).dot(stretch.T)
    low, extent = corners.min(axis=0), np.ptp(corners, axis=0)
    enlarged = float(stretch[0, 0] * stretch[1, 1] - stretch[0, 1] * stretch[1, 0])
    found = []
    for begin in range(0, len(radii), OCTAVE):
        octave = radii[begin : begin + OCTAVE]
        reach = np.concatenate([octave, -octave])  # paper is brighter than the table, or darker
        cell = np.float32(max(2.0, CELL * octave[0]))
        columns, rows = int(extent[0] / cell) + 3, int(extent[1] / cell) + 3
        base, steps = (places - low) / cell + 1, normals / cell
        x = (base[:, 0, None] + steps[:, 0, None] * reach).astype(np.int32)
        y = (base[:, 1, None] + steps[:, 1, None] * reach).astype(np.int32)
        cells = (y * columns + x) * len(reach) + np.arange(len(reach), dtype=np.int32)
        inside = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)
        votes = np.bincount(cells[inside], minlength=rows * columns * len(reach))
        volume = votes.reshape(rows, columns, len(reach)).astype(np.float32)
        counted = cv2.boxFilter(volume, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        voted = counted / (2 * np.pi * edges.share * np.abs(reach) / np.sqrt(enlarged))
        peaks = np.flatnonzero((counted >= cv2.dilate(counted, np.ones((3, 3), np.uint8))) & (voted > ENOUGH))
        peaks = peaks[np.argsort(-voted.flat[peaks], kind="mergesort")[:CANDIDATES]]
        row, column, layer = np.unravel_index(peaks, voted.shape)
        # The mean of the votes about the peak lies nearer to the middle than the cell does.
        off = np.zeros((len(peaks), 2), np.float32)
        for down, across in NEIGHBOURS:
            off += volume[row + down, column + across, layer][:, None] * np.array([across, down], np.float32)
        off /= counted[row, column, layer][:, None]
        centres = ((np.stack([column, row], 1) + off - 0.5) * cell + low).dot(back.T)
        shown = ((centres >= 0) & (centres < np.array(size))).all(axis=1)
        columns_of = voted[row, column, layer], centres[:, 0], centres[:, 1], np.abs(reach[layer])
        found += [Rim(*rim) for rim in np.stack(columns_of, 1)[shown].tolist()]
    found.sort(key=lambda rim: -rim.share)
    kept: List[Rim] = []
    for rim in found:
        if not any(
            abs(rim.x - other.x) + abs(rim.y - other.y) < 0.2 * other.radius
            and 0.8 < rim.radius / other.radius < 1.25
            for other in kept
        ):
            kept.append(rim)
        if len(kept) == CANDIDATES:
            break
    return kept


def measure(rims: List[Rim], back: Array, view: View, faintest: float) -> List[Ellipse]:
    """Fit an ellipse to the edges about each rim.

    Args:
        rims: from `_rims`.
        back: [2, 2], from the stretched picture to the picture.
        view: the picture.
        faintest: slope of an edge.
    """
    if not rims:
        return []
    angle = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)  # [R, 2]
    along = np.linspace(1 - REACH, 1 + REACH, STEPS).astype(np.float32)
    outwards = circle.dot(inverse(back))  # normals of the ellipse
    outwards = (outwards / np.hypot(*outwards.T)[:, None]).astype(np.float32)
    centre = np.array([(rim.x, rim.y) for rim in rims], np.float32)
    radius = np.array([rim.radius for rim in rims], np.float32)
    rays = radius[:, None, None] * circle.dot(back.T).astype(np.float32)  # [N, R, 2]
    points = centre[:, None, None] + rays[:, :, None] * along[:, None]  # [N, R, T, 2]
    flat = points.reshape(len(rims), -1, 2)
    seen_x, seen_y = (
        cv2.remap(
            plane, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        ).reshape(points.shape[:3])
        for plane in (view.dx.astype(np.float32), view.dy.astype(np.float32))
    )
    steep = np.abs(seen_x * outwards[:, None, 0] + seen_y * outwards[:, None, 1]) / 8
    steep *= 1 - 0.5 * np.abs(along - 1) / REACH  # of two rims, the one that was voted for
    best = steep.argmax(axis=2)
    met = np.take_along_axis(steep, best[..., None], 2)[..., 0] > faintest
    where = np.take_along_axis(points, best[..., None, None], 2)[:, :, 0]  # [N, R, 2]
    fitted = [_fit(where[index], met[index], float(radius[index])) for index in range(len(rims))]
    return [ellipse for ellipse in fitted if ellipse is not None]


def inverse(matrix: Array) -> Array:
    """Invert float [2, 2]; LAPACK takes a thousand times longer to start its threads."""
    (a, b), (c, d) = matrix
    inverse: Array = (np.array([[d, -b], [-c, a]]) / (a * d - b * c)).astype(np.float32)
    return inverse


def _fit(points: Array, met: Array, radius: float) -> Optional[Ellipse]:
    """Fit an ellipse to the points [R, 2] that met an edge, each round without those that lie off it."""
    kept = met
    for tolerance in ROUNDS:
        if kept.sum() < SUPPORT * RAYS:
            return None
        (x, y), (p, q), turn = cv2.fitEllipseDirect(points[kept])
        if not (p > 2 and q > 2 and min(p, q) > FLATTEST * max(p, q)):
            return None
        if not 0.65 < np.sqrt(p * q) / (2 * radius) < 1.4:
            return None
        angle = np.deg2rad(turn)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        across = (points - np.array([x, y])).dot(turned * 2 / np.array([p, q]))
        away = np.abs(np.hypot(across[:, 0], across[:, 1]) - 1)
        kept = met & (away < max(tolerance, 2.4 / np.sqrt(p * q)))
    support = float(kept.mean())
    if support < SUPPORT:
        return None
    return Ellipse(support, (x, y), (max(p, q), min(p, q)), turn if p >= q else turn + 90)
