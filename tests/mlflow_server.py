"""A real MLflow server on 127.0.0.1, and a line to it that a test can cut and mend."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from s3_server import KEY, REGION, SECRET, free_port


class MlflowServer:
    """Runs and versions in a database below a folder, artifacts there or in a bucket."""

    def __init__(self, folder: Path, artifacts: str | None = None, s3_endpoint: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._artifacts = artifacts or str(folder / "artifacts")
        self._s3_endpoint = s3_endpoint
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """Where clients find it; the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
        command += ["--port", str(self.port), "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", self._artifacts]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = {**os.environ, **quiet}
        if self._s3_endpoint is not None:
            environment |= {
                "MLFLOW_S3_ENDPOINT_URL": self._s3_endpoint,
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return self
            time.sleep(0.2)
        self.kill()
        raise RuntimeError((self.folder / "server.log").read_text(encoding="utf-8"))

    def kill(self) -> None:
        """End the server and its workers as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Line:
    """Carries connections to a server until it is cut: then nobody answers, and what was open breaks."""

    def __init__(self, port: int) -> None:
        self._target, self.port = port, free_port()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.bytes_left: int | None = None
        self.bytes_received = 0

    @property
    def address(self) -> str:
        """What stands for the server's."""
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        """Let connections through."""
        self.bytes_left = None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut_after(self, number: int) -> None:
        """Cut the line as soon as clients have sent so many more bytes."""
        self.bytes_left = number

    def cut(self) -> None:
        """Break everything."""
        with self._lock:
            listener, self._listener = self._listener, None
            broken, self._open = self._open, []
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                if counted and self.bytes_left is not None:
                    self.bytes_left -= len(piece)
                    if self.bytes_left < 0:
                        self.cut()
                        return
                if not counted:
                    self.bytes_received += len(piece)
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def mlflow_server(server: MlflowServer) -> Iterator[MlflowServer]:
    """Run a server that is stopped whatever happens."""
    server.start()
    try:
        yield server
    finally:
        server.kill()
