"""Puts the server under load that means no good; it must never be down, and memory and threads stay flat."""

import argparse
import random
import shutil
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from live_server import LiveServer
from machine import machine, print_table

POSTERS, WATCHERS, SLOW = 4, 3, 24
PATIENCE = 5.0  # seconds in which the server must answer at any time, on a machine that is not slow
CAMERA_SECONDS = 5.0  # between two losses of the camera, and again until it is back
SETTLE_SECONDS = 15.0
GROWTH = 1.15  # of the memory, from the second quarter of the time to its end
SLACK_MB = 16.0
HUGE = 64 << 20  # bytes
BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 50000, 50000)


class Load:
    """What all clients share."""

    def __init__(self, server: LiveServer, table: bytes, patience: float) -> None:
        self.server = server
        self.patience = patience
        self.table = table
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def repeat(self, work: Callable[["Load"], None]) -> None:
        """Do the work until time is over; what the server does to a bad client is no failure."""
        while not self.over.is_set():
            with suppress(OSError):
                work(self)

    def expect(self, what: str, status: int, *allowed: int) -> None:
        """Count an answer, and note one that must not be."""
        self.counts[f"{what}: {status}"] += 1
        if status not in allowed:
            self.failures.append(f"{what} was answered with {status}")


def main() -> None:
    """Print what happened; exit with 1 if the server was down, grew or lost threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="in which it must answer")
    arguments = parser.parse_args()
    print(machine(), end="\n\n")
    table = arguments.bundle / "samples/table.jpg"
    with tempfile.TemporaryDirectory() as name:
        camera = Path(name) / "table.jpg"
        shutil.copy(table, camera)
        server = LiveServer(arguments.bundle, "--source", name, "--hold", "0.5")
        with server:
            load = Load(server, table.read_bytes(), arguments.patience)
            failures = run(server, load, camera, arguments.seconds)
    for failure in failures:
        print(f"failed: {failure}")
    sys.exit(1 if failures else 0)


def run(server: LiveServer, load: Load, camera: Path, seconds: float) -> list[str]:
    """Run all clients for a time, and return what went wrong."""
    while server.state()["frame"] is None:
        time.sleep(0.1)
    threads_before = server.metrics()["dobble_threads"]
    works = [post] * POSTERS + [watch] * WATCHERS + [stall, malformed, declare, upload] + [drip] * SLOW
    clients = [threading.Thread(target=load.repeat, args=(work,), daemon=True) for work in works]
    clients.append(threading.Thread(target=unplug, args=(load, camera), daemon=True))
    for client in clients:
        client.start()
    memory = probe(load, seconds)
    load.over.set()
    for client in clients:
        client.join(load.patience)
    end = time.monotonic() + SETTLE_SECONDS
    while (now := server.metrics())["dobble_threads"] > threads_before + 1 and time.monotonic() < end:
        time.sleep(0.2)
    while server.ask("GET", "/healthz")[0] != 200 and time.monotonic() < end:
        time.sleep(0.2)

    early = statistics.median(memory[len(memory) // 4 : len(memory) // 2 + 1])
    late = now["dobble_resident_memory_bytes"] / 1e6
    failures = list(dict.fromkeys(load.failures))
    if now["dobble_threads"] > threads_before + 1:
        failures.append(f"threads: {threads_before:.0f} before, {now['dobble_threads']:.0f} after")
    if late > GROWTH * early + SLACK_MB:
        failures.append(f"memory grew from {early:.0f} to {late:.0f} MB")
    if server.ask("GET", "/healthz")[0] != 200:
        failures.append("not healthy at the end")
    needed = ["match: 200", "picture", "malformed: 4xx", "upload: 413", "slow client cut off"]
    failures += [f"never seen: {what}" for what in needed if not load.counts[what]]
    failures += stop(load)
    rows = [(what, f"{load.counts[what]}") for what in sorted(load.counts)]
    rows += [
        ("memory, second quarter, median", f"{early:.0f} MB"),
        ("memory, highest", f"{max(memory):.0f} MB"),
        ("memory, end", f"{late:.0f} MB"),
        ("threads, before and after", f"{threads_before:.0f}, {now['dobble_threads']:.0f}"),
    ]
    print_table(["", f"in {seconds:.0f} s"], rows)
    return failures


def probe(load: Load, seconds: float) -> list[float]:
    """Ask for the metrics again and again, as a monitoring would, and return the memory in MB."""
    memory, slowest = [], 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        try:
            memory.append(load.server.metrics()["dobble_resident_memory_bytes"] / 1e6)
        except (OSError, ValueError, KeyError, IndexError) as error:
            load.failures.append(f"down: {type(error).__name__}")
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.25)
    load.counts["slowest answer to the monitoring, ms"] = round(1000 * slowest)
    if slowest > load.patience:
        load.failures.append(f"an answer took {slowest:.1f} s")
    return memory


def post(load: Load) -> None:
    """Ask for a match, as fast as it is answered."""
    status, _ = load.server.ask("POST", "/match", load.table)
    load.expect("match", status, 200, 503)


def watch(load: Load) -> None:
    """Watch one of the streams for a while."""
    viewer = load.server.watch(random.choice(["/camera.mjpg", "/stream.mjpg"]))
    try:
        load.expect("stream", viewer.answer.status, 200, 503)
        for _ in range(random.randint(1, 60)):
            if load.over.is_set() or viewer.answer.status != 200:
                break
            viewer.read()
            load.counts["picture"] += 1
    finally:
        viewer.close()


def stall(load: Load) -> None:
    """Open a stream and never read it."""
    viewer = load.server.watch()
    load.over.wait(random.uniform(1, 15))
    viewer.close()


def malformed(load: Load) -> None:
    """Send what no client should."""
    noise = random.randbytes(random.randint(1, 2000))
    cut = load.table[: random.randint(0, 2000)]
    body = random.choice([noise, cut, BOMB, BOMB + noise, b"\xff\xd8\xff\xc0" + noise])
    if random.random() < 0.5:
        status, _ = load.server.ask("POST", "/match", body)
        load.expect("malformed", status, 400, 413, 415, 503)
        load.counts["malformed: 4xx"] += 400 <= status < 500
        return
    with socket.create_connection(("127.0.0.1", load.server.port), timeout=PATIENCE) as connection:
        connection.sendall(
            random.choice([noise + b"\r\n\r\n", b"GET /" + b"a" * 70000, b"POST /match HTTP/9\r\n"])
        )
        connection.recv(1000)


def declare(load: Load) -> None:
    """Promise a body that never comes whole."""
    with socket.create_connection(("127.0.0.1", load.server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /match HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n" + b"x" * 1000
        )
        load.over.wait(random.uniform(0, 4))


def upload(load: Load) -> None:
    """Send far too much; the server must refuse without taking it."""
    with socket.create_connection(("127.0.0.1", load.server.port), timeout=PATIENCE) as connection:
        head = f"POST /match HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUGE}\r\n\r\n"
        connection.sendall(head.encode())
        with suppress(OSError):
            for _ in range(16):
                connection.sendall(bytes(1 << 18))
        answer = connection.recv(1000)
        if answer:
            load.expect("upload", int(answer.split()[1]), 413, 503)
    load.over.wait(0.5)


def drip(load: Load) -> None:
    """Send a head one byte at a time, until the server has had enough."""
    with socket.create_connection(("127.0.0.1", load.server.port), timeout=30) as connection:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: " + b"a" * 1000:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                load.counts["slow client cut off"] += 1
                return
            if load.over.wait(random.uniform(0.2, 0.6)):
                return


def unplug(load: Load, camera: Path) -> None:
    """Take the camera away and give it back."""
    away = camera.with_suffix(".away")
    while not load.over.wait(CAMERA_SECONDS):
        camera.rename(away)
        load.counts["camera lost"] += 1
        load.over.wait(CAMERA_SECONDS)
        away.rename(camera)


def stop(load: Load) -> list[str]:
    """End the server as systemd does, and return what is wrong with its end."""
    load.server.process.send_signal(signal.SIGTERM)
    code = load.server.process.wait(load.patience)
    load.server.log.seek(0)
    said = load.server.log.read()
    wrong = [f"exit code {code}"] if code else []
    return wrong + (
        ["a traceback in the log: " + said.strip().splitlines()[-1]] if "Traceback" in said else []
    )


if __name__ == "__main__":
    main()
