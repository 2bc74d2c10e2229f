"""Takes out of DVC's lock file those that no longer run: DVC itself is misled by zombies and reused pids."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from dobble.files import replaced_file

RWLOCK = Path(".dvc/tmp/rwlock")
_CLOCK_SECONDS = 2.0  # by which the system's times of a process and of a file may differ


def forget_dead_holders(root: Path) -> bool:
    """Free what is held by a process that has ended, or whose pid now is another program's.

    Returns:
        Whether anything was freed; not while DVC itself is at the file.
    """
    path = root / RWLOCK
    if not path.is_file():
        return False
    with ExitStack() as stack:
        if not _guarded(root, stack):
            return False
        try:
            before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            written = path.stat().st_mtime
        except (OSError, ValueError):
            return False
        after = {
            "read": {
                place: alive
                for place, holders in before.get("read", {}).items()
                if (alive := [one for one in holders if _runs(one, written)])
            },
            "write": {
                place: holder for place, holder in before.get("write", {}).items() if _runs(holder, written)
            },
        }
        if after == {"read": before.get("read", {}), "write": before.get("write", {})}:
            return False
        with replaced_file(path) as side:
            side.write_text(json.dumps(after), encoding="utf-8")
        return True


def _guarded(root: Path, stack: ExitStack) -> bool:
    """Take the lock under which DVC edits the file, until the stack ends."""
    from dvc.lock import LockError, make_lock  # type: ignore[import-untyped]  # noqa: PLC0415
    from dvc.repo import Repo  # type: ignore[import-untyped]  # noqa: PLC0415

    folder = root.absolute() / RWLOCK.parent
    hardlink = Repo(str(root)).config["core"].get("hardlink_lock", False)
    try:
        stack.enter_context(make_lock(str(folder / "rwlock.lock"), str(folder), hardlink_lock=hardlink))
    except LockError:
        return False
    return True


def _runs(holder: dict[str, Any], written: float) -> bool:
    """Whether a holder still runs; who began after the file was written last is not in it."""
    try:
        process = psutil.Process(int(holder["pid"]))
        return bool(
            process.status() != psutil.STATUS_ZOMBIE and process.create_time() < written + _CLOCK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False
