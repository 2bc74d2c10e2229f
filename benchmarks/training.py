"""Measures training: photos a second of the whole loop, and the share of time spent waiting for photos."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import torch
from machine import machine, print_table

from dobble.data.convert import convert
from dobble.data.sample import render_photos
from dobble.data.split import split
from dobble.detector.train import TrainSummary, train
from dobble.errors import DobbleError
from dobble.params import Params, TrainParams, load_params

DECKS = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder with voc and splits")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    described = machine()
    try:
        params = load_params()
        recipe = params.train.model_copy(update={"epochs": arguments.epochs})
        with tempfile.TemporaryDirectory(prefix="dobble-") as name:
            build = arguments.build
            if not (build / "splits" / "train.txt").is_file():
                build = render(Path(name), params)
            print(f"Training on {described}, PyTorch {torch.__version__}, {recipe.threads} threads\n")
            print_table(("run", "photos/s", "waiting"), rows(build, Path(name), recipe, arguments.runs))
    except DobbleError as error:
        sys.exit(f"error: {error}")


def render(folder: Path, params: Params) -> Path:
    """Make the sample deck and its splits where there are none."""
    render_photos(folder / "data", decks=DECKS)
    convert(folder / "data", folder / "voc", params.convert)
    split(folder / "voc", folder / "splits", params.split)
    return folder


def rows(build: Path, scratch: Path, recipe: TrainParams, runs: int) -> Iterator[tuple[str, str, str]]:
    """Train some epochs of the real recipe in each run; the first epoch of each also decodes the photos."""
    done = []
    for run in range(runs):
        with redirect_stdout(sys.stderr):  # the epochs' losses are no part of the table
            done.append(train(build / "voc", build / "splits", scratch / f"train{run}", recipe))
        yield cells(str(run + 1), done[-1:])
    yield cells("**median**", done)


def cells(name: str, done: list[TrainSummary]) -> tuple[str, str, str]:
    """Medians over runs, as text."""
    speed = statistics.median(summary.photos_per_second for summary in done)
    waiting = statistics.median(summary.waiting_share for summary in done)
    return name, f"{speed:.1f}", f"{100 * waiting:.1f} %"


if __name__ == "__main__":
    main()
