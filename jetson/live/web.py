"""An HTTP server that no slow, greedy or broken client stops: bounded threads, deadlines, JSON errors."""

import hmac
import io
import json
import re
import socket
import socketserver
import sys
import threading
import time
import traceback
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qs

from jetson.errors import RequestError

CONNECTIONS = 64
HEAD_SECONDS = 5.0  # for a request's head to arrive
BODY_SECONDS = 20.0  # for its body
WRITE_SECONDS = 10.0  # for a client to take what is sent to it
LINGER_SECONDS = 1.0  # for a client to read its refusal before the connection is closed
BUFFERED = 64 << 20  # bytes of all bodies that are being received
CHUNK = 1 << 16
LOCAL = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "dobble_token"
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Accepts connections, a thread for each; beyond `CONNECTIONS` they are refused at once.

    Attributes:
        token: what every request must know, or None on the local machine.
        requests: number of answers by HTTP status.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS

    def __init__(self, address: Tuple[str, int], token: Optional[str]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.token = token
        self.requests: Dict[int, int] = {}
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._buffered = 0
        self._handler: Callable[..., Any] = Handler
        super().__init__(address, Handler)

    def answer_with(self, handler: Callable[..., Any]) -> None:
        """Set what makes a handler of a connection; before `serve_forever`."""
        self._handler = handler

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection."""
        self._handler(request, client_address, self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or refuse it."""
        if not self._free.acquire(blocking=False):
            self.count(503)
            _refuse(request)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_: Any) -> None:
        """Stay silent about clients that go away; anything else is a mistake of ours."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, socket.timeout)):
            traceback.print_exc()

    def count(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self.requests[status] = self.requests.get(status, 0) + 1

    def buffer(self, size: int) -> bool:
        """Reserve memory for bytes of a body, or say that there is none; a negative size gives it back."""
        with self._lock:
            fits = self._buffered + size <= BUFFERED
            self._buffered += size if fits else 0
            return fits


class Handler(BaseHTTPRequestHandler):
    """Reads one request in limited time and answers it; subclasses look at `path` and answer."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "dobble"
    sys_version = ""

    def setup(self) -> None:
        """Let every read end at a deadline, however slowly bytes drip in."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clock = _Deadline(self.connection, HEAD_SECONDS)
        self.rfile.close()
        self.rfile = io.BufferedReader(self.clock, CHUNK)
        self.unread = False
        self.reserved = 0

    def finish(self) -> None:
        """Let a client that is still sending read its refusal before the connection is closed."""
        self.server.buffer(-self.reserved)
        try:
            if self.unread:
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
            if path != "/healthz":
                self._check_access(query)
            self.respond(method, path)
        except RequestError as error:
            retry = (("Retry-After", "1"),) if error.status == 503 else ()
            self.send_json(error.status, {"error": str(error)}, *retry)
        except (ConnectionError, socket.timeout):
            self.close_connection = True
        except Exception:  # noqa: BLE001 - a mistake of ours must not take the server down
            traceback.print_exc()
            self.send_json(500, {"error": "the server made a mistake; its log has more"})

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
    """A socket's bytes, until a point in time."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Allow so many seconds from now."""
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise socket.timeout("too slow")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _refuse(connection: socket.socket) -> None:
    """Say 503 without waiting for anything."""
    body = b'{"error": "too many connections: try again"}'
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
    head += "Retry-After: 1\r\nConnection: close\r\n\r\n"
    try:
        connection.setblocking(False)
        connection.sendall(head.format(len(body)).encode("ascii") + body)
        connection.recv(CHUNK)  # what is left unread would break the connection before the client has read
    except OSError:
        pass
