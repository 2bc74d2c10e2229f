"""Hands values from one thread to others that only ever want the newest one."""

import threading
from typing import Generic, Optional, Tuple, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """The newest of a row of values, numbered from 1; what nobody fetched in time is gone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._value: Optional[T] = None

    def put(self, value: T) -> None:
        """Replace the value and wake all who wait."""
        with self._changed:
            self._number += 1
            self._value = value
            self._changed.notify_all()

    def number(self) -> int:
        """Return the number of the newest value, 0 before the first."""
        with self._changed:
            return self._number

    def newest(self) -> Optional[T]:
        """Return the value, or None before the first."""
        with self._changed:
            return self._value

    def wait_newer(self, number: int, timeout: float) -> Optional[Tuple[int, T]]:
        """Return the newest value and its number once it is above `number`, or None after so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._number > number, timeout) or self._value is None:
                return None
            return self._number, self._value
