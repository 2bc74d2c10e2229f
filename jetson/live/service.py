"""Puts the parts together: a camera, a runtime and a player, with the streams that show them."""

import time
from typing import Optional, Tuple

from jetson.arrays import Array
from jetson.board.monitor import Monitor
from jetson.live.camera import Camera
from jetson.live.history import History
from jetson.live.player import Played, Player
from jetson.live.runtime import RuntimeOrder, SharedRunner
from jetson.live.stream import Places, Stream
from jetson.play.bundle import Bundle
from jetson.play.detect import Detector
from jetson.play.draw import draw_table
from jetson.play.frames import open_source

STREAM_FPS = 24.0
STREAM_WIDTH = 960
STALE_SECONDS = 3.0  # without a frame that long, the service is not healthy
HANG_SECONDS = 15.0  # without a sign of life of a thread that long, only a restart helps


class Service:
    """All that runs while the server does.

    Attributes:
        viewers: places for those who watch a stream.
        listeners: places for those who follow the state.
        plain: the camera's pictures.
        annotated: the same with cards, match and a banner drawn on them.
    """

    def __init__(
        self,
        bundle: Bundle,
        order: RuntimeOrder,
        source: str,
        fps: float,
        hold: float,
        viewers: int,
        monitor: Monitor,
    ) -> None:
        """Start all threads.

        Args:
            bundle: to play with.
            order: runtimes to try, from `runtime_order`.
            source: as for `open_source`, or `none`.
            fps: as for `open_source`.
            hold: as for `open_source`.
            viewers: at most so many streams at a time.
            monitor: a running one.
        """
        self.bundle = bundle
        self.monitor = monitor
        self.runner = SharedRunner(bundle, *order)
        self.detector = Detector(bundle, self.runner)
        self.camera = None if source == "none" else Camera(source, lambda: open_source(source, fps, hold))
        self.player = Player(self.camera, self.detector)
        self.history = History()
        self.viewers, self.listeners = Places(viewers), Places(viewers)
        self.plain = Stream(self._newest_frame, STREAM_FPS, STREAM_WIDTH)
        self.annotated = Stream(self._newest_drawing, STREAM_FPS, STREAM_WIDTH)

    def sick(self) -> Optional[str]:
        """Say why nothing is played, or return None."""
        if self.player.failure is not None:
            return str(self.player.failure)
        if not self.player.ready.is_set():
            return "the runtime is starting"
        if self.camera is None:
            return None
        age = self.camera.age()
        if age > STALE_SECONDS:
            return self.camera.problem or "the camera has given no frame for {:.0f} s".format(age)
        return self.player.problem

    def hangs(self) -> bool:
        """Tell whether a driver or a runtime has not come back for so long that it never will."""
        now = time.monotonic()
        begun = self.runner.working_since
        heartbeats = [now if begun is None else begun]
        if self.camera is not None:
            # While a runtime opens, which may take minutes, the player waits for it.
            heartbeats += [self.camera.heartbeat, max(self.player.heartbeat, self.runner.opened_at)]
        return self.player.ready.is_set() and now - min(heartbeats) > HANG_SECONDS

    def drawing(self) -> Optional[Array]:
        """Return the last frame that was played, with what was seen drawn on it."""
        played = self.player.played.newest()
        return None if played is None else self._draw(played)

    def close(self) -> bool:
        """Stop all threads; False if one of them hangs."""
        done = [] if self.camera is None else [self.camera.close()]
        done += [self.player.close(), self.runner.stop(timeout=1.0)]
        return all(done)

    def _newest_frame(self, number: int, timeout: float) -> Optional[Tuple[int, Array]]:
        newer = None if self.camera is None else self.camera.frames.wait_newer(number, timeout)
        return None if newer is None else (newer[0], newer[1].image)

    def _newest_drawing(self, number: int, timeout: float) -> Optional[Tuple[int, Array]]:
        newer = self.player.played.wait_newer(number, timeout)
        return None if newer is None else (newer[0], self._draw(newer[1]))

    def _draw(self, played: Played) -> Array:
        match = played.table.rounds[0].match if played.table.rounds else None
        labels, no_answer = self.bundle.labels, played.table.no_answer
        return draw_table(played.frame.image, played.table.cards, match, labels, no_answer)
