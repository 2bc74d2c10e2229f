"""Photos whose card is known, but not where its symbols lie, to boxes: one place for each, by assignment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from tqdm import tqdm

from dobble.data.annotations import LabelledBox
from dobble.data.export_rows import data_row, export_line
from dobble.data.orientation import UPRIGHT, turn_back, turn_boxes
from dobble.data.photos import check_photo
from dobble.detector.dataset import read_photo
from dobble.errors import AnswersError
from dobble.evaluation.answers import KnownPhoto
from dobble.files import replaced_file
from jetson.play.bundle import load_bundle
from jetson.play.cards import frame_card
from jetson.play.detect import prepare
from jetson.runners import open_runner

Floats = NDArray[np.floating[Any]]

_PROJECT = "placed-by-the-detector"
_PLACES = 24  # of a card's eight symbols and of what else looks like one
_SAME_PLACE = 0.5  # IoU above which two boxes show the same thing
_FLOOR = 1e-3  # probability of a symbol at a place where the detector sees no trace of it
_ROUNDS = 50  # of Sinkhorn's iteration; it has settled long before


class Placed(NamedTuple):
    """Where the symbols of a card lie.

    Attributes:
        boxes: float32 [N, 4] xyxy, one for each symbol, in the unit of the boxes that were given.
        sureness: float64 [N] in [0, 1], that this symbol lies at this place and that something lies there.
    """

    boxes: NDArray[np.float32]
    sureness: NDArray[np.float64]


@dataclass(frozen=True)
class LabelSummary:
    """What was placed: how many photos are sure, which a person should look at, and the list of these."""

    sure: int
    unsure: tuple[str, ...]
    list: Path


def label_photos(
    folder: Path, photos: Sequence[KnownPhoto], bundle_folder: Path, out: Path, min_sureness: float
) -> LabelSummary:
    """Write an export in Labelbox's form with the boxes of the photos whose every symbol is surely placed.

    Beside `out` a list with the suffix `.unsure.txt` names the other photos, one a line.

    Args:
        folder: to which the photos' external ids are relative.
        photos: what is on each, from `read_answers`.
        bundle_folder: the detector to place them with.
        out: the export, NDJSON.
        min_sureness: of the least sure symbol.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        AnswersError: if a symbol is none of the bundle's.
        PhotoError: if a picture cannot be decoded.
        OutputError: if a file cannot be written.
    """
    bundle = load_bundle(str(bundle_folder))
    places = {label: place for place, label in enumerate(bundle.labels)}
    unknown = sorted({symbol for photo in photos for symbol in photo.symbols} - places.keys())
    if unknown:
        raise AnswersError("the cards", f"name {unknown[0]!r}, which is no symbol of the bundle")
    lines, unsure = [], []
    with open_runner("onnxruntime-cpu", bundle) as runner:
        for photo in tqdm(photos, desc="label", unit="photo", disable=None):
            image = read_photo(photo.path)
            symbols = sorted(photo.symbols)
            crop = frame_card(image)
            batch, transform = prepare(crop.image, bundle)
            scores, boxes = runner.infer(batch)
            placed = place_symbols(scores, boxes, [places[symbol] for symbol in symbols])
            name = photo.path.relative_to(folder).as_posix()
            if placed.sureness.min() < min_sureness:
                unsure.append(name)
                continue
            pixels = np.asarray(crop.to_picture(transform.to_picture(placed.boxes)), np.float64)
            lines.append(export_line(_row(photo.path, image, name, symbols, pixels)))
    with replaced_file(out) as side:
        side.write_text("".join(lines), encoding="utf-8", newline="\n")
    listed = out.with_suffix(".unsure.txt")
    with replaced_file(listed) as side:
        side.write_text("".join(f"{name}\n" for name in unsure), encoding="utf-8")
    return LabelSummary(len(lines), tuple(unsure), listed)


def place_symbols(scores: Floats, boxes: Floats, symbols: Sequence[int]) -> Placed:
    """Give each symbol of a card the place that makes all of them together most probable.

    Every place has at most one symbol. How sure that is comes from the same probabilities, brought to sums of
    one for symbols and places (R. Sinkhorn, 1964): a place that any of two symbols may have is unsure.

    Args:
        scores: float [A, 1 + C], the network's rows, column 0 is the background.
        boxes: float [A, 4] xyxy, their boxes.
        symbols: class ids of what is on the card.
    """
    columns = 1 + np.asarray(symbols)
    something = 1 - scores[:, 0].astype(np.float64)
    members = _places(boxes, something)
    strength = np.array([scores[rows][:, columns].max(axis=0) for rows in members], np.float64).T + _FLOOR
    rows, chosen = linear_sum_assignment(-np.log(strength))
    marginal = _doubly_stochastic(strength[:, chosen])
    best = [
        members[place][scores[members[place], column].argmax()]
        for place, column in zip(chosen, columns[rows], strict=True)
    ]
    there = np.array([something[members[place]].max() for place in chosen])
    return Placed(boxes[best].astype(np.float32), np.diagonal(marginal) * there)


def _row(
    path: Path, image: NDArray[np.uint8], name: str, symbols: Sequence[str], boxes: NDArray[np.float64]
) -> dict[str, Any]:
    """Give a photo's data row; as Labelbox does, in the pixels that the file stores."""
    size = check_photo(path)
    upright = [
        LabelledBox(symbol, left, top, right - left, bottom - top)
        for symbol, (left, top, right, bottom) in zip(symbols, boxes.tolist(), strict=True)
    ]
    stored = turn_boxes(upright, turn_back(size.orientation), size.upright)
    corners = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in stored]
    row = data_row(name, image, symbols, np.array(corners), _PROJECT)
    row["media_attributes"] |= {"width": size.stored[0], "height": size.stored[1]}
    if size.orientation != UPRIGHT:
        row["media_attributes"]["exif_rotation"] = str(size.orientation)
    return row


def _places(boxes: Floats, something: Floats) -> list[NDArray[np.int64]]:
    """Group the rows whose boxes lie on one another, around the strongest; the strongest groups first."""
    order = np.argsort(-something, kind="stable")
    found: list[NDArray[np.int64]] = []
    free = np.ones(len(boxes), bool)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for row in order:
        if len(found) == _PLACES:
            break
        if not free[row]:
            continue
        sides = np.minimum(boxes[:, 2:], boxes[row, 2:]) - np.maximum(boxes[:, :2], boxes[row, :2])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        here = np.flatnonzero(free & (shared > _SAME_PLACE * (areas + areas[row] - shared)))
        free[here] = False
        found.append(here)
    return found


def _doubly_stochastic(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    for _ in range(_ROUNDS):
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
        matrix = matrix / matrix.sum(axis=0, keepdims=True)
    return matrix
