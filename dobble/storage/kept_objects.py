"""What a place that keeps objects can do, whether a folder or a bucket."""

from pathlib import Path
from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """An object of a place: its size in bytes, and its MD5 if the place knows one without reading it."""

    size: int
    md5: str | None


class Storage(Protocol):
    """Objects by key; `name` is what messages call the place."""

    name: str

    def list(self, folder: str) -> dict[str, Stored]:
        """Describe every object below a folder, by its key relative to that folder.

        The MD5 is a hint: where objects are encrypted it may be that of other bytes.
        """

    def read(self, key: str) -> bytes:
        """Give the bytes of a small object; FileNotFoundError if there is none."""

    def md5(self, key: str) -> str:
        """Fetch an object and give the MD5 of its bytes; FileNotFoundError if there is none."""

    def write(self, key: str, source: Path, md5: str) -> None:
        """Store a file of known MD5."""
