"""Reads what `data.dvc` and `dvc.lock` pin, and says how data/ differs before it is re-pinned unseen."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dobble.errors import MissingInputError
from dobble.paths import DATA, DATA_PIN, PIPELINE, PIPELINE_LOCK
from dobble.storage.dvc_command import run_dvc
from dobble.storage.errors import PinnedDataError, RemoteError
from dobble.storage.places import cache_folder, file_md5

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Output:
    """A file or folder that DVC keeps: its path, the name of its object, its size in bytes where known."""

    path: str
    name: str
    size: int | None

    @property
    def is_folder(self) -> bool:
        """Whether the object is a list of members."""
        return self.name.endswith(".dir")


def outputs(root: Path = Path()) -> list[Output]:
    """List everything that `*.dvc` files and `dvc.lock` say DVC keeps; what has `cache: false` is in git.

    Raises:
        RemoteError: if one of the files cannot be read.
    """
    pins = [
        item
        for source in sorted(root.glob("*.dvc"))
        if source.is_file()
        for item in _yaml(source).get("outs", [])
    ]
    found = [item for item in pins if item.get("cache", True)]
    in_git = _kept_in_git(root)
    stages = _yaml(root / PIPELINE_LOCK).get("stages") or {}
    for stage, content in stages.items():
        found += [item for item in content.get("outs", []) if (stage, item["path"]) not in in_git]
    return [Output(item["path"], item["md5"], item.get("size")) for item in found if "md5" in item]


def members(listing: bytes) -> dict[str, str]:
    """Read a `.dir` object: the name of each member's object by its path in the folder."""
    return {item["relpath"]: item["md5"] for item in json.loads(listing)}


def listing_name(names: dict[str, str]) -> str:
    """Name the `.dir` object of a folder as DVC does: by the MD5 of its members' JSON."""
    listing = [{"md5": names[path], "relpath": path} for path in sorted(names)]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def check_pinned(root: Path = Path()) -> None:
    """Compare data/ with what data.dvc pins, since `dvc repro` takes whatever is there and re-pins it.

    The same bytes are the same data, wherever they came from: a deck that was rendered again into a fresh
    clone passes, and goes into the cache, so that `dvc status` is clean.

    Raises:
        PinnedDataError: with the number of changed, new and missing files.
        MissingInputError: if data/ is not there, or not pinned.
        DvcBusyError: if another process holds one of DVC's locks.
        DvcError: if DVC cannot take the data into its cache.
    """
    pin_file, folder = root / DATA_PIN, root / DATA
    if not pin_file.is_file():
        raise MissingInputError(pin_file, "run `dobble pin` to pin data/")
    if not folder.is_dir():
        raise MissingInputError(folder, "run `dobble pull`, or `dobble sample` if the sample deck is pinned")
    pinned = _data_output(root)
    cached = cache_folder(root) / "files" / "md5" / pinned.name[:2] / pinned.name[2:]
    here = {
        path.relative_to(folder).as_posix(): file_md5(path) for path in folder.rglob("*") if path.is_file()
    }
    # DVC has the last word: it knows of files that .dvcignore leaves out.
    if listing_name(here) != pinned.name and json.loads(run_dvc(["status", "--json", str(DATA_PIN)], root)):
        raise PinnedDataError(_difference(here, cached), "run `dobble pin` to accept it")
    if not _is_whole(cached):
        run_dvc(["commit", "--force", str(DATA_PIN)], root)


def pin(root: Path = Path()) -> Output:
    """Pin data/ as it is now in data.dvc.

    Raises:
        MissingInputError: if data/ is not there.
        DvcBusyError: if another process holds one of DVC's locks.
        DvcError: if DVC refuses it.
    """
    if not (root / DATA).is_dir():
        raise MissingInputError(root / DATA, "run `dobble sample`, `dobble import` or `dobble fetch`")
    run_dvc(["add", str(DATA)], root)
    return _data_output(root)


def read_yaml(source: Path) -> dict[str, Any]:
    """Read a file of the project.

    Raises:
        MissingInputError: if it is not there.
        RemoteError: if it is no YAML.
    """
    if not source.is_file():
        raise MissingInputError(source, "run `dvc repro` in the project's folder")
    return _yaml(source)


def _data_output(root: Path) -> Output:
    for output in outputs(root):
        if output.path == str(DATA):
            return output
    raise MissingInputError(root / DATA_PIN, "run `dobble pin` to pin data/")


def _is_whole(listing: Path) -> bool:
    """Say whether the cache has a folder's list and everything that it lists."""
    files = listing.parent.parent
    return listing.is_file() and all(
        (files / name[:2] / name[2:]).is_file() for name in members(listing.read_bytes()).values()
    )


def _difference(here: dict[str, str], cached: Path) -> str:
    if not cached.is_file():
        return (
            f"{len(here)} files here are other data, and what was pinned is not in the cache (`dobble pull`)"
        )
    before = members(cached.read_bytes())
    changed = sum(before[path] != name for path, name in here.items() if path in before)
    new, missing = len(here.keys() - before.keys()), len(before.keys() - here.keys())
    return f"{changed} changed, {new} new, {missing} missing"


def _kept_in_git(root: Path) -> set[tuple[str, str]]:
    """Stage and path of what `dvc.yaml` keeps out of the cache."""
    stages = _yaml(root / PIPELINE).get("stages") or {}
    if any("do" in stage or "${" in json.dumps(stage) for stage in stages.values()):
        from dvc.repo import Repo  # type: ignore[import-untyped]  # noqa: PLC0415

        found = Repo(str(root)).index.outs
        return {(getattr(out.stage, "name", ""), out.def_path) for out in found if not out.use_cache}
    return {
        (name, path)
        for name, stage in stages.items()
        for item in (*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", []))
        if isinstance(item, dict)
        for path, settings in item.items()
        if settings.get("cache") is False
    }


def _yaml(source: Path) -> dict[str, Any]:
    try:
        values = yaml.load(source.read_bytes(), Loader=_Loader)  # noqa: S506 - both are safe loaders
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise RemoteError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
    return values or {}
