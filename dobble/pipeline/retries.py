"""Tells a failure that passes, and is worth another try, from one that does not."""

from dobble.errors import WeightsDownloadError
from dobble.pipeline.errors import OutputBusyError, StageFailedError, WorkspaceBusyError
from dobble.sources.errors import ExportUnfinishedError, UnreachableError
from dobble.storage.errors import DvcBusyError, RemoteStalledError, RemoteUnreachableError
from dobble.tracking.errors import TrackingBusyError, TrackingLockedError, TrackingUnreachableError

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
