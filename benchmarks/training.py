"""Measures training: photos a second of the whole loop, quiet and beside busy processes, in pairs."""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from machine import machine, print_table

from dobble.data.convert import convert
from dobble.data.sample import render_photos
from dobble.data.split import split
from dobble.detector.train import TrainSummary, train
from dobble.env import let_waiting_threads_sleep
from dobble.errors import DobbleError
from dobble.params import Params, TrainParams, load_params

DECKS = 10
BUSY = (sys.executable, "-c", "while True: pass")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder with voc and splits")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside every second training")
    arguments = parser.parse_args()
    described = machine()
    let_waiting_threads_sleep()  # in the processes that train, as `dobble train` does
    try:
        params = load_params()
        recipe = params.train.model_copy(update={"epochs": arguments.epochs})
        with tempfile.TemporaryDirectory(prefix="dobble-") as name:
            build = arguments.build
            if not (build / "splits" / "train.txt").is_file():
                build = render(Path(name), params)
            print(f"Training on {described}, {recipe.threads} threads\n")
            header = ("run", "photos/s", "waiting", f"beside {arguments.busy} busy", "ratio")
            print_table(header, rows(build, Path(name), recipe, arguments.runs, arguments.busy))
    except DobbleError as error:
        sys.exit(f"error: {error}")


def render(folder: Path, params: Params) -> Path:
    """Make the sample deck and its splits where there are none."""
    render_photos(folder / "data", decks=DECKS)
    convert(folder / "data", folder / "voc", params.convert)
    split(folder / "voc", folder / "splits", params.split)
    return folder


def rows(
    build: Path, scratch: Path, recipe: TrainParams, runs: int, busy: int
) -> Iterator[tuple[str, str, str, str, str]]:
    """Train some epochs of the real recipe twice in each run; the first epoch also decodes the photos."""
    quiet, beside = [], []
    for run in range(runs):
        for beside_busy, done in ((0, quiet), (busy, beside)):
            with ExitStack() as stack:
                for _ in range(beside_busy):
                    process = stack.enter_context(subprocess.Popen(BUSY))
                    stack.callback(process.kill)
                done.append(measured(build, scratch / "train", recipe))
        yield cells(str(run + 1), quiet[-1:], beside[-1:])
    yield cells("**median**", quiet, beside)


def measured(build: Path, out: Path, recipe: TrainParams) -> TrainSummary:
    """Train in a process of its own, whose threads are nobody else's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(quietly, build, out, recipe).result()


def quietly(build: Path, out: Path, recipe: TrainParams) -> TrainSummary:
    """Train; the epochs' losses are no part of the table."""
    with redirect_stdout(sys.stderr):
        return train(build / "voc", build / "splits", out, recipe)


def cells(name: str, quiet: list[TrainSummary], beside: list[TrainSummary]) -> tuple[str, str, str, str, str]:
    """Medians over runs, as text."""
    speed, slowed = (
        statistics.median(summary.photos_per_second for summary in done) for done in (quiet, beside)
    )
    waiting = statistics.median(summary.waiting_share for summary in quiet)
    return name, f"{speed:.1f}", f"{100 * waiting:.1f} %", f"{slowed:.1f}", f"{slowed / speed:.2f}"


if __name__ == "__main__":
    main()
