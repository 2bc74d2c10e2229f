"""Starts the device's server for a measurement and asks it."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class LiveServer:
    """`python -m jetson serve` in a process of its own, on a free port; a context manager."""

    def __init__(self, bundle: Path, *arguments: str) -> None:
        self.begun = time.monotonic()
        self._home = tempfile.TemporaryDirectory()
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at the end
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jetson", "serve", "--port", "0", "--bundle", str(bundle), *arguments],
            env={**os.environ, "DOBBLE_DEVICE_HOME": self._home.name, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line.startswith("serving "):
            self.log.seek(0)
            sys.exit(f"the server did not start: {self.log.read().strip()}")
        self.port = int(line.strip().rstrip("/").rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()
        self._home.cleanup()

    def ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float = 30
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        values: dict[str, Any] = json.loads(self.ask("GET", "/state.json")[1])
        return values

    def metrics(self) -> dict[str, float]:
        """Return the server's numbers by their names."""
        rows = [line for line in self.ask("GET", "/metrics")[1].decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows)}

    def watch(self, path: str = "/camera.mjpg") -> "Viewer":
        """Open a stream."""
        return Viewer(self.port, path)


class Viewer:
    """Somebody who watches a stream."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.request("GET", path)
        self.answer = self._connection.getresponse()

    def read(self) -> int:
        """Wait for a picture and return its bytes."""
        size = 0
        for line in iter(self.answer.readline, b""):
            if line.startswith(b"Content-Length"):
                size = int(line.split()[1])
            elif line == b"\r\n" and size:
                return len(self.answer.read(size))
        raise ConnectionError("the stream has ended")

    def close(self) -> None:
        """Go away."""
        self.answer.close()
        self._connection.close()
