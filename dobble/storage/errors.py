"""What goes wrong with the stack, with DVC and with the remote."""

from pathlib import Path

from dobble.errors import DobbleError


class StackError(DobbleError):
    """A stack file is missing or says something that no stack may say."""

    def __init__(self, source: Path | str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")


class RemoteError(DobbleError):
    """The remote storage of data and results cannot be used."""


class NoRemoteError(RemoteError):
    """No remote is chosen."""

    def __init__(self) -> None:
        super().__init__("no remote is configured: choose one with `dobble stack use local` or `… use s3`")


class RemoteAccessError(RemoteError):
    """The remote knows nobody by these credentials, or lets them do less than is needed."""

    def __init__(self, remote: str, problem: str) -> None:
        cure = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) and what they may do"
        super().__init__(f"{remote} refuses access ({problem}): {cure}")


class BucketMissingError(RemoteError):
    """The bucket does not exist."""

    def __init__(self, remote: str) -> None:
        super().__init__(f"{remote}: there is no such bucket: create it, or correct the stack's url")


class RemoteClockError(RemoteError):
    """The remote refuses what it takes for old, since the clocks differ by more than it allows."""

    def __init__(self, remote: str, seconds: float) -> None:
        way = "behind" if seconds > 0 else "ahead"
        cure = "set it (`timedatectl set-ntp true`), then run the same command again"
        super().__init__(f"{remote}: the clock here is {abs(seconds) / 60:.0f} minutes {way}: {cure}")
        self.seconds = seconds


class RemoteUnreachableError(RemoteError):
    """Nobody answers at the endpoint, or it breaks off however often it is asked."""

    passing = True

    def __init__(self, remote: str, problem: str) -> None:
        cure = "check the endpoint in the stack's file and the network, then run the same command again"
        super().__init__(f"{remote} cannot be reached ({problem}): {cure}")


class NoStorageError(RemoteError):
    """What answers at the endpoint is no storage: a login page, a proxy, another service."""

    def __init__(self, remote: str, answer: str) -> None:
        cure = "check the endpoint in the stack's file, and whether the network wants a login or a proxy"
        super().__init__(f"{remote} answers what no storage says ({answer}): {cure}")


class NotKeptError(RemoteError):
    """The remote took objects without a complaint and does not have them."""

    def __init__(self, remote: str, count: int, example: str) -> None:
        objects, them = ("1 object", "it") if count == 1 else (f"{count} objects", "them")
        cure = "check what answers at the endpoint in the stack's file, then push again"
        super().__init__(f"{remote} took {objects} and does not have {them}, e.g. {example}: {cure}")


class RemoteStalledError(RemoteError):
    """The endpoint took the connection and then nothing moved."""

    passing = True

    def __init__(self, remote: str, seconds: float) -> None:
        cure = "run the same command again; what has arrived is kept (a slow line: raise --stall-seconds)"
        super().__init__(f"{remote}: nothing moved for {seconds:g} s: {cure}")


class RemoteObjectsError(RemoteError):
    """Objects that pinned data or results consist of are missing from the remote, or damaged there."""

    def __init__(self, remote: str, count: int, example: str, cure: str) -> None:
        objects = f"{count} object" if count == 1 else f"{count} objects"
        super().__init__(f"{remote}: {objects} missing or damaged, e.g. {example}: {cure}")


class DvcError(RemoteError):
    """DVC failed for a reason of its own."""

    def __init__(self, command: str, problem: str) -> None:
        super().__init__(f"`{command}` failed: {problem}")


class DvcBusyError(DvcError):
    """Another process holds a lock of DVC, which passes."""

    passing = True

    def __init__(self, command: str, problem: str) -> None:
        super().__init__(command, f"{problem}: wait for its end, and run it again")


class PinnedDataError(DobbleError):
    """data/ is not what data.dvc pins."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f"pinned data differs: {problem}; {cure}")
        self.problem = problem
