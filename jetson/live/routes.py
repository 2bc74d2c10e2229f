"""Answers the requests of the page and of programs: pictures in; matches, streams and the state out."""

import json
import os
import re
import socket
import threading
import time
from typing import Any, Dict, Iterator
from urllib.parse import parse_qs

from jetson.errors import RequestError
from jetson.live.service import STREAM_WIDTH, Service
from jetson.live.state import match_values, metrics_text, silence, state_values
from jetson.live.stream import Stream, encode
from jetson.live.uploads import LARGEST_BODY, pictures_of
from jetson.live.web import COOKIE, HEALTH, Handler
from jetson.play.game import play
from jetson.play.table import play_table, read_photo_of_card

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
STREAMS = ("/stream.mjpg", "/camera.mjpg")
GETS = (*FILES, *STREAMS, HEALTH, "/metrics", "/state.json", "/events", "/frame.jpg")
ROUND = re.compile(r"/rounds/(\d{1,9})\.jpg$")
EVENT_SECONDS = 0.1  # between two states
QUIET_SECONDS = 1.0  # without news the state is sent all the same
STREAM_BUFFER, EVENT_BUFFER = 1 << 16, 1 << 12  # bytes, of which Linux takes twice as many
MATCHES = 4  # at a time
MATCH_SECONDS = 2.0  # to wait for one's turn


class Routes(Handler):
    """One request to a service."""

    turns = threading.BoundedSemaphore(MATCHES)

    def __init__(self, service: Service, *details: Any) -> None:
        self.service = service
        super().__init__(*details)

    def respond(self, method: str, path: str) -> None:
        """See `Handler.respond`."""
        if path == "/match" and method == "POST":
            self._match()
        elif path == "/match" or (method == "POST" and path in GETS):
            raise RequestError(405, "{} answers {} only".format(path, "POST" if path == "/match" else "GET"))
        elif path in FILES and method == "GET":
            self._file(path)
        elif ROUND.match(path) and method == "GET":
            self._round(int(path[len("/rounds/") : -len(".jpg")]))
        elif path in GETS:
            getattr(self, "_" + re.sub(r"\W", "_", path[1:]))()
        else:
            raise RequestError(404, "there is no such page; see / and /match")

    def _file(self, path: str) -> None:
        token = parse_qs(self.path.partition("?")[2]).get("token", [""])[-1]
        if path == "/" and token:  # keep it out of the address bar, of bookmarks and of the history
            cookie = "{}={}; HttpOnly; SameSite=Strict; Path=/".format(COOKIE, token)
            self.send(303, "text/plain", b"", ("Location", "/"), ("Set-Cookie", cookie))
            return
        name, kind = FILES[path]
        with open(os.path.join(PAGE, name), "rb") as stream:
            self.send(200, kind, stream.read())

    def _healthz(self) -> None:
        problem = self.service.sick()
        self.send_json(200 if problem is None else 503, {"healthy": problem is None, "problem": problem})

    def _metrics(self) -> None:
        text = metrics_text(self.service, dict(self.server.requests))
        self.send(200, "text/plain; version=0.0.4", text.encode("utf-8"))

    def _state_json(self) -> None:
        self.send_json(200, state_values(self.service))

    def _frame_jpg(self) -> None:
        drawing = self.service.drawing()
        if drawing is None:
            raise RequestError(503, self.service.sick() or "no frame yet")
        self.send(200, "image/jpeg", encode(drawing, STREAM_WIDTH))

    def _stream_mjpg(self) -> None:
        self._stream(self.service.annotated)

    def _camera_mjpg(self) -> None:
        self._stream(self.service.plain)

    def _stream(self, stream: Stream) -> None:
        if self.service.player.played.newest() is None:
            raise RequestError(503, self.service.sick() or "no frame yet")
        with self.service.viewers.one():
            self._buffer_little(STREAM_BUFFER)
            self.start(200, "multipart/x-mixed-replace; boundary=frame")
            if self.command == "HEAD":
                return
            # The boundary goes out with the picture: a browser shows it once it sees where it ends.
            self.wfile.write(b"--frame\r\n")
            head = "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
            for jpeg in stream.watch():
                self.wfile.write(head.format(len(jpeg)).encode("ascii") + jpeg + b"\r\n--frame\r\n")

    def _buffer_little(self, size: int) -> None:
        # What waits in a buffer is old by the time that a slow viewer sees it.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def _events(self) -> None:
        with self.service.listeners.one():
            self._buffer_little(EVENT_BUFFER)
            self.start(200, "text/event-stream; charset=utf-8")
            if self.command == "HEAD":
                return
            rows = [list(row) for row in self.service.history.rows()]
            self.wfile.write("event: history\ndata: {}\n\n".format(json.dumps(rows)).encode("utf-8"))
            for values in self._states():
                self.wfile.write("data: {}\n\n".format(json.dumps(values)).encode("utf-8"))

    def _states(self) -> Iterator[Dict[str, Any]]:
        number = 0
        while True:
            yield state_values(self.service)
            time.sleep(EVENT_SECONDS)
            newer = self.service.player.played.wait_newer(number, QUIET_SECONDS)
            number = number if newer is None else newer[0]

    def _round(self, number: int) -> None:
        played = self.service.player.rounds.find(number)
        if played is None:
            raise RequestError(404, "round {} is not among the last ones".format(number))
        self.send(200, "image/jpeg", played.picture)

    def _match(self) -> None:
        body = self.read_body(LARGEST_BODY)
        if not self.turns.acquire(timeout=MATCH_SECONDS):
            raise RequestError(503, "{} pictures are being played already: try again".format(MATCHES))
        try:
            values = self._play(body)
        finally:
            self.turns.release()
        self.send_json(200, values)

    def _play(self, body: bytes) -> Dict[str, Any]:
        pictures = pictures_of(self.headers.get("Content-Type", ""), body)
        detector, labels = self.service.detector, self.service.bundle.labels
        begun = time.monotonic()
        if len(pictures) == 2:
            first, second = (read_photo_of_card(detector, picture.image) for picture in pictures)
            match = play(detector.bundle, first, second)
            values = match_values(match, labels, [picture.scale for picture in pictures])
        else:
            image, scale = pictures[0]
            table = play_table(detector, image)
            values = silence(table.no_answer or "")
            if table.rounds:
                values = match_values(table.rounds[0].match, labels, (scale, scale))
            values["cards"] = [[round(scale * side, 1) for side in card.box] for card in table.cards]
        values["runner"] = self.service.runner.name
        values["milliseconds"] = round(1000 * (time.monotonic() - begun), 1)
        return values
