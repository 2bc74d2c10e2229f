"""A server on 127.0.0.1 that answers the real Labelbox SDK, counts what it is asked, and fails on demand.

As a program it serves the photos of a folder as one labelled project.
"""

import argparse
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from labelbox_world import LabelboxWorld

KEY = "test-key"


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer: another status, a lost connection, or half a photo."""

    status: int = 0
    body: bytes | dict = b""
    headers: dict = field(default_factory=dict)
    lost: bool = False
    stall: float = 0.0
    cut: bool = False


def graphql_error(code, message="refused", status=200):
    error = {"message": message, "extensions": {"code": code, "exception": {"status": status}}}
    return Fault(status=status, body={"errors": [error], "data": None})


LOST = Fault(lost=True)
CUT = Fault(cut=True)
BUSY = Fault(status=503, body=b"try later")


class LabelboxStandIn(LabelboxWorld):
    """Use it in a `with` block; `endpoint` is what the SDK needs, each answer takes `latency` seconds."""

    def __init__(self, latency=0.0):
        super().__init__()
        self.latency = latency
        self.counts = Counter()
        self.mishaps = []
        self._faults = defaultdict(list)

    def __enter__(self):
        # A proxy of the machine knows no server of ours.
        self._no_proxy = os.environ.get("NO_PROXY", "")
        os.environ["NO_PROXY"] = ",".join(filter(None, ("127.0.0.1", self._no_proxy)))
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.standin = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.endpoint = f"{self.url}/graphql"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.environ["NO_PROXY"] = self._no_proxy
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert not self.mishaps, self.mishaps

    def fail(self, where, fault, times=1):
        """Let the next requests fail; `where` is an operation's name, "photo", "chunk", a path, or "any"."""
        self._faults[where] += [fault] * times

    def take_fault(self, names):
        with self._lock:
            for name in (*names, "any"):
                self.counts[name] += 1
                if self._faults[name]:
                    return self._faults[name].pop(0)
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Clients that go away are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        signature = parse_qs(parts.query).get("Signature", ["0"])[0]
        if not self.failed(parts.path.split("/")[1], unquote(parts.path)):
            self.reply(*self.server.standin.get(parts.path, int(signature)))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent, upload = _parsed(self.headers["Content-Type"], body)
        operation = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"])[1]
        if self.failed(operation.removesuffix("PyApi")):
            return
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.fault(graphql_error("AUTHENTICATION_ERROR", "no such key"))
            return
        standin, variables = self.server.standin, sent.get("variables") or {}
        try:
            answer = {"data": standin.answer(operation, sent["query"], variables, upload)}
        except Exception as error:
            standin.mishaps.append((operation, variables, repr(error)))
            raise
        self.reply(200, json.dumps(answer).encode())

    def failed(self, *names):
        time.sleep(self.server.standin.latency)
        fault = self.server.standin.take_fault(names)
        if fault is not None:
            self.fault(fault)
        return fault is not None

    def fault(self, fault):
        time.sleep(fault.stall)
        if fault.lost:
            # No time to linger: the client sees a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault.cut:
            self.reply(200, b"\xff\xd8 begins well", {"Content-Length": "5000"})
            self.close_connection = True
        elif fault.status:
            is_bytes = isinstance(fault.body, bytes)
            self.reply(
                fault.status, fault.body if is_bytes else json.dumps(fault.body).encode(), fault.headers
            )

    def reply(self, status, content, headers=None):
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()


def _parsed(content_type, body):
    """Give query and variables of a request, and name and content of the file that may come with them."""
    if not content_type.startswith("multipart/form-data"):
        return json.loads(body), None
    sent, upload = {}, None
    boundary = content_type.partition("boundary=")[2].encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        named = re.search(rb'name="([^"]*)"(?:; filename="([^"]*)")?', head)
        if named[1] == b"operations":
            sent = json.loads(content)
        elif named[1] != b"map":
            upload = ((named[2] or b"").decode() or uuid.uuid4().hex, content)
    return sent, upload


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    arguments = parser.parse_args()
    box = ("anchor", 1.0, 1.0, 20.0, 20.0)
    photos = {path.name: (path.read_bytes(), [box]) for path in sorted(arguments.photos.iterdir())}
    with LabelboxStandIn(arguments.latency) as standin:
        sys.stdout.write(f"{standin.endpoint} {standin.add_project('cards', photos)}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
