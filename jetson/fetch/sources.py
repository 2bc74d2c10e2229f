"""Turns an MLflow server, a folder or an archive into the bytes of a bundle's files, one after the other."""

import base64
import contextlib
import json
import os
import socket
import ssl
import tarfile
import time
import zipfile
from http.client import HTTPException, IncompleteRead
from typing import IO, Any, Callable, Dict, List, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import OpenerDirector, Request, build_opener

from jetson.errors import FetchError

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"  # MLflow's own names
TIMEOUT = 30.0  # seconds without a byte
PAUSES = (1.0, 3.0, 9.0)  # seconds before each new try of what may pass
PASSING = (408, 425, 429, 500, 502, 503, 504)
BLOCK = 1 << 18
LARGEST = 1 << 20  # bytes of what comes without a word about its size
NETWORK_ERRORS = (URLError, ConnectionError, socket.timeout, ssl.SSLError)  # each an `OSError`


class Source:
    """Where a bundle comes from; use it in a `with` block.

    Attributes:
        name: what messages call it.
        facts: what is worth knowing later, as JSON can hold it: the kind, and for MLflow server, model,
            version and run.
    """

    name = ""
    facts: Dict[str, Any] = {}

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def copy(self, name: str, path: str, size: Optional[int] = None) -> None:
        """Write one of the files to a path.

        Args:
            name: relative, with slashes.
            path: where to; its folder exists.
            size: of the file, where it is known: no more than a byte beyond it is written.

        Raises:
            FetchError: it is not there, or does not come.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is open."""


class Folder(Source):
    """A bundle's folder, or one that holds it as `bundle`."""

    def __init__(self, folder: str) -> None:
        inner = os.path.join(folder, "bundle")
        outer = os.path.isfile(os.path.join(folder, "manifest.json"))
        self._folder = folder if outer or not os.path.isdir(inner) else inner
        self.name = self._folder
        self.facts = {"kind": "folder", "path": os.path.abspath(self._folder)}

    def copy(self, name: str, path: str, size: Optional[int] = None) -> None:
        """See `Source.copy`."""
        try:
            source = open(os.path.join(self._folder, *name.split("/")), "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            problem = "cannot be read ({}): name the folder of an exported bundle"
            raise FetchError(os.path.join(self._folder, name), problem.format(error.strerror)) from None
        with source:
            _write(source, path, _limit(size))


class Archive(Source):
    """A .tar.gz, .tgz, .tar or .zip with a bundle at its top or in a folder.

    Only files that the manifest names are ever taken out, by name and to where they belong: links, odd
    names and devices in an archive have no effect.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self.facts = {"kind": "archive", "path": os.path.abspath(path)}
        self._zip: Optional[zipfile.ZipFile] = None
        self._tar: Optional[tarfile.TarFile] = None
        try:
            if zipfile.is_zipfile(path):
                self._zip = zipfile.ZipFile(path)
                names = self._zip.namelist()
            else:
                self._tar = tarfile.open(path)  # noqa: SIM115 - closed by `close`
                names = self._tar.getnames()
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
            problem = "cannot be read as .tar.gz or .zip ({}): copy it again"
            raise FetchError(path, problem.format(_one_line(error))) from None
        found = [name for name in names if name.split("/")[-1] == "manifest.json"]
        if not found:
            self.close()
            raise FetchError(path, "holds no manifest.json: name an archive of an exported bundle")
        self._top = min(found, key=lambda name: (name.count("/"), name))[: -len("manifest.json")]

    def copy(self, name: str, path: str, size: Optional[int] = None) -> None:
        """See `Source.copy`."""
        try:
            with contextlib.closing(self._open(self._top + name)) as source:
                _write(source, path, _limit(size))
        except (KeyError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
            problem = "{} in it is missing or damaged ({}): copy the archive again"
            raise FetchError(self.name, problem.format(name, _one_line(error))) from None

    def close(self) -> None:
        """See `Source.close`."""
        for archive in (self._zip, self._tar):
            if archive is not None:
                archive.close()

    def _open(self, member: str) -> IO[bytes]:
        if self._zip is not None:
            return self._zip.open(member)
        assert self._tar is not None
        entry = self._tar.getmember(member)
        stream = self._tar.extractfile(entry) if entry.isfile() else None
        if stream is None:
            raise KeyError("it is no file")
        return stream


class Mlflow(Source):
    """A model version in an MLflow registry, asked over plain HTTP (MLflow 3.17's REST API).

    Args:
        server: its address, http or https.
        model: name of the registered model.
        alias: takes the version that carries it, where `version` is None.
        version: takes this one.

    Raises:
        FetchError: the server is away or refuses, or knows no such version.
    """

    def __init__(self, server: str, model: str, alias: str, version: Optional[str]) -> None:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FetchError(server, "is no address of a server: write http://HOST:PORT")
        self.name = server.rstrip("/")
        if parts.username is not None or parts.password is not None:
            self.name = "{}://{}".format(parts.scheme, parts.netloc.rpartition("@")[2])
            raise FetchError(self.name, "user and password belong into {} and {}".format(USER, PASSWORD))
        self._opener: OpenerDirector = build_opener()
        asked = "version {}".format(version) if version else "alias {}".format(alias)
        path = "model-versions/get" if version else "registered-models/alias"
        key = {"version": version} if version else {"alias": alias}
        unknown = "knows no model {} with {}: register a bundle there first".format(model, asked)
        answer = self._ask("/api/2.0/mlflow/" + path, dict(key, name=model), unknown)
        found = answer.get("model_version")
        if not isinstance(found, dict) or not str(found.get("version", "")).isdigit():
            raise FetchError(self.name, "does not answer as MLflow does: check the address")
        self._model, self._version = model, str(found["version"])
        self.facts = {
            "kind": "mlflow",
            "server": self.name,
            "model": model,
            "version": self._version,
            "alias": None if version else alias,
            "run_id": found.get("run_id") or None,
        }

    def copy(self, name: str, path: str, size: Optional[int] = None) -> None:
        """See `Source.copy`; what an earlier try has written is not asked for again."""
        query = {"name": self._model, "version": self._version, "path": name}
        unknown = "version {} of {} has no {}: register the bundle again".format(
            self._version, self._model, name
        )

        def download() -> None:
            have = os.path.getsize(path) if size is not None and os.path.exists(path) else 0
            if size is not None and have == size:
                return
            headers = {"Range": "bytes={}-".format(have)} if 0 < have < (size or 0) else {}
            with contextlib.closing(self._open("/model-versions/get-artifact", query, headers)) as answer:
                if answer.getcode() != 206:
                    have = 0
                _write(answer, path, _limit(size) - have, append=have > 0)
                length = answer.headers.get("Content-Length", "")
            came, promised = os.path.getsize(path), int(length) + have if length.isdigit() else size
            if promised is not None and came < min(promised, _limit(size)):
                raise _TruncatedError(came, promised, name)

        self._patiently(download, unknown)

    def _ask(self, path: str, query: Dict[str, str], unknown: str) -> Dict[str, Any]:
        bodies: List[bytes] = []

        def ask() -> None:
            with contextlib.closing(self._open(path, query, {})) as answer:
                bodies.append(answer.read(LARGEST))

        self._patiently(ask, unknown)
        try:
            answer = json.loads(bodies[-1].decode("utf-8"))
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {}

    def _open(self, path: str, query: Dict[str, str], headers: Dict[str, str]) -> Any:
        url = "{}{}?{}".format(self.name, path, urlencode(query, quote_via=quote))
        request = Request(url, headers=headers)  # noqa: S310 - http or https, checked above
        user, password = os.environ.get(USER), os.environ.get(PASSWORD)
        if user and password:
            token = base64.b64encode("{}:{}".format(user, password).encode("utf-8")).decode("ascii")
            # A redirect may lead to another host, which must not learn the password.
            request.add_unredirected_header("Authorization", "Basic " + token)
        return self._opener.open(request, timeout=TIMEOUT)

    def _patiently(self, call: Callable[[], None], unknown: str) -> None:
        """Call until it does not fail, with pauses, as long as the failure is one that passes."""
        for pause in PAUSES + (None,):
            try:
                call()
            except HTTPError as error:
                with contextlib.closing(error):
                    said = _said(error)
                if error.code in (401, 403):
                    problem = "refuses ({}): set {} and {}".format(error.code, USER, PASSWORD)
                elif error.code in (400, 404):
                    problem = "{} ({}: {})".format(unknown, error.code, said)
                else:
                    problem = "answered {} ({}): try again later".format(error.code, said)
                passing = error.code in PASSING
            except (_TruncatedError, IncompleteRead) as error:
                problem, passing = "broke off ({}): try again, it goes on from there".format(error), True
            except (HTTPException, ValueError) as error:
                problem, passing = "does not answer in HTTP ({})".format(_one_line(error)), True
            except NETWORK_ERRORS as error:
                reason = _one_line(getattr(error, "reason", error))
                problem = "cannot be reached ({}): check the address and the network".format(reason)
                passing = True
            else:
                return
            if not passing or pause is None:
                raise FetchError(self.name, problem)
            time.sleep(pause)


def open_source(place: str, model: str, alias: str, version: Optional[str]) -> Source:
    """Open what a place stands for: an address, a folder, or else an archive (see `Mlflow` for the rest)."""
    if "://" in place:
        return Mlflow(place, model, alias, version)
    if os.path.isdir(place):
        return Folder(place)
    return Archive(place)


class _TruncatedError(Exception):
    """A download ended before its time."""

    def __init__(self, came: int, promised: int, name: str) -> None:
        super().__init__("{} of {} bytes of {} came".format(came, promised, name))


def _said(error: HTTPError) -> str:
    """Return what MLflow's JSON, or else the status line, says about a failure."""
    try:
        body = json.loads(error.read(LARGEST).decode("utf-8"))
        return _one_line(body["message"])
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return _one_line(error.reason)


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:200]


def _limit(size: Optional[int]) -> int:
    """Return how much is read at most: enough to tell that a file is longer than it should be."""
    return LARGEST if size is None else size + 1


def _write(source: Any, path: str, limit: int, append: bool = False) -> None:
    """Write at most `limit` bytes and see to it that they outlive a power cut."""
    with open(path, "ab" if append else "wb") as target:
        while limit > 0:
            block = source.read(min(BLOCK, limit))
            if not block:
                break
            target.write(block)
            limit -= len(block)
        target.flush()
        os.fsync(target.fileno())
