"""A game of seven symbols as the stages lay it out below a project's folder, for the tests."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from dobble.params import Params

ROOT = Path(__file__).resolve().parent.parent

# The points of the smallest projective plane; the deck has seven cards of three symbols.
SYMBOLS = tuple(f"corners{corners}" for corners in range(3, 10))

SHRUNK: dict[str, dict[str, Any]] = {
    "split": {"ratios": {"train": 0.5, "val": 0.25, "test": 0.25}},
    "validate": {"deepchecks": False},
    "train": {"epochs": 2, "window": 160, "batch_size": 4, "threads": 1, "device": "cpu"},
    "export": {"samples": 3},
    "evaluate": {"deepchecks": False},
}


@dataclass(frozen=True)
class Pipeline:
    """Outputs of the stages, as `dobble` lays them out below a project's folder."""

    root: Path
    params: Params

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def voc(self) -> Path:
        return self.root / "build/voc"

    @property
    def splits(self) -> Path:
        return self.root / "build/splits"

    @property
    def checkpoint(self) -> Path:
        return self.root / "build/train/checkpoint.pt"

    @property
    def history(self) -> Path:
        return self.root / "build/train/history.csv"

    @property
    def bundle(self) -> Path:
        return self.root / "build/bundle"

    def photo(self, deck: int, card: int) -> Path:
        return self.data / f"images/deck{deck:02d}_card{card:02d}.jpg"


def write_params(folder: Path, **changes: dict[str, Any]) -> Path:
    """Write the project's own parameters, shrunk, and changed block by block."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for blocks in (SHRUNK, changes):
        for block, entries in blocks.items():
            values[block].update(entries)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def write_known_cards(folder: Path, pipeline: Pipeline, session: str) -> None:
    """Copy the photos of a session, with what is on each in `cards.json`."""
    cards = {}
    for path in sorted((pipeline.data / "images").glob(f"{session}_*")):
        (folder / path.name).write_bytes(path.read_bytes())
        shown = (pipeline.voc / "Annotations" / f"{path.stem}.xml").read_text(encoding="utf-8")
        cards[path.name] = {"symbols": [name for name in SYMBOLS if f">{name}<" in shown]}
    (folder / "cards.json").write_text(json.dumps(cards), encoding="utf-8")


def draw_symbols(folder: Path) -> Path:
    """Draw regular polygons, each with its own number of corners and its own colour."""
    folder.mkdir()
    for number, name in enumerate(SYMBOLS):
        image = np.full((90, 90, 3), 255, np.uint8)
        turns = np.arange(number + 3) * 2 * np.pi / (number + 3)
        points = 45 + 40 * np.stack([np.cos(turns), np.sin(turns)], 1)
        colour = cv2.cvtColor(np.array([[[number * 25, 255, 180]]], np.uint8), cv2.COLOR_HSV2BGR)
        cv2.fillPoly(image, [points.astype(np.int32)], colour[0, 0].tolist())
        assert cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@contextmanager
def full_disk(largest_file: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
