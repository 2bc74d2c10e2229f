"""Outputs that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dobble.errors import OutputError


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends without an error.

    Until then, and after any error, `target` keeps what it had. An `OSError` that says why nothing can be
    written (disk full, no permission) becomes an `OutputError`; the side folder is removed.
    """
    side = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    with _named_write_errors(target):
        if old.exists() and not target.exists():
            old.rename(target)
        _remove(side)
        _remove(old)
        side.mkdir(parents=True)
        try:
            yield side
            if target.exists():
                target.rename(old)
            side.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            _remove(side)
            raise
        _remove(old)


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it takes the place of `target` when the block ends well.

    Errors are treated as in `replaced_folder`.
    """
    side = target.with_name(f".{target.name}.new")
    with _named_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield side
            side.replace(target)
        except BaseException:
            with suppress(FileNotFoundError):
                side.unlink()
            raise


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes of `source` without writing them twice where the file system allows it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _named_write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = [Path(name) for name in (error.filename, error.filename2) if name is not None]
        if named and not any(_inside(name, target.parent) or _inside(target, name) for name in named):
            raise
        raise OutputError(target, error.strerror or str(error)) from error


def _inside(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def _remove(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
