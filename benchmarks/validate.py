"""Shows that validate grows linearly with the photos: seconds and peak memory for ever more sample decks."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dobble.data.convert import convert
from dobble.data.split import split
from dobble.params import load_params
from dobble.sample.labelled_photos import render_photos
from dobble.validation.validate import validate

CARDS = 57


def main() -> None:
    """Print the table, or, as a child process, the cost of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decks", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder)))
        return
    print(f"validate on {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| photos | seconds | CPU seconds | ms per photo | peak memory (MB) | findings |")
    print("|---:|---:|---:|---:|---:|---:|")
    for decks in arguments.decks:
        with tempfile.TemporaryDirectory(prefix="dobble-") as name:
            prepare(Path(name), decks)
            command = [sys.executable, __file__, "--folder", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            cost = json.loads(done.stdout.splitlines()[-1])
        seconds, photos = cost["seconds"], decks * CARDS
        print(
            f"| {photos} | {seconds:.1f} | {cost['cpu']:.1f} | {1000 * seconds / photos:.1f} |"
            f" {cost['megabytes']:.0f} | {cost['findings']} |",
            flush=True,
        )


def prepare(folder: Path, decks: int) -> None:
    """Render sessions of the sample deck, and run the stages before validate."""
    params = load_params()
    render_photos(folder / "data", symbols=None, decks=decks, seed=0)
    convert(folder / "data", folder / "voc", params.convert)
    split(folder / "voc", folder / "splits", params.split)


def measure(folder: Path) -> dict[str, float]:
    """Run validate in this process; importing Deepchecks counts."""
    params = load_params()
    start = time.perf_counter()
    done = validate(
        folder / "voc",
        folder / "splits",
        folder / "data",
        folder / "validation",
        params.validation,
        params.split,
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss / 1024,
        "findings": sum(done.severities.values()),
    }


if __name__ == "__main__":
    main()
