"""Tells a failure that passes, and is worth another try, from one that does not."""

from dobble.errors import (
    DvcBusyError,
    ExportUnfinishedError,
    OutputBusyError,
    RemoteStalledError,
    RemoteUnreachableError,
    StageFailedError,
    TrackingBusyError,
    TrackingLockedError,
    TrackingUnreachableError,
    UnreachableError,
    WeightsDownloadError,
    WorkspaceBusyError,
)

_PASSING = (
    DvcBusyError,
    ExportUnfinishedError,
    OutputBusyError,
    RemoteStalledError,
    RemoteUnreachableError,
    TrackingBusyError,
    TrackingLockedError,
    TrackingUnreachableError,
    UnreachableError,
    WeightsDownloadError,
    WorkspaceBusyError,
)


def passes(error: BaseException) -> bool:
    """Whether a failure may be gone at the next try: a lock held, a server away, busy or broken."""
    if isinstance(error, StageFailedError):
        return error.passing
    return isinstance(error, _PASSING)
