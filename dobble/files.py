"""Outputs that appear whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dobble.errors import OutputError
from dobble.processes import check_wanted

_FICLONE = 0x40049409  # linux/fs.h; fcntl has no name for it


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends without an error.

    Until then, and after any error, `target` keeps what it had; a link stays, and where it leads is replaced.
    An `OSError` that says why nothing can be written (disk full, no permission) becomes an `OutputError`; the
    side folder is removed.

    Raises:
        OutputError: if the folder cannot be written, or `target` is a file, or a link that leads nowhere.
        OrphanedError: if DVC ran this and has ended in the meantime.
    """
    target = followed(target)
    if target.exists() and not target.is_dir():
        raise OutputError(target, "a file is there: move it away, or name another folder")
    side = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    with named_write_errors(target):
        if old.exists() and not target.exists():
            old.rename(target)
        _remove(side)
        _remove(old)
        side.mkdir(parents=True)
        try:
            yield side
            check_wanted()
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

    Links and errors are treated as in `replaced_folder`.
    """
    target = followed(target)
    side = target.with_name(f".{target.name}.new")
    with named_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield side
            side.replace(target)
        except BaseException:
            with suppress(FileNotFoundError):
                side.unlink()
            raise


def followed(target: Path) -> Path:
    """Give the place that a link leads to, which may be on a larger disk; any other path as it is.

    Raises:
        OutputError: if the link leads nowhere, as one to a disk that is not mounted does.
    """
    if not target.is_symlink():
        return target
    try:
        return target.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        cure = "mount or make what it leads to, or remove the link"
        problem = f"it is a link to {target.readlink()}, which is not there: {cure}"
        raise OutputError(target, problem) from error


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes of `source`, by a hard link if both lie in one project and file system.

    A link that left the project would let an edit outside change pinned data, and let DVC make a file
    outside read-only.
    """
    source = source.resolve()
    if _project(source) == _project(target.resolve()):
        with suppress(OSError):
            os.link(source, target)
            return
    copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Give a new file the bytes of `source`; file systems that can share the blocks until one is changed."""
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing, _FICLONE, reading.fileno())
        except OSError:
            shutil.copyfileobj(reading, writing, 2**20)


def _project(path: Path) -> Path | None:
    """Give the folder above a path that DVC takes for a project."""
    return next((folder for folder in path.parents if (folder / ".dvc").is_dir()), None)


@contextmanager
def named_write_errors(target: Path) -> Iterator[None]:
    """Turn an `OSError` about `target`, or about what it lies in, into an `OutputError`."""
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
