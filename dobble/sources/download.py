"""Addresses of photos to files that are whole, many at a time; what is known to be on disk is not fetched."""

import fcntl
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import requests
from tqdm import tqdm

from dobble.data.photos import check_photo
from dobble.errors import OutputError, PhotoError
from dobble.files import followed, replaced_file
from dobble.sources.errors import UnreachableError
from dobble.sources.http_retries import GaveUpError, PatientAdapter
from dobble.sources.labelbox import LabelboxSettings

_EXPIRED = frozenset({400, 401, 403})


@dataclass(frozen=True)
class Asset:
    """A photo that Labelbox knows.

    Attributes:
        name: its external id.
        row: id of its data row.
        place: its address without signature.
        attributes: size and kind as Labelbox measured them, which tell of another photo at the same place.
        address: where it can be had for a while.
    """

    name: str
    row: str
    place: str
    attributes: str
    address: str

    @property
    def key(self) -> str:
        """Name of its file while it is not yet in the data folder."""
        return hashlib.sha256(f"{self.row}\n{self.place}\n{self.attributes}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Known:
    key: str
    name: str
    sha256: str
    bytes: int


class PhotoStore:
    """The side folder of a data folder: downloads that are not yet in it, and hashes of those that are.

    It survives an interrupted fetch, so that the next one goes on where that one stopped. Use it in a `with`
    block; two at a time are an error. Where the data folder is a link it lies beside what that leads to.
    """

    def __init__(self, data: Path) -> None:
        self._data = data = followed(data)
        self._side = data.with_name(f".{data.name}.fetch")
        self._known: dict[str, _Known] = {}
        self._found: dict[str, Path] = {}
        self._writing = threading.Lock()
        self.downloaded = 0

    def __enter__(self) -> Self:
        with self._named_errors():
            (self._side / "images").mkdir(parents=True, exist_ok=True)
            self._lock = (self._side / "lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._lock.close()
                raise OutputError(self._data, "another fetch is writing it, wait for its end") from error
            self._known = {known.key: known for known in _read_index(self._index)}
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def find(self, asset: Asset) -> Path | None:
        """Give the file of a photo that is here with the size and the hash it came with."""
        if asset.key not in self._found and (known := self._known.get(asset.key)):
            for path in (self._side / "images" / known.key, self._data / "images" / known.name):
                if _is(path, known):
                    self._found[asset.key] = path
        return self._found.get(asset.key)

    def add(self, asset: Asset, content: bytes) -> None:
        """Keep a photo that has arrived.

        Raises:
            PhotoError: if it is no whole picture.
            OutputError: if it cannot be written.
        """
        known = _Known(asset.key, asset.name, hashlib.sha256(content).hexdigest(), len(content))
        target = self._side / "images" / asset.key
        with replaced_file(target) as side:
            side.write_bytes(content)
            try:
                check_photo(side)
            except PhotoError as error:
                raise PhotoError(asset.name, error.problem) from error
        with self._writing, self._named_errors(), self._index.open("a", encoding="utf-8") as stream:
            stream.write(_index_line(known))
            self._known[asset.key] = known
            self._found[asset.key] = target
            self.downloaded += 1

    def settle(self, assets: Sequence[Asset]) -> None:
        """Forget all but the given photos, which the data folder has now."""
        with self._named_errors():
            with replaced_file(self._index) as side:
                known = [self._known[asset.key] for asset in assets]
                lines = [
                    _index_line(_Known(entry.key, asset.name, entry.sha256, entry.bytes))
                    for asset, entry in zip(assets, known, strict=True)
                ]
                side.write_text("".join(lines), encoding="utf-8")
            for path in (self._side / "images").iterdir():
                path.unlink()

    @property
    def _index(self) -> Path:
        return self._side / "index.ndjson"

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(self._side, error.strerror or str(error)) from error


class Download(NamedTuple):
    """What did not come: photos that are gone or damaged, and a photo whose address has expired, if any."""

    failed: list[PhotoError]
    expired: Asset | None


def download(assets: Sequence[Asset], store: PhotoStore, settings: LabelboxSettings) -> Download:
    """Bring photos into the store, several at a time; what is there already stays.

    Once an address has expired, others may be missing too.

    Raises:
        UnreachableError: if a server does not answer.
        OutputError: if nothing can be written.
    """
    stop = threading.Event()
    failed: list[PhotoError] = []
    adapter = PatientAdapter(settings.patience, settings.connections, stop)
    bar = tqdm(total=len(assets), desc="fetch", unit="photo", disable=None)
    with requests.Session() as session, ThreadPoolExecutor(settings.connections) as pool, bar:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            waiting = [pool.submit(_bring, asset, store, session, stop) for asset in assets]
            for done in as_completed(waiting):
                try:
                    expired = done.result()
                except PhotoError as error:
                    failed.append(error)
                    continue
                if expired:
                    return Download(failed, expired)
                bar.update()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return Download(failed, None)


def _bring(asset: Asset, store: PhotoStore, session: requests.Session, stop: threading.Event) -> Asset | None:
    if stop.is_set() or store.find(asset):
        return None
    host = asset.place.split("/")[2]
    try:
        response = session.get(asset.address)
    except GaveUpError as error:
        if "cut short" in str(error):
            raise PhotoError(asset.name, f"does not arrive whole from {host}: {error}") from error
        cure = "fetch again later; what has arrived is kept"
        raise UnreachableError(f"{asset.name}: {host} does not give the photo ({error}): {cure}") from error
    except requests.RequestException as error:
        raise PhotoError(asset.name, f"has an address that leads nowhere ({type(error).__name__})") from error
    if response.status_code in _EXPIRED:
        return asset
    if response.status_code != 200:
        answer = f"{response.status_code} {response.reason}"
        cure = "put the photo back, or delete its data row in Labelbox"
        raise PhotoError(asset.name, f"cannot be had from {host} ({answer}): {cure}")
    store.add(asset, response.content)
    return None


def _is(path: Path, known: _Known) -> bool:
    try:
        if path.stat().st_size != known.bytes:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256
    except OSError:
        return False


def _index_line(known: _Known) -> str:
    return json.dumps(vars(known), ensure_ascii=False) + "\n"


def _read_index(path: Path) -> Iterator[_Known]:
    """Read what earlier fetches noted; a line that was being written when one was killed does not count."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield _Known(**json.loads(line))
        except (ValueError, TypeError):
            continue
