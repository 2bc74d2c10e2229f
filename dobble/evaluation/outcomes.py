"""Judged photos and played pairs to the two tables that comparisons of bundles draw their samples from."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dobble.errors import MissingInputError

PHOTOS, PAIRS = "photos.csv", "pairs.csv"
_COLUMNS = ("photo", "card", "right", "wrong", "overlap")


@dataclass(frozen=True)
class Outcomes:
    """How each test photo was read, and who won each pair of them; sums and means of it are metrics.

    Attributes:
        photos: names of P photos.
        cards: int64 [P], a number for the card on each; photos of one card have the same.
        right: int64 [P], detections on an object of their class.
        wrong: int64 [P], detections on an object of another class.
        overlap: float64 [P], IoU of those that are right, summed.
        pairs: int64 [N, 2], the places of two photos in `photos`.
        won: bool [N] for each rule of the game.
    """

    photos: tuple[str, ...]
    cards: NDArray[np.int64]
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    overlap: NDArray[np.float64]
    pairs: NDArray[np.int64]
    won: dict[str, NDArray[np.bool_]]


def write_outcomes(folder: Path, outcomes: Outcomes) -> None:
    """Write `photos.csv` and `pairs.csv` into a new folder."""
    folder.mkdir()
    columns = (outcomes.cards, outcomes.right, outcomes.wrong, np.round(outcomes.overlap, 4))
    photos = zip(outcomes.photos, *(column.tolist() for column in columns), strict=True)
    _write(folder / PHOTOS, _COLUMNS, list(photos))
    won = np.column_stack([outcomes.pairs, *outcomes.won.values()]).astype(np.int64)
    _write(folder / PAIRS, ("first", "second", *outcomes.won), won.tolist())


def read_outcomes(folder: Path) -> Outcomes:
    """Read what `write_outcomes` wrote.

    Raises:
        MissingInputError: if one of the files is not there.
    """
    photos, pairs = _read(folder / PHOTOS), _read(folder / PAIRS)
    numbers = np.array([list(row.values())[1:] for row in photos], np.float64).reshape(-1, 4)
    rules = list(pairs[0])[2:] if pairs else []
    played = np.array([list(row.values()) for row in pairs], np.int64).reshape(-1, 2 + len(rules))
    return Outcomes(
        photos=tuple(row["photo"] for row in photos),
        cards=numbers[:, 0].astype(np.int64),
        right=numbers[:, 1].astype(np.int64),
        wrong=numbers[:, 2].astype(np.int64),
        overlap=numbers[:, 3],
        pairs=played[:, :2],
        won={rule: played[:, 2 + place] == 1 for place, rule in enumerate(rules)},
    )


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise MissingInputError(path, "run `dvc repro`") from error
