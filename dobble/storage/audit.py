"""Compares what is pinned with what the remote really holds, object by object.

An object's name is the MD5 of its bytes; a folder is an object `….dir` that lists its members. DVC takes the
members for granted once it finds the `.dir`, so nothing here does.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dobble.storage.kept_objects import Storage
from dobble.storage.parallel import for_each
from dobble.storage.pins import Output, members
from dobble.storage.places import file_md5

FILES = "files/md5"
_WORKERS = 8
Problem = Literal["missing", "wrong size", "damaged"]


@dataclass(frozen=True)
class Finding:
    """An object of the remote that is missing or damaged, and the files that it stands for."""

    name: str
    problem: Problem
    files: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """Findings, and for the name of each pinned object the files it stands for and the folders it is in."""

    findings: tuple[Finding, ...]
    hashed: int
    present: frozenset[str]
    files: dict[str, list[str]]
    folders: dict[str, set[str]]

    def is_overlooked(self, finding: Finding) -> bool:
        """Whether DVC takes the object for present: it is there but damaged, or the list that names it is."""
        listed = any(folder in self.present for folder in self.folders.get(finding.name, ()))
        return listed or finding.problem != "missing"


def take_stock(storage: Storage, cache: Path, pinned: Sequence[Output], sample: int | None) -> Inventory:
    """List the remote and compare existence and size of everything pinned; fetch and hash a sample of it.

    A size is known from the pin or from a good copy in the cache. What the cache lacks of a folder has what
    is left of the sum that is pinned for it: where that is wrong, and only there, these members are hashed.

    Args:
        storage: the remote.
        cache: folder of DVC's local cache.
        pinned: what should be there.
        sample: number of objects to hash, drawn anew each time, beside all lists of members; None for all,
            0 for none but suspects.
    """
    sizes = {key.replace("/", "", 1): stored.size for key, stored in storage.list(FILES).items()}
    files: defaultdict[str, list[str]] = defaultdict(list)
    folders: defaultdict[str, set[str]] = defaultdict(set)
    problems: dict[str, Problem] = {}
    suspects: set[str] = set()
    for output in pinned:
        files[output.name].append(f"{output.path}/" if output.is_folder else output.path)
        held = [output.name]
        if output.is_folder:
            listing = _listing(storage, cache, output.name, sizes)
            if listing is None:
                if output.name in sizes:
                    problems[output.name] = "damaged"
                continue
            held = []
            for path, name in members(listing).items():
                held.append(name)
                files[name].append(f"{output.path}/{path}")
                folders[name].add(output.name)
        if output.size is not None:
            suspects.update(_suspects(cache, held, sizes, output.size))
    for name in files:
        if name not in sizes:
            problems[name] = "missing"
        elif _size_is_wrong(cache, name, sizes[name]):
            problems[name] = "wrong size"
    there = [name for name in files if name not in problems]
    chosen = {name for name in there if name in suspects}
    if sample is None or sample >= len(there):
        chosen.update(there)
    elif sample:
        chosen.update(name for name in there if name.endswith(".dir"))
        chosen.update(random.sample(there, sample))
    to_hash = sorted(chosen)
    matches = for_each(
        lambda name: has_bytes(storage, key_of(name), md5_of(name)), to_hash, workers=_WORKERS, title="hash"
    )
    problems.update({name: "damaged" for name, good in zip(to_hash, matches, strict=True) if not good})
    findings = tuple(Finding(name, problems[name], tuple(files[name])) for name in sorted(problems))
    return Inventory(findings, len(to_hash), frozenset(sizes), dict(files), dict(folders))


def key_of(name: str) -> str:
    """Say where an object stands, on the remote as in the cache."""
    return f"{FILES}/{name[:2]}/{name[2:]}"


def md5_of(name: str) -> str:
    """Give the MD5 that the bytes of an object must have."""
    return name.removesuffix(".dir")


def has_bytes(storage: Storage, key: str, md5: str) -> bool:
    """Whether an object is there when it is fetched, and with the bytes of an MD5."""
    try:
        return storage.md5(key) == md5
    except FileNotFoundError:
        return False


def is_intact(cache: Path, name: str) -> bool:
    """Whether the cache has an object with the bytes that its name promises."""
    path = cache / key_of(name)
    return path.is_file() and file_md5(path) == md5_of(name)


def _listing(storage: Storage, cache: Path, name: str, sizes: dict[str, int]) -> bytes | None:
    """Get a list of members from the cache or else from the remote; None if neither has a good one."""
    if is_intact(cache, name):
        return (cache / key_of(name)).read_bytes()
    if name not in sizes:
        return None
    listing = storage.read(key_of(name))
    return listing if hashlib.md5(listing, usedforsecurity=False).hexdigest() == md5_of(name) else None


def _suspects(cache: Path, held: list[str], sizes: dict[str, int], total: int) -> list[str]:
    """Find the objects of an output among which one must have a wrong size, and only the sum tells it."""
    unknown, known = [], 0
    for name in held:
        try:
            known += (cache / key_of(name)).stat().st_size
        except FileNotFoundError:
            unknown.append(name)
    if any(name not in sizes for name in unknown):
        return []
    return unknown if sum(sizes[name] for name in unknown) != total - known else []


def _size_is_wrong(cache: Path, name: str, size: int) -> bool:
    path = cache / key_of(name)
    return path.is_file() and path.stat().st_size != size and is_intact(cache, name)
