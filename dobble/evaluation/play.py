"""Pictures of cards to the symbol that they share, drawn on them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.detector.dataset import read_photo
from dobble.files import replaced_file
from jetson.play.bundle import load_bundle
from jetson.play.command import Outcome, play_images
from jetson.play.detect import Detector
from jetson.runners import open_runner


def play_pictures(bundle_folder: Path, pictures: list[Path]) -> Outcome:
    """Play two photos of one card each, or the cards that lie on one photo of a table.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        MissingInputError, PhotoError: if a picture is not there or is none.
    """
    bundle = load_bundle(str(bundle_folder))
    images = [read_photo(path) for path in pictures]
    with open_runner("onnxruntime-cpu", bundle) as runner:
        return play_images(Detector(bundle, runner), images)


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
