"""Turns the newest frames into answers and rounds, in a thread that never looks at an older frame."""

import threading
import time
from collections import deque
from typing import Deque, NamedTuple, Optional, Tuple

import numpy as np

from jetson import log
from jetson.errors import JetsonError
from jetson.live.camera import Camera, Frame
from jetson.live.latest import Latest
from jetson.live.rounds import Rounds
from jetson.play.detect import Detector
from jetson.play.follow import Follower
from jetson.play.table import Table

WINDOW_SECONDS = 2.0  # for rates
PAUSE_SECONDS = 1.0  # after a failure


class Played(NamedTuple):
    """A frame, what is on it, and the seconds from its capture to this answer."""

    frame: Frame
    table: Table
    latency: float


class Player:
    """Plays every frame that it has time for.

    Attributes:
        played: the newest answer.
        count: number of frames played so far.
        errors: how often a frame failed in a way that nobody had foreseen.
        rounds: pairs of cards seen so far; changed by the thread alone.
        ready: set once the network has run.
        failure: why it could not even start, or None.
        problem: why nothing is played now, or None.
        heartbeat: when the thread last came round.
    """

    def __init__(self, camera: Optional[Camera], detector: Detector) -> None:
        self.played: Latest[Played] = Latest()
        self.count = 0
        self.errors = 0
        self.rounds = Rounds()
        self.ready = threading.Event()
        self.failure: Optional[JetsonError] = None
        self.problem: Optional[str] = None
        self.heartbeat = time.monotonic()
        self._camera = camera
        self._detector = detector
        self._follower = Follower(detector)
        self._recent: Deque[Tuple[float, float]] = deque(maxlen=1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    def rate(self) -> Tuple[float, Optional[float]]:
        """Return frames per second and the median latency in seconds, both of the last two seconds."""
        now = time.monotonic()
        latencies = [latency for at, latency in list(self._recent) if now - at < WINDOW_SECONDS]
        return len(latencies) / WINDOW_SECONDS, float(np.median(latencies)) if latencies else None

    def close(self, timeout: float = 1.0) -> bool:
        """Stop playing; False if the thread hangs."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            side = self._detector.bundle.input_size
            self._detector.runner.infer(np.zeros((1, 3, side, side), np.float32))
        except JetsonError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - the next run may work
            self._stumble(error)
        self.ready.set()
        number = 0
        while self._camera is not None and not self._stop.is_set():
            self.heartbeat = time.monotonic()
            newer = self._camera.frames.wait_newer(number, 0.5)
            if newer is None:
                continue
            number, frame = newer
            try:
                self._play(frame)
            except Exception as error:  # noqa: BLE001 - the next frame may be another
                self._stumble(error)
                self._stop.wait(PAUSE_SECONDS)

    def _stumble(self, error: Exception) -> None:
        self.errors += not isinstance(error, JetsonError)
        problem = log.describe(error)
        if problem != self.problem:  # once, not at every frame
            log.say_error("player", error)
        self.problem = problem

    def _play(self, frame: Frame) -> None:
        table = self._follower.play(frame.image, frame.at)
        if self._detector.runner.opened_at > frame.at:
            return  # it waited for a runtime, and something else lies there by now
        now = time.monotonic()
        latency = now - frame.at
        self.rounds.update(table, frame.image, now, latency)
        self._recent.append((now, latency))
        self.count += 1
        self.problem = None
        self.played.put(Played(frame, table, latency))
