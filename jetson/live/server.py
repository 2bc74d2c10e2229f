"""Turns connections into requests: one thread waits for all their heads, then each is answered in its own."""

import errno
import selectors
import socket
import socketserver
import threading
import time
from collections import OrderedDict
from typing import Any, Callable, Dict, Optional, Tuple

from jetson import log

CONNECTIONS = 64  # answers at a time
KEPT = 4  # more, for /healthz alone
STRANGERS = 64  # requests at a time of which is not known yet whether they may ask
LINGERING = 16  # refused clients at a time that are let finish sending
ARRIVING = 400  # connections at a time whose request has not come yet
HEAD_SECONDS = 5.0  # for a request's head to arrive
HEAD_BYTES = 1 << 16
BUFFERED = 64 << 20  # bytes of all bodies that are being received
PAUSE_SECONDS = 0.05  # where no more connections can be opened
ENDS = (b"\r\n\r\n", b"\n\n")  # of a head


class Seat:
    """The right to keep a thread busy, one of a bounded number."""

    def __init__(self) -> None:
        self._of: Optional[threading.Semaphore] = None

    def move(self, to: threading.Semaphore) -> bool:
        """Take a seat elsewhere instead; False if there is none, and then this one is kept."""
        if not to.acquire(blocking=False):
            return False
        self.leave()
        self._of = to
        return True

    def leave(self) -> None:
        """Give the seat back."""
        seats, self._of = self._of, None
        if seats is not None:
            seats.release()


class Server(socketserver.TCPServer):
    """Listens; a client that is slow, silent or not known takes nothing from those who are served.

    Attributes:
        token: what every request must know, or None on the local machine.
        requests: number of answers by HTTP status.
        strangers: seats of those whose request is read.
        answers: seats of those who are answered.
        kept: more of these, for `/healthz` alone.
        lingering: seats of those who are refused and still sending.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: Tuple[str, int], token: Optional[str]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.token = token
        self.requests: Dict[int, int] = {}
        self.strangers = threading.BoundedSemaphore(STRANGERS)
        self.answers = threading.BoundedSemaphore(CONNECTIONS)
        self.kept = threading.BoundedSemaphore(KEPT)
        self.lingering = threading.BoundedSemaphore(LINGERING)
        self._lock = threading.Lock()
        self._buffered = 0
        self._handler: Callable[..., Any] = socketserver.BaseRequestHandler
        self._arriving: "OrderedDict[socket.socket, Tuple[Any, float, bytearray]]" = OrderedDict()
        self._over, self._ended = threading.Event(), threading.Event()
        super().__init__(address, socketserver.BaseRequestHandler)

    def answer_with(self, handler: Callable[..., Any]) -> None:
        """Set what answers a connection: called with its head, seat, socket, address and this server."""
        self._handler = handler

    def serve_forever(self, poll_interval: float = 0.1) -> None:
        """Accept connections and wait for their heads until `shutdown`."""
        self.socket.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(poll_interval):
                    take = self._accept if key.fileobj is self.socket else self._receive
                    try:
                        take(selector, key.fileobj)
                    except Exception as error:  # noqa: BLE001 - a mistake of ours must not take the server down
                        log.say_error("http", error)
                self._expire(selector)
            while self._arriving:
                self._let_go(selector, next(iter(self._arriving))).close()
        self._ended.set()

    def shutdown(self) -> None:
        """Stop accepting connections."""
        self._over.set()
        self._ended.wait(5.0)

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

    def _accept(self, selector: selectors.BaseSelector, _: Any) -> None:
        try:
            connection, address = self.socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._drop_oldest(selector)
                time.sleep(PAUSE_SECONDS)
            return
        connection.setblocking(False)
        self._arriving[connection] = (address, time.monotonic(), bytearray())
        selector.register(connection, selectors.EVENT_READ)
        if len(self._arriving) > ARRIVING:
            self._drop_oldest(selector)

    def _receive(self, selector: selectors.BaseSelector, connection: Any) -> None:
        """Take what has come of a head; once it is whole, it is answered."""
        if connection not in self._arriving:
            return  # it was dropped a moment ago
        address, _, head = self._arriving[connection]
        try:
            chunk = connection.recv(HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        looked_at = max(0, len(head) - 3)
        head += chunk
        if any(head.find(end, looked_at) >= 0 for end in ENDS):
            self._start(self._let_go(selector, connection), address, bytes(head))
        elif not chunk:
            self._let_go(selector, connection).close()
        elif len(head) >= HEAD_BYTES:
            self._refuse(self._let_go(selector, connection), "431 Request Header Fields Too Large")

    def _expire(self, selector: selectors.BaseSelector) -> None:
        while self._arriving:
            connection, (_, since, _) = next(iter(self._arriving.items()))
            if time.monotonic() - since < HEAD_SECONDS:
                return
            self._refuse(self._let_go(selector, connection), "408 Request Timeout")

    def _drop_oldest(self, selector: selectors.BaseSelector) -> None:
        if self._arriving:
            self._refuse(self._let_go(selector, next(iter(self._arriving))), "503 Service Unavailable")

    def _let_go(self, selector: selectors.BaseSelector, connection: socket.socket) -> socket.socket:
        selector.unregister(connection)
        del self._arriving[connection]
        return connection

    def _start(self, connection: socket.socket, address: Any, head: bytes) -> None:
        seat = Seat()
        if not seat.move(self.strangers):
            self._refuse(connection, "503 Service Unavailable")
            return
        thread = threading.Thread(target=self._answer, args=(head, seat, connection, address), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            seat.leave()
            self._refuse(connection, "503 Service Unavailable")

    def _answer(self, head: bytes, seat: Seat, connection: socket.socket, address: Any) -> None:
        try:
            self._handler(head, seat, connection, address, self)
        except (ConnectionError, socket.timeout):
            pass  # clients go away
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not take the server down
            log.say_error("http", error)
        finally:
            seat.leave()
            self.shutdown_request(connection)

    def _refuse(self, connection: socket.socket, status: str) -> None:
        """Say no without waiting for anything."""
        self.count(int(status[:3]))
        body = b'{"error": "too many connections, or one too slow: try again"}'
        head = "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
        head += "Retry-After: 1\r\nConnection: close\r\n\r\n"
        try:
            connection.setblocking(False)
            connection.sendall(head.format(status, len(body)).encode("ascii") + body)
            connection.recv(HEAD_BYTES)  # unread bytes would break the connection before the client has read
        except OSError:
            pass
        self.shutdown_request(connection)
