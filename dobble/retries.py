"""Tells a failure that passes, and is worth another try, from one that does not."""

import re

from dobble.errors import (
    ExportUnfinishedError,
    RemoteStalledError,
    RemoteUnreachableError,
    StageFailedError,
    TrackingUnreachableError,
    UnreachableError,
    WorkspaceBusyError,
)

_PASSING = (
    ExportUnfinishedError,
    RemoteStalledError,
    RemoteUnreachableError,
    TrackingUnreachableError,
    UnreachableError,
    WorkspaceBusyError,
)
_SIGNS = re.compile(
    r"connection (refused|reset|aborted|closed|error|timed out)|could not connect|temporary failure"
    r"|read timed out|too many requests|\b50[0234] (internal|bad gateway|service|gateway)"
    r"|(status|error|http)[^\n]{0,12}\b(429|50[0234])\b",
    re.IGNORECASE,
)


def passes(error: BaseException) -> bool:
    """Whether a failure may be gone at the next try: a lock held, a lost connection, 429 or 5xx."""
    if isinstance(error, StageFailedError):
        return any(_SIGNS.search(line) for line in error.lines[-6:])
    return isinstance(error, _PASSING)
