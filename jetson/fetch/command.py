"""Turns a bundle in MLflow, in a folder or in an archive into the one in use here, whole or not at all."""

import argparse
import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import sys
import time
from typing import Any, Dict, Iterator, List, Optional

from jetson.errors import BundleError, FetchError
from jetson.fetch.sources import PASSWORD, USER, Source, open_source
from jetson.home import bundle_folder, bundles_folder, home
from jetson.play.bundle import Bundle, ListedFile, listed_files, load_bundle

SERVER = "MLFLOW_TRACKING_URI"  # MLflow's own name
ORIGIN = "source.json"  # in a bundle's folder, beside the manifest
SPARE = 16 << 20  # bytes that a disk keeps free


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fetch`."""
    parser.add_argument(
        "source",
        nargs="?",
        help="address of an MLflow server (default: {}), a bundle's folder, or a .tar.gz or .zip; "
        "user and password come from {} and {}".format(SERVER, USER, PASSWORD),
    )
    parser.add_argument("--model", default="dobble", help="name in the registry (default: %(default)s)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--alias", default="champion", help="version by its alias (default: %(default)s)")
    chosen.add_argument("--version", help="version by its number")
    chosen.add_argument("--rollback", action="store_true", help="go back to the bundle before this one")


def run(arguments: argparse.Namespace) -> int:
    """Fetch or go back, and say what is in use now."""
    if arguments.rollback:
        sys.stdout.write("{}\n".format(roll_back()))
        return 0
    place = arguments.source or os.environ.get(SERVER, "").strip()
    if not place:
        raise FetchError(
            "fetch", "from where? name a server, a folder or an archive, or set {}".format(SERVER)
        )
    with open_source(place, arguments.model, arguments.alias, arguments.version) as source:
        sys.stdout.write("{}\n".format(fetch(source)))
    return 0


def fetch(source: Source) -> str:
    """Bring a bundle here, check every file and switch to it; keep the one that was in use until now.

    Returns:
        What is in use now, in one line.

    Raises:
        FetchError: it does not come, is damaged, or there is no room; what was in use still is.
    """
    with _named_disk_errors(), _alone():
        manifest = _take_manifest(source)
        name = hashlib.sha256(manifest).hexdigest()[:12]
        target, incoming = os.path.join(bundles_folder(), name), os.path.join(bundles_folder(), "." + name)
        used = _used()
        new = not _whole(target)
        if new:
            _take_files(source, manifest, incoming)
        before = _origin(used).get("before") if used == name else used
        _write_origin(incoming if new else target, dict(source.facts, before=before))
        if new:
            shutil.rmtree(target, ignore_errors=True)
            os.rename(incoming, target)
        _switch(name)
        _prune({name, before})
    kept = "; the one before is kept" if before else ""
    return "bundle {} from {} is in use{}".format(name, _described(source), kept)


def roll_back() -> str:
    """Switch to the bundle that was in use before this one.

    Returns:
        What is in use now, in one line.

    Raises:
        FetchError: there is none.
        BundleError: it is damaged.
    """
    with _named_disk_errors(), _alone():
        before = _origin(_used()).get("before")
        folder = os.path.join(bundles_folder(), before or "")
        if not before or not os.path.isdir(folder):
            raise FetchError(
                bundle_folder(), "there is no bundle before this one: fetch one by its --version"
            )
        load_bundle(folder)
        _switch(before)
    return "bundle {} is in use again".format(before)


def origin(bundle: Bundle) -> Dict[str, Any]:
    """Return where a fetched bundle came from (`Source.facts`); nothing for one that lies elsewhere."""
    return _read_origin(bundle.folder)


def _take_manifest(source: Source) -> bytes:
    path = os.path.join(bundles_folder(), ".manifest.json")
    source.copy("manifest.json", path)
    with open(path, "rb") as stream:
        manifest = stream.read()
    os.remove(path)
    return manifest


def _take_files(source: Source, manifest: bytes, incoming: str) -> None:
    """Fill a folder with a checked bundle; what an earlier try has brought is used."""
    where = "{}: manifest.json".format(source.name)
    listed = _listed(where, manifest)
    missing = sum(one.size for one in listed) + SPARE
    free = shutil.disk_usage(bundles_folder()).free
    if free < missing and not os.path.isdir(incoming):
        problem = "{} MB are free, {} MB are needed: make room".format(free >> 20, missing >> 20)
        raise FetchError(home(), problem)
    os.makedirs(incoming, exist_ok=True)
    with open(os.path.join(incoming, "manifest.json"), "wb") as stream:
        stream.write(manifest)
        os.fsync(stream.fileno())
    for one in listed:
        path = os.path.join(incoming, *one.name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        source.copy(one.name, path, one.size)
    try:
        load_bundle(incoming)
    except BundleError as error:
        shutil.rmtree(incoming)
        problem = str(error).replace(incoming + os.sep, "")
        raise FetchError(
            source.name, "the bundle there is damaged or unfit here, {}".format(problem)
        ) from None


def _listed(where: str, manifest: bytes) -> List[ListedFile]:
    try:
        read = json.loads(manifest.decode("utf-8"))
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise BundleError(where, "is no manifest of a bundle: name another source")
    return listed_files(where, read)


def _whole(folder: str) -> bool:
    try:
        load_bundle(folder)
    except BundleError:
        return False
    return True


def _used() -> Optional[str]:
    """Return the name of the bundle in use, or None."""
    link = bundle_folder()
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else None


def _switch(name: str) -> None:
    """Let the link point to another bundle; at every moment it points to a whole one."""
    link = bundle_folder()
    if os.path.isdir(link) and not os.path.islink(link):
        raise FetchError(link, "is a folder, not fetch's link to one: move it away")
    side = link + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.remove(side)
    os.symlink(os.path.join(os.path.basename(bundles_folder()), name), side)
    os.replace(side, link)
    folder = os.open(os.path.dirname(link), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _prune(kept: "set[Optional[str]]") -> None:
    for name in os.listdir(bundles_folder()):
        if name not in kept:
            shutil.rmtree(os.path.join(bundles_folder(), name), ignore_errors=True)


def _origin(name: Optional[str]) -> Dict[str, Any]:
    return _read_origin(os.path.join(bundles_folder(), name)) if name else {}


def _read_origin(folder: str) -> Dict[str, Any]:
    try:
        with open(os.path.join(folder, ORIGIN), encoding="utf-8") as stream:
            read = json.load(stream)
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _write_origin(folder: str, facts: Dict[str, Any]) -> None:
    path = os.path.join(folder, ORIGIN)
    facts = dict(facts, fetched=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump(facts, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(path + ".new", path)


def _described(source: Source) -> str:
    if source.facts["kind"] != "mlflow":
        return source.name
    return "{}, {} version {}".format(source.name, source.facts["model"], source.facts["version"])


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep another fetch on this device away."""
    os.makedirs(bundles_folder(), exist_ok=True)
    with open(os.path.join(home(), ".fetch.lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(home(), "another fetch is at work: wait for it to end") from None
        yield


@contextlib.contextmanager
def _named_disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            for incoming in glob.glob(os.path.join(bundles_folder(), ".*")):
                shutil.rmtree(incoming, ignore_errors=True)
            raise FetchError(home(), "the disk is full: make room and fetch again") from None
        problem = "cannot be read or written ({}): check who owns it".format(error.strerror or error)
        raise FetchError(error.filename or home(), problem) from None
