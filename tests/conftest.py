"""Photos of coloured squares as Pascal VOC with splits, small enough to train on in a test."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import cv2
import numpy as np
import pytest

from dobble.data.voc import VocObject, VocPhoto, write_annotation, write_lines
from dobble.params import TrainParams, load_params

cv2.setNumThreads(1)
# Started in the background, this process ignores Ctrl-C, and so would the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

COLOURS = {"blue": (220, 60, 40), "green": (40, 200, 60), "red": (50, 40, 210)}
TRAIN, VAL, SIDE = 10, 3, 160


@pytest.fixture(scope="session")
def train_params() -> TrainParams:
    """The repository's recipe, made small."""
    params = load_params(Path(__file__).parents[1] / "params.yaml").train
    small = {"epochs": 2, "window": 96, "batch_size": 4, "device": "cpu", "threads": 1}
    return params.model_copy(update=small)


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the annotated photos and of their splits, to be read only."""
    root = tmp_path_factory.mktemp("squares")
    return write_squares(root / "voc"), write_splits(root / "splits")


@pytest.fixture
def own_squares(tmp_path: Path) -> tuple[Path, Path]:
    """Folders as `squares`, for a test that changes them."""
    return write_squares(tmp_path / "voc"), write_splits(tmp_path / "splits")


def write_squares(voc: Path) -> Path:
    for name in ("JPEGImages", "Annotations"):
        (voc / name).mkdir(parents=True)
    for number in range(TRAIN + VAL):
        rng = np.random.default_rng(number)
        image = rng.integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
        objects = []
        corner = rng.integers(10, SIDE - 60, 2)
        for quarter, (name, colour) in zip(rng.permutation(4), COLOURS.items(), strict=False):
            side = int(rng.integers(14, 19))
            left, top = (
                int(edge) for edge in corner + np.array(divmod(int(quarter), 2)) * 24 + rng.integers(0, 4, 2)
            )
            image[top : top + side, left : left + side] = colour
            objects.append(VocObject(name, left + 1, top + 1, left + side, top + side))
        cv2.imwrite(str(voc / f"JPEGImages/photo{number:02d}.png"), image)
        photo = VocPhoto(f"photo{number:02d}.png", SIDE, SIDE, tuple(objects))
        write_annotation(voc / f"Annotations/photo{number:02d}.xml", photo)
    write_lines(voc / "labels.txt", sorted(COLOURS))
    return voc


def write_splits(splits: Path) -> Path:
    splits.mkdir()
    names = [f"photo{number:02d}" for number in range(TRAIN + VAL)]
    write_lines(splits / "train.txt", names[:TRAIN])
    write_lines(splits / "val.txt", names[TRAIN:])
    return splits
