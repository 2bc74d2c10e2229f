"""Keeps what the charts show: one row of numbers a second, for the last minutes."""

import threading
from collections import deque
from typing import Deque, List, NamedTuple, Optional

SECONDS = 180


class Row(NamedTuple):
    """Frames per second, milliseconds from capture to answer, watts, degrees Celsius; None is unknown."""

    fps: float
    latency_ms: Optional[float]
    power_w: Optional[float]
    temperature_c: Optional[float]


class History:
    """The last rows, oldest first."""

    def __init__(self) -> None:
        self._rows: Deque[Row] = deque(maxlen=SECONDS)
        self._lock = threading.Lock()

    def add(self, row: Row) -> None:
        """Append a row; the oldest goes."""
        with self._lock:
            self._rows.append(row)

    def rows(self) -> List[Row]:
        """Return all rows."""
        with self._lock:
            return list(self._rows)
