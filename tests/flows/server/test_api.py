"""What is asked of a Prefect server that is busy, gone, or refuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from s3_server import free_port

from dobble.errors import ServiceError
from flows.server.api import ask


class Busy(BaseHTTPRequestHandler):
    """Answers with the statuses that are left for it, as Prefect does while its database is locked."""

    left: ClassVar[list[int]] = []
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.left.pop(0)
        said = json.dumps({"exception_message": "Service Unavailable"} if status >= 400 else {"id": "1"})
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Busy.left, Busy.bodies = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api/work_pools/"
        server.shutdown()


def test_server_that_is_busy_is_asked_again(address: str) -> None:
    Busy.left = [503, 503, 201]
    assert ask(address, {"name": "local"}) == {"id": "1"}
    assert Busy.bodies == [b'{"name": "local"}'] * 3


def test_refusal_is_said_with_its_reason_unless_it_is_allowed(address: str) -> None:
    Busy.left = [409, 409]
    with pytest.raises(ServiceError, match=r"Prefect answers 409 at http://(.|\n)*Service Unavailable"):
        ask(address, {})
    assert ask(address, {}, allowed=(409,)) == {"exception_message": "Service Unavailable"}


def test_server_that_is_gone_is_named() -> None:
    address = f"http://127.0.0.1:{free_port()}/api/health"
    with pytest.raises(ServiceError, match=f"Prefect does not answer at {address}"):
        ask(address)
