"""Pictures of cards to the symbol that they share, drawn on them."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.detector.dataset import read_photo
from dobble.files import replaced_file
from jetson.bundle import load_bundle
from jetson.detect import Detector
from jetson.draw import draw_match, draw_table
from jetson.game import Match, play
from jetson.runners import open_runner
from jetson.table import play_table, read_photo_of_card


class Outcome(NamedTuple):
    """What to say and to show of a played picture.

    Attributes:
        lines: one sentence for each pair of cards, the most certain first.
        picture: uint8 [H, W, 3] BGR, the cards with the shared symbol of the first pair marked.
        answered: whether the first pair has an answer.
    """

    lines: list[str]
    picture: NDArray[np.uint8]
    answered: bool


def play_pictures(bundle_folder: Path, pictures: list[Path]) -> Outcome:
    """Play two photos of one card each, or the cards that lie on one photo of a table.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        MissingInputError, PhotoError: if a picture is not there or is none.
    """
    bundle = load_bundle(str(bundle_folder))
    images = [read_photo(path) for path in pictures]
    with open_runner("onnxruntime-cpu", bundle) as runner:
        detector = Detector(bundle, runner)
        if len(images) == 2:
            match = play(bundle, *(read_photo_of_card(detector, image) for image in images))
            picture = draw_match(images[0], images[1], match, bundle.labels)
            return Outcome([describe(match, bundle.labels)], picture, match.no_answer is None)
        table = play_table(detector, images[0])
    if not table.rounds:
        picture = draw_table(images[0], table.cards, None, bundle.labels)
        return Outcome([f"no answer: {table.no_answer}"], picture, answered=False)
    several = len(table.cards) > 2
    lines = [
        (f"cards {played.first + 1} and {played.second + 1} from the left: " if several else "")
        + describe(played.match, bundle.labels)
        for played in table.rounds
    ]
    best = table.rounds[0].match
    picture = draw_table(images[0], table.cards, best, bundle.labels)
    return Outcome(lines, picture, best.no_answer is None)


def describe(match: Match, labels: tuple[str, ...]) -> str:
    """Say the answer with its probability and the runner-up, or why there is none."""
    if match.no_answer is not None:
        return f"no answer: {match.no_answer}"
    second = f"{labels[match.runner_up]} {match.runner_up_probability:.1%}"
    return f"{labels[match.symbol]} ({match.probability:.1%}; next {second})"


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture in the format of its suffix.

    Raises:
        OutputError: if it cannot be written.
        ValueError: if the suffix is of no format that OpenCV writes.
    """
    suffix = path.suffix.lower() or ".jpg"
    try:
        done, encoded = cv2.imencode(suffix, picture)
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f"{path}: no picture can be written as {suffix!r}; name it .jpg or .png")
    with replaced_file(path) as side:
        side.write_bytes(encoded.tobytes())
