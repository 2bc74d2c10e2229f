"""Makes sure that what runs is the code that the project's folder holds, whichever copy is installed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from dobble.pipeline.errors import ForeignCodeError

_PACKAGES = ("dobble", "jetson")  # what stages import


def run_own_code(root: Path = Path()) -> None:
    """Go on if the code that runs is the folder's own, or if the folder holds none.

    The installed command cannot know in which of several clones, worktrees or experiments it is called; it
    hands over to `python -m dobble`, which takes the code of the folder that it is called in.

    Raises:
        ForeignCodeError: if Python was told to look elsewhere all the same.
    """
    for package in _PACKAGES:
        own, found = root / package / "__init__.py", find_spec(package)
        running = found.origin if found else None
        if not own.is_file() or (running and own.samefile(running)):
            continue
        if sys.modules["__main__"].__spec__ is None:  # a script, not `python -m`
            os.execv(sys.executable, [sys.executable, "-m", "dobble", *sys.argv[1:]])  # noqa: S606
        raise ForeignCodeError(own.parent.absolute(), running)
