"""Measures the server: what HTTP adds to a match, what viewers cost, how soon it answers, its memory."""

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from live_server import LiveServer
from machine import machine, print_table

from jetson.errors import JetsonError
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector
from jetson.play.table import play_table
from jetson.runners import open_runner

VIEWERS = 3
CAMERA_FPS = 240  # faster than the network, so that nothing but the processor limits it
BARS = {"added_ms": 5.0, "loss": 0.10, "start_s": 3.0, "memory_mb": 350.0}


def main() -> None:
    """Print the table; exit with 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--requests", type=int, default=60, help="in each of five blocks")
    parser.add_argument(
        "--seconds", type=float, default=8, help="with and without viewers, in each of four blocks"
    )
    arguments = parser.parse_args()
    print(machine(), end="\n\n")
    try:
        computing, decoding, answering = match_times(arguments.bundle, arguments.requests)
    except JetsonError as error:
        sys.exit(f"error: {error}")
    alone, watched, seen = stream_rates(arguments.bundle, arguments.seconds)
    starts, memory = zip(*(start(arguments.bundle) for _ in range(3)), strict=True)
    added = answering - computing - decoding
    loss = 1 - watched / alone
    results = [
        ("find, 2 cards, match (p50)", f"{computing:.1f} ms", ""),
        ("decode 1280 x 720 JPEG (p50)", f"{decoding:.1f} ms", ""),
        ("POST /match (p50)", f"{answering:.1f} ms", ""),
        ("HTTP adds", f"{added:.1f} ms", f"<= {BARS['added_ms']:.0f} ms"),
        ("HTTP and decoding add", f"{answering - computing:.1f} ms", ""),
        ("frames played, nobody watches", f"{alone:.1f} /s", ""),
        (f"frames played, {VIEWERS} viewers at {seen:.0f} fps", f"{watched:.1f} /s", ""),
        ("viewers cost", f"{loss:.1%}", f"<= {BARS['loss']:.0%}"),
        ("start to first answer", f"{statistics.median(starts):.1f} s", f"<= {BARS['start_s']:.0f} s"),
        ("resident memory, 3 viewers", f"{max(memory):.0f} MB", f"<= {BARS['memory_mb']:.0f} MB"),
    ]
    print_table(["", "measured", "bar"], results)
    met = [
        added <= BARS["added_ms"],
        loss <= BARS["loss"],
        statistics.median(starts) <= BARS["start_s"],
        max(memory) <= BARS["memory_mb"],
    ]
    sys.exit(0 if all(met) else 1)


def match_times(bundle_folder: Path, requests: int) -> tuple[float, float, float]:
    """Return milliseconds (p50) of a table computed here, of its decoding, and of both by HTTP, in turns."""
    bundle = load_bundle(str(bundle_folder))
    content = (bundle_folder / "samples/table.jpg").read_bytes()
    computing, decoding, answering = [], [], []
    with (
        LiveServer(bundle_folder, "--source", "none") as server,
        open_runner("onnxruntime-cpu", bundle) as runner,
    ):
        detector = Detector(bundle, runner)
        while server.ask("GET", "/healthz")[0] != 200:
            time.sleep(0.05)
        for block in range(6):
            here, coded, there = [], [], []
            for _ in range(requests):
                begun = time.perf_counter()
                image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                decoded = time.perf_counter()
                play_table(detector, image)
                here.append(time.perf_counter() - decoded)
                coded.append(decoded - begun)
            for _ in range(requests):
                begun = time.perf_counter()
                status, _ = server.ask("POST", "/match", content)
                there.append(time.perf_counter() - begun)
                assert status == 200
            if block:  # the first warms up
                computing += here
                decoding += coded
                answering += there
    milliseconds = [1000 * statistics.median(values) for values in (computing, decoding, answering)]
    return milliseconds[0], milliseconds[1], milliseconds[2]


def stream_rates(bundle: Path, seconds: float) -> tuple[float, float, float]:
    """Return frames played per second without and with viewers, in turns, and the viewers' own rate."""
    alone, watched, seen = [], [], []
    with LiveServer(
        bundle, "--source", str(bundle / "samples/table.jpg"), "--fps", str(CAMERA_FPS)
    ) as server:
        wait_for_match(server)
        time.sleep(2)
        for _ in range(4):
            alone.append(played(server, seconds))
            leave = threading.Event()
            counts = [0] * VIEWERS
            viewers = [
                threading.Thread(target=watch, args=(server, leave, counts, n)) for n in range(VIEWERS)
            ]
            for viewer in viewers:
                viewer.start()
            time.sleep(0.5)
            before = list(counts)
            watched.append(played(server, seconds))
            seen += [(after - first) / seconds for after, first in zip(counts, before, strict=True)]
            leave.set()
            for viewer in viewers:
                viewer.join()
    return statistics.mean(alone), statistics.mean(watched), statistics.mean(seen)


def played(server: LiveServer, seconds: float) -> float:
    """Return how many frames per second the server plays."""
    before, begun = server.metrics()["dobble_frames_played_total"], time.monotonic()
    time.sleep(seconds)
    return (server.metrics()["dobble_frames_played_total"] - before) / (time.monotonic() - begun)


def watch(server: LiveServer, leave: threading.Event, counts: list[int], number: int) -> None:
    """Count pictures until told to leave."""
    viewer = server.watch()
    while not leave.is_set():
        viewer.read()
        counts[number] += 1
    viewer.close()


def start(bundle: Path) -> tuple[float, float]:
    """Return the seconds from start to first answer, and the memory in MB after a while with viewers."""
    with LiveServer(bundle, "--source", str(bundle / "samples/table.jpg")) as server:
        wait_for_match(server)
        seconds = time.monotonic() - server.begun
        viewers = [server.watch() for _ in range(VIEWERS)]
        for _ in range(30):
            for viewer in viewers:
                viewer.read()
        memory = server.metrics()["dobble_resident_memory_bytes"] / 1e6
        for viewer in viewers:
            viewer.close()
    return seconds, memory


def wait_for_match(server: LiveServer) -> None:
    """Return once the server has named a symbol."""
    while (server.state()["match"] or {}).get("symbol") is None:
        time.sleep(0.02)


if __name__ == "__main__":
    main()
