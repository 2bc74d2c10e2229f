"""Measures training: photos a second of the whole loop, quiet and beside busy processes, in pairs."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from machine import machine, print_table

from dobble.data.convert import convert
from dobble.data.split import split
from dobble.detector.ranks import launch, process_count
from dobble.detector.train import train
from dobble.env import torchrun_place
from dobble.errors import DobbleError
from dobble.params import Params, load_params
from dobble.sample.labelled_photos import render_photos

DECKS = 10
BUSY = (sys.executable, "-c", "while True: pass")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder with voc and splits")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside every second training")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # in the processes that train
    arguments = parser.parse_args()
    if arguments.result is not None:
        train_once(arguments.build, arguments.epochs, arguments.result)
        return
    described = machine()
    try:
        params = load_params()
        processes = process_count(params.train)
        with tempfile.TemporaryDirectory(prefix="dobble-") as name:
            build = arguments.build
            if not (build / "splits" / "train.txt").is_file():
                build = render(Path(name), params)
            print(f"Training on {described}, {processes} processes, {params.train.threads} threads each\n")
            header = ("run", "photos/s", "waiting", f"beside {arguments.busy} busy", "ratio")
            print_table(header, rows(build, arguments.epochs, arguments.runs, processes, arguments.busy))
    except DobbleError as error:
        sys.exit(f"error: {error}")


def render(folder: Path, params: Params) -> Path:
    """Make the sample deck and its splits where there are none."""
    render_photos(folder / "data", decks=DECKS)
    convert(folder / "data", folder / "voc", params.convert)
    split(folder / "voc", folder / "splits", params.split)
    return folder


def rows(build: Path, epochs: int, runs: int, processes: int, busy: int) -> Iterator[tuple[str, ...]]:
    """Train some epochs of the real recipe twice in each run; the first epoch also decodes the photos."""
    quiet, beside = [], []
    for run in range(runs):
        for beside_busy, done in ((0, quiet), (busy, beside)):
            with ExitStack() as stack:
                for _ in range(beside_busy):
                    process = stack.enter_context(subprocess.Popen(BUSY))
                    stack.callback(process.kill)
                done.append(measured(build, epochs, processes))
        yield cells(str(run + 1), quiet[-1:], beside[-1:])
    yield cells("**median**", quiet, beside)


class Speed(NamedTuple):
    """Photos a second of all processes, and the share of the time that they waited for photos."""

    photos_per_second: float
    waiting_share: float


def measured(build: Path, epochs: int, processes: int) -> Speed:
    """Train in as many processes as `dobble train` does."""
    with tempfile.TemporaryDirectory(prefix="dobble-") as name:
        result = Path(name) / "speed.json"
        this = [__file__, "--build", str(build.resolve()), "--epochs", str(epochs), "--result", str(result)]
        launch(processes, this)
        return Speed(**json.loads(result.read_text(encoding="utf-8")))


def train_once(build: Path, epochs: int, result: Path) -> None:
    """Train in one of the processes; the first one writes how fast all were."""
    recipe = load_params().train.model_copy(update={"epochs": epochs})
    with redirect_stdout(sys.stderr):  # the epochs' losses are no part of the table
        done = train(build / "voc", build / "splits", result.with_name("train"), recipe)
    place = torchrun_place()
    if place is not None and place.rank == 0:
        speed = Speed(done.photos_per_second, done.waiting_share)
        result.write_text(json.dumps(speed._asdict()), encoding="utf-8")


def cells(name: str, quiet: list[Speed], beside: list[Speed]) -> tuple[str, ...]:
    """Medians over runs, as text."""
    speed, slowed = (statistics.median(one.photos_per_second for one in done) for done in (quiet, beside))
    waiting = statistics.median(one.waiting_share for one in quiet)
    return name, f"{speed:.1f}", f"{100 * waiting:.1f} %", f"{slowed:.1f}", f"{slowed / speed:.2f}"


if __name__ == "__main__":
    main()
