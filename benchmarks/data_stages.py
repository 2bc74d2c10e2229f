"""Shows that convert and split grow linearly: seconds, milliseconds per photo and peak memory as a table."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from machine import machine, print_table

from dobble.data.convert import convert
from dobble.data.split import split
from dobble.params import ConvertParams, SplitParams, SplitRatios

CARDS = 57
SIDE = 480
CONVERT = ConvertParams(several_labels="refuse")
SPLIT = SplitParams(
    group_by="deck",
    group_pattern=r"deck(?P<deck>\d+)_card(?P<card>\d+)",
    ratios=SplitRatios(train=0.8, val=0.1, test=0.1),
    seed=0,
)


def main() -> None:
    """Print the table, or, as a child process, the cost of one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[500, 5_000, 20_000])
    parser.add_argument("--stage", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        print(json.dumps(measure(arguments.stage[0], Path(arguments.stage[1]))))
        return
    print(f"Convert and split on {machine()}\n")
    print_table(("stage", "photos", "seconds", "ms per photo", "peak memory (MB)"), rows(arguments.photos))


def rows(sizes: list[int]) -> Iterator[tuple[str, ...]]:
    """Measure each stage at each size, in a process of its own so that its peak memory is its own."""
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="dobble-") as name:
            write_raw(Path(name) / "data", count)
            for stage in ("convert", "split"):
                command = [sys.executable, __file__, "--stage", stage, name]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                cost = json.loads(done.stdout)
                seconds, megabytes = cost["seconds"], cost["megabytes"]
                yield (
                    stage,
                    f"{count}",
                    f"{seconds:.2f}",
                    f"{1000 * seconds / count:.2f}",
                    f"{megabytes:.0f}",
                )


def measure(stage: str, folder: Path) -> dict[str, float]:
    """Run one stage in this process."""
    start = time.perf_counter()
    if stage == "convert":
        convert(folder / "data", folder / "voc", CONVERT)
    else:
        split(folder / "voc", folder / "splits", SPLIT)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def write_raw(folder: Path, count: int) -> None:
    """Write raw data of many photos that share the bytes of one deck's 57."""
    images = folder / "images"
    images.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for card in range(CARDS):
        pixels = np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)
        cv2.circle(pixels, (SIDE // 2, SIDE // 2), SIDE // 2 - 10, (240, 240, 240), -1)
        for left, top in generator.integers(60, SIDE - 120, (8, 2)).tolist():
            colour = generator.integers(0, 255, 3).tolist()
            cv2.rectangle(pixels, (left, top), (left + 60, top + 60), colour, -1)
        noise = generator.integers(0, 12, pixels.shape, dtype=np.uint8)
        cv2.imwrite(str(images / photo_name(card)), pixels + noise)
    for number in range(CARDS, count):
        os.link(images / photo_name(number % CARDS), images / photo_name(number))
    with (folder / "export.ndjson").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(data_row(number)) + "\n" for number in range(count))


def photo_name(number: int) -> str:
    """Name a photo as the sample deck does."""
    return f"deck{number // CARDS:03}_card{number % CARDS:02}.jpg"


def data_row(number: int) -> dict[str, object]:
    """Label eight symbols; which ones does not matter here, only that each stands on several cards."""
    objects = [
        {
            "name": f"symbol {(number + step * step) % CARDS}",
            "annotation_kind": "ImageBoundingBox",
            "bounding_box": {"left": 50.5 * step, "top": 40.25 * step, "width": 60, "height": 60},
        }
        for step in range(8)
    ]
    name = photo_name(number)
    return {
        "data_row": {"id": name, "external_id": name},
        "media_attributes": {"width": SIDE, "height": SIDE},
        "projects": {"p": {"labels": [{"id": name, "annotations": {"objects": objects}}]}},
    }


if __name__ == "__main__":
    main()
