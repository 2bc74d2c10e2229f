"""Takes out of DVC's lock file those that no longer run: DVC itself is misled by zombies and reused pids."""

import json
from pathlib import Path
from typing import Any

from dobble.files import replaced_file
from dobble.processes import runs

RWLOCK = Path(".dvc/tmp/rwlock")


def forget_dead_holders(root: Path) -> bool:
    """Free what is held by a process that has ended, or whose pid now is another program's.

    Returns:
        Whether anything was freed.
    """
    path = root / RWLOCK
    try:
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    readers = {place: [one for one in holders if _runs(one)] for place, holders in before["read"].items()}
    after = {
        "read": {place: holders for place, holders in readers.items() if holders},
        "write": {place: holder for place, holder in before["write"].items() if _runs(holder)},
    }
    if after == before:
        return False
    with replaced_file(path) as side:
        side.write_text(json.dumps(after), encoding="utf-8")
    return True


def _runs(holder: dict[str, Any]) -> bool:
    return runs(int(holder["pid"]), "dvc")
