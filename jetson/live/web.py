"""Answers one HTTP request within limits: access, deadlines, sizes, and every refusal in JSON."""

import hmac
import io
import json
import re
import socket
import threading
import time
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import Any, List, Optional, Tuple
from urllib.parse import parse_qs

from jetson import log
from jetson.errors import RequestError
from jetson.live.server import Seat, Server

BODY_SECONDS = 20.0  # for its body
WRITE_SECONDS = 10.0  # for a client to take what is sent to it
LINGER_SECONDS = 1.0  # for a client to read its refusal before the connection is closed
CHUNK = 1 << 16
LOCAL = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "dobble_token"
HEALTH = "/healthz"  # for everybody, at any time
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
)


class Handler(BaseHTTPRequestHandler):
    """Reads one request in limited time and answers it; subclasses look at `path` and answer."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "dobble"
    sys_version = ""

    def __init__(self, head: bytes, seat: Seat, *details: Any) -> None:
        self.head = head
        self.seat = seat
        super().__init__(*details)

    def setup(self) -> None:
        """Let every read end at a deadline, however slowly bytes drip in."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clock = _Deadline(self.connection, BODY_SECONDS, self.head)
        self.rfile.close()
        self.rfile = io.BufferedReader(self.clock, CHUNK)
        self.unread = False
        self.reserved = 0

    def finish(self) -> None:
        """Let a client that is still sending read its refusal before the connection is closed."""
        self.server.buffer(-self.reserved)
        try:
            if self.unread and self.seat.move(self.server.lingering):
                self.connection.shutdown(socket.SHUT_WR)
                self.clock.restart(LINGER_SECONDS)
                while self.rfile.read1(CHUNK):
                    pass
        except OSError:
            pass
        super().finish()

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer("GET")

    def do_HEAD(self) -> None:
        """Answer a HEAD like a GET without its body."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer("POST")

    def respond(self, method: str, path: str) -> None:
        """Answer a request; raise RequestError for a refusal."""
        raise NotImplementedError

    def send(self, status: int, kind: str, body: bytes, *headers: Tuple[str, str]) -> None:
        """Send a whole answer and end the connection."""
        self.start(status, kind, ("Content-Length", str(len(body))), *headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, status: int, values: Any, *headers: Tuple[str, str]) -> None:
        """Send an answer as JSON."""
        text = json.dumps(values, ensure_ascii=False)
        self.send(status, "application/json; charset=utf-8", text.encode("utf-8"), *headers)

    def start(self, status: int, kind: str, *headers: Tuple[str, str]) -> None:
        """Send the head of an answer; the body follows through `wfile`."""
        self.server.count(status)
        self.connection.settimeout(WRITE_SECONDS)
        self.send_response_only(status)
        caching = ("Cache-Control", "no-store")
        for name, value in (("Content-Type", kind), ("Connection", "close"), caching, *SECURITY, *headers):
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: Optional[str] = None, *_: Any) -> None:
        """Answer what the standard library refuses, such as a malformed head, in JSON as well."""
        self.unread = True
        self.request_version = self.protocol_version  # even if the client's could not be read
        self.send_json(int(code), {"error": message or "the request was not understood"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: `/metrics` counts requests, and their addresses may hold a token."""

    def read_body(self, limit: int) -> bytes:
        """Read the body of a request.

        Raises:
            RequestError: it is too large, has no length, comes too slowly or is cut short.
        """
        length = self._length(limit)
        body = bytearray()
        self.clock.restart(BODY_SECONDS)
        try:
            while len(body) < length:
                chunk = self.rfile.read1(min(CHUNK, length - len(body)))
                if not chunk:
                    raise RequestError(400, "the body is shorter than its Content-Length")
                if not self.server.buffer(len(chunk)):
                    raise RequestError(503, "too many uploads at a time: try again")
                self.reserved += len(chunk)
                body += chunk
        except socket.timeout:
            raise RequestError(408, "the body took more than {:.0f} s".format(BODY_SECONDS)) from None
        self.unread = False
        return bytes(body)

    def _length(self, limit: int) -> int:
        self.unread = True
        if self.headers.get("Transfer-Encoding"):
            raise RequestError(411, "send a Content-Length instead of chunks")
        text = self.headers.get("Content-Length", "")
        if not text.isdecimal():
            raise RequestError(411, "send the picture as the body, with a Content-Length")
        if len(text) > 18 or int(text) > limit:
            raise RequestError(413, "the body is too large: at most {} MiB".format(limit >> 20))
        if not int(text):
            raise RequestError(400, "the body is empty: send a picture")
        return int(text)

    def _answer(self, method: str) -> None:
        self.unread = method == "POST"
        try:
            path, _, query = self.path.partition("?")
            if path != HEALTH:
                self._check_access(query)
            self._sit_down(self.server.kept if path == HEALTH else self.server.answers)
            self.respond(method, path)
        except RequestError as error:
            retry = (("Retry-After", "1"),) if error.status == 503 else ()
            self.send_json(error.status, {"error": str(error)}, *retry)
        except (ConnectionError, socket.timeout):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not take the server down
            log.say_error("http", error)
            self.send_json(500, {"error": "the server made a mistake; its log has more"})

    def _sit_down(self, seats: threading.Semaphore) -> None:
        if not self.seat.move(seats):
            raise RequestError(503, "too many requests at a time: try again")

    def _check_access(self, query: str) -> None:
        """Let in who knows the token, or without one who means this machine by its own name."""
        token = self.server.token
        if token is None:
            host = re.sub(r":\d+$", "", self.headers.get("Host", "localhost"))
            if host.lower() not in LOCAL:  # a page elsewhere whose name was made to lead here
                raise RequestError(403, "this server answers on localhost only")
            return
        if not any(hmac.compare_digest(given.encode(), token.encode()) for given in self._tokens(query)):
            problem = "a token is needed: open /?token=... once, or send Authorization: Bearer ..."
            raise RequestError(401, problem)

    def _tokens(self, query: str) -> List[str]:
        """Return the tokens that a request carries, in any of the three ways."""
        bearer = self.headers.get("Authorization", "")
        given = [bearer[len("Bearer ") :]] if bearer.startswith("Bearer ") else []
        given += parse_qs(query).get("token", [])
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
            given += [cookies[COOKIE].value] if COOKIE in cookies else []
        except CookieError:
            pass
        return given


class _Deadline(io.RawIOBase):
    """A socket's bytes after those that have been read already, until a point in time."""

    def __init__(self, connection: socket.socket, seconds: float, begun: bytes) -> None:
        self._connection = connection
        self._begun = begun
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Allow so many seconds from now."""
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._begun:
            size = min(len(buffer), len(self._begun))
            buffer[:size], self._begun = self._begun[:size], self._begun[size:]
            return size
        left = self._end - time.monotonic()
        if left <= 0:
            raise socket.timeout("too slow")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
