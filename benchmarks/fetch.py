"""Times the fetch of a Labelbox project from a stand-in on this machine, first and again with nothing new."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from machine import machine, print_table

STANDIN = Path(__file__).parents[1] / "tests/sources/labelbox_standin.py"
BARS = {"first": 10.0, "again": 3.0}

COMMAND = """
import sys, time
from pathlib import Path
from dobble.sources.fetch import fetch
from dobble.sources.labelbox import LabelboxSettings

start = time.perf_counter()
done = fetch(sys.argv[1], Path(sys.argv[2]), LabelboxSettings("test-key", sys.argv[3]))
print(done.downloaded, time.perf_counter() - start)
"""


def main() -> None:
    """Print the table; exit with 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--side", type=int, default=480, help="of a photo, in pixels")
    arguments = parser.parse_args()
    said = machine()
    missed = False
    with tempfile.TemporaryDirectory(prefix="dobble-") as name:
        folder = Path(name)
        megabytes = write_photos(folder / "photos", arguments.photos, arguments.side)
        compile_modules(folder)
        server = serve(folder / "photos", arguments.latency)
        try:
            endpoint, project = server.stdout.readline().split()
            given = (
                f"{arguments.photos} photos ({megabytes:.0f} MB), {1000 * arguments.latency:.0f} ms latency"
            )
            print(f"Fetch of {given}, on {said}\n")
            rows = []
            for turn, bar in BARS.items():
                seconds, whole, downloaded = measure(endpoint, project, folder)
                missed |= whole >= bar
                rows.append((turn, str(downloaded), f"{seconds:.2f}", f"{whole:.2f}", f"{bar:.0f}"))
            print_table(("fetch", "downloaded", "fetch (s)", "command (s)", "bar (s)"), rows)
        finally:
            server.terminate()
            server.wait()
    sys.exit(missed)


def measure(endpoint: str, project: str, folder: Path) -> tuple[float, float, int]:
    """Fetch in a process of its own; give seconds of the fetch and of the process, and the new photos."""
    start = time.perf_counter()
    command = [sys.executable, "-c", COMMAND, project, str(folder / "data"), endpoint]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=compiled(folder))
    downloaded, seconds = done.stdout.split()
    return float(seconds), time.perf_counter() - start, int(downloaded)


def compile_modules(folder: Path) -> None:
    """Let Python compile what a fetch imports, as it is after an installation."""
    command = [sys.executable, "-c", "import labelbox, dobble.sources.fetch"]
    subprocess.run(command, check=True, env=compiled(folder))


def compiled(folder: Path) -> dict[str, str]:
    """Give an environment in which Python keeps compiled modules."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "pycache"), "NO_PROXY": "127.0.0.1"}


def serve(photos: Path, latency: float) -> subprocess.Popen[str]:
    """Start the stand-in in a process of its own."""
    command = [sys.executable, str(STANDIN), str(photos), "--latency", str(latency)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def write_photos(folder: Path, count: int, side: int) -> float:
    """Write photos of noise and shapes; give their size in MB."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 24, (side, side, 3), dtype=np.uint8)
    for number in range(count):
        pixels = noise + np.uint8(number % 200)
        cv2.circle(pixels, (side // 2, side // 2), side // 3, generator.integers(0, 255, 3).tolist(), -1)
        cv2.imwrite(str(folder / f"deck{number // 57:02}_card{number % 57:02}.jpg"), pixels)
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


if __name__ == "__main__":
    main()
