"""Turns a source into its newest frame, in a thread that opens the source again whenever it is lost."""

import threading
import time
from typing import Callable, NamedTuple, Optional

from jetson import log
from jetson.arrays import Array
from jetson.errors import JetsonError, SourceError
from jetson.live.latest import Latest
from jetson.play.frames import Source

RETRY_SECONDS = 1.0


class Frame(NamedTuple):
    """uint8 [H, W, 3] BGR, which nobody may change, and when it came, on the monotonic clock."""

    image: Array
    at: float


class Camera:
    """Reads a source in a thread of its own; slow users skip frames and never delay it.

    Attributes:
        frames: the newest frame.
        captured: number of frames so far.
        lost: how often the source was lost after it had given frames.
        errors: how often it failed in a way that nobody had foreseen.
        problem: why there is no source now, or None.
        heartbeat: when the source last answered, be it with a failure: a driver that hangs lets this age.
    """

    def __init__(self, name: str, opener: Callable[[], Source]) -> None:
        self.name = name
        self.frames: Latest[Frame] = Latest()
        self.captured = 0
        self.lost = 0
        self.errors = 0
        self.problem: Optional[str] = "not opened yet"
        self.heartbeat = time.monotonic()
        self._opener = opener
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def age(self) -> float:
        """Return the seconds since the last frame; infinite before the first."""
        frame = self.frames.newest()
        return float("inf") if frame is None else time.monotonic() - frame.at

    def close(self, timeout: float = 1.0) -> bool:
        """Stop reading; False if the driver hangs and its thread with it."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            before = self.captured
            try:
                source = self._opener()
                try:
                    self._read(source)
                finally:
                    source.close()
            except Exception as error:  # noqa: BLE001 - drivers raise what they like, and may work again later
                self.lost += self.captured > before
                self.errors += not isinstance(error, JetsonError)
                self._say(error)
            self.heartbeat = time.monotonic()
            self._stop.wait(RETRY_SECONDS)

    def _read(self, source: Source) -> None:
        due = time.monotonic()
        first = True
        while not self._stop.is_set():
            image = source.read()
            self.heartbeat = time.monotonic()
            if image is None:
                raise SourceError(self.name, "gives no frames")
            if first:
                self.problem = None
                log.say("camera: {} gives {} x {}".format(self.name, *image.shape[1::-1]))
            first = False
            self.captured += 1
            self.frames.put(Frame(image, self.heartbeat))
            if source.interval:
                due = max(due + source.interval, self.heartbeat)
                self._stop.wait(due - time.monotonic())

    def _say(self, error: Exception) -> None:
        problem = log.describe(error)
        if problem != self.problem:  # once, not at every try
            log.say_error("camera", error)
        self.problem = problem
