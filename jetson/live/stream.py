"""Turns frames into JPEGs for all viewers at once, and only while somebody watches."""

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Tuple

import cv2

from jetson import log
from jetson.arrays import Array
from jetson.errors import RequestError
from jetson.live.latest import Latest

QUALITY = 75
PAUSE_SECONDS = 1.0  # after a failure
AGAIN_SECONDS = 2.0  # without a new picture the last one is sent again: a viewer who has left is noticed


class Places:
    """A bounded number of places for viewers."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for as long as the block lasts.

        Raises:
            RequestError: all are taken.
        """
        with self._lock:
            if self.taken >= self.limit:
                raise RequestError(503, "{} viewers watch already: try again later".format(self.limit))
            self.taken += 1
        try:
            yield
        finally:
            with self._lock:
                self.taken -= 1


class Stream:
    """Encodes pictures once, in a thread of its own, for any number of viewers."""

    def __init__(
        self, fetch: Callable[[int, float], Optional[Tuple[int, Array]]], fps: float, width: int
    ) -> None:
        """Start the thread, which sleeps until somebody watches.

        Args:
            fetch: takes the number of the last picture and a time-out in seconds; returns a newer picture,
                uint8 [H, W, 3] BGR, and its number, or None.
            fps: at most so many pictures per second.
            width: wider pictures are scaled down to so many pixels.
        """
        self._fetch = fetch
        self._interval = 1.0 / fps
        self._width = width
        self._jpegs: Latest[bytes] = Latest()
        self._viewers = 0
        self._watched = threading.Condition()
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def watch(self) -> Iterator[bytes]:
        """Yield the newest JPEG whenever the viewer is ready for one; the viewer who stops frees all."""
        with self._watched:
            self._viewers += 1
            self._watched.notify_all()
        try:
            number = self._jpegs.number()  # what is there now was made for viewers of long ago
            while True:
                newer = self._jpegs.wait_newer(number, AGAIN_SECONDS)
                number = number if newer is None else newer[0]
                jpeg = self._jpegs.newest()
                if jpeg is not None:
                    yield jpeg
        finally:
            with self._watched:
                self._viewers -= 1

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while True:
            with self._watched:
                self._watched.wait_for(lambda: self._viewers > 0)
            try:
                newer = self._fetch(number, 0.5)
                if newer is None:
                    continue
                number = newer[0]
                self._jpegs.put(encode(newer[1], self._width))
            except Exception as error:  # noqa: BLE001 - the next picture may be another
                log.say_error("stream", error)
                time.sleep(PAUSE_SECONDS)
            due = max(due + self._interval, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


def encode(picture: Array, width: int) -> bytes:
    """Return uint8 [H, W, 3] BGR as JPEG, scaled down to a width in pixels if it is wider."""
    if picture.shape[1] > width:
        height = max(1, round(picture.shape[0] * width / float(picture.shape[1])))
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
