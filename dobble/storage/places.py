"""Reads DVC's settings as a place to keep objects in: a folder of this machine, or a folder in a bucket."""

import hashlib
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from dobble.errors import OutputError
from dobble.storage.errors import NoRemoteError, RemoteError
from dobble.storage.kept_objects import Storage, Stored

_S3_KEYS = {
    "url": "url",
    "endpointurl": "endpoint",
    "region": "region",
    "profile": "profile",
    "access_key_id": "key",
    "secret_access_key": "secret",
    "session_token": "token",
    "ssl_verify": "verify",
}
_TIMEOUTS = {"connect_timeout", "read_timeout"}
_DEFAULTS = {"verify", "listobjects", "use_ssl", "jobs", "protected", "slow_link_warning"}
_STALE_SECONDS = 86_400.0


@dataclass(frozen=True)
class Remote:
    """A remote as DVC calls it, and its url; `storage` is None if only DVC understands kind or settings."""

    name: str
    url: str
    endpoint: str | None
    storage: Storage | None


class Folder:
    """A folder of this machine, or of a share that other machines write to at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.name = folder, str(folder)

    def list(self, folder: str) -> dict[str, Stored]:
        """Give the size of every file below a folder, by its path relative to that folder."""
        top = self._folder / folder
        found = {}
        for path in top.rglob("*"):
            with suppress(FileNotFoundError):  # another writer's own file, which has its name by now
                if path.is_file():
                    found[path.relative_to(top).as_posix()] = Stored(path.stat().st_size, None)
        return found

    def read(self, key: str) -> bytes:
        """Give the bytes of a file."""
        return (self._folder / key).read_bytes()

    def md5(self, key: str) -> str:
        """Give the MD5 of a file."""
        return file_md5(self._folder / key)

    def write(self, key: str, source: Path, md5: str) -> None:
        """Copy a file; who writes the same object at the same time disturbs nobody."""
        target = self._folder / key
        try:
            side = self._incoming / uuid4().hex
            try:
                shutil.copyfile(source, side)
                if file_md5(side) != md5:
                    raise RemoteError(
                        f"{source} changed while it was copied to {self.name}: run the command again"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                side.replace(target)
            finally:
                side.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(target, error.strerror or str(error)) from error

    @cached_property
    def _incoming(self) -> Path:
        """Where copies grow, without what killed ones have left there long ago."""
        folder = self._folder / ".incoming"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()
        return folder


def open_remote(root: Path, stall_seconds: float, chosen: str | None = None) -> Remote:
    """Read DVC's settings of a project: of the remote that is chosen by name, else of the default one.

    Raises:
        NoRemoteError: if there is no such remote.
        RemoteError: if DVC's settings cannot be read.
        RemoteAccessError: if AWS's own chain is broken, e.g. the profile does not exist.
    """
    config = _dvc_config(root)
    name = chosen or config["core"].get("remote")
    settings = config["remote"].get(name)
    if settings is None:
        raise NoRemoteError
    return Remote(name, settings["url"], settings.get("endpointurl"), _open(settings, stall_seconds))


def cache_folder(root: Path) -> Path:
    """Say where DVC's local cache is.

    Raises:
        RemoteError: if DVC's settings cannot be read.
    """
    return Path(_dvc_config(root)["cache"].get("dir") or root / ".dvc" / "cache")


def file_md5(path: Path) -> str:
    """Give the MD5 of a file, by which DVC names it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _md5).hexdigest()


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _dvc_config(root: Path) -> Any:
    from dvc.config import Config, ConfigError  # type: ignore[import-untyped]  # noqa: PLC0415

    folder = root / ".dvc"
    if not folder.is_dir():
        raise RemoteError(f"{folder}: there is no DVC project here: run in the project's folder")
    try:
        return Config(str(folder.absolute()))
    except ConfigError as error:
        raise RemoteError(f"{folder}: {' '.join(str(error).split())}") from error


def _open(settings: dict[str, Any], stall_seconds: float) -> Storage | None:
    url = settings["url"]
    given = {
        key: value
        for key, value in settings.items()
        if value is not False and key not in _TIMEOUTS | _DEFAULTS
    }
    if "://" not in url:
        return Folder(Path(url)) if set(given) <= {"url"} else None
    if not url.startswith("s3://") or not set(given) <= set(_S3_KEYS) or settings.get("use_ssl") is False:
        return None
    from dobble.storage.s3 import S3Bucket, S3Settings  # noqa: PLC0415

    values = {_S3_KEYS[key]: value for key, value in given.items() if key != "url"}
    if settings.get("ssl_verify") is False:
        values["verify"] = False
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Bucket(S3Settings(bucket, prefix.strip("/"), **values), stall_seconds)
