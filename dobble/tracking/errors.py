"""What goes wrong with MLflow, and with results that are to be logged."""

from pathlib import Path

from dobble.errors import DobbleError


class TrackingError(DobbleError):
    """MLflow does not do what was asked."""


class TrackingAddressError(TrackingError):
    """The address of MLflow is none."""

    def __init__(self, address: str, problem: str) -> None:
        cure = "set it to http://HOST:PORT, or unset it to keep runs in .dobble/mlflow.db"
        super().__init__(f"MLFLOW_TRACKING_URI={address} {problem}: {cure}")


class TrackingUnreachableError(TrackingError):
    """The MLflow server is away or breaks off; nothing that lies in build/ is lost by that."""

    passing = True

    def __init__(self, address: str, problem: str) -> None:
        cure = "nothing is lost: run `dobble log` or `dobble register` when it is back"
        super().__init__(f"MLflow at {address} does not answer ({problem}); {cure}")


class TrackingAccessError(TrackingError):
    """The MLflow server knows nobody by these credentials, or lets them do less than is needed."""

    def __init__(self, address: str) -> None:
        cure = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        super().__init__(f"MLflow at {address} refuses access: {cure}")


class TrackingBusyError(TrackingError):
    """Somebody else logs or registers, and does not come to an end."""

    passing = True

    def __init__(self, holder: str) -> None:
        super().__init__(f"another process logs or registers ({holder}): run the command again after it")


class TrackingDatabaseError(TrackingError):
    """The file that keeps runs and models cannot be used."""

    def __init__(self, database: str, problem: str, cure: str) -> None:
        super().__init__(f"{database} {problem}: {cure}")


class TrackingLockedError(TrackingDatabaseError):
    """Another program holds the file that keeps runs and models, which passes."""

    passing = True


class StaleResultError(TrackingError):
    """What lies in build/ is not what dvc.lock says, so that nobody could tell what was logged."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} is not what dvc.lock says: run `dvc repro`, or `dvc checkout`")


class RunNotFoundError(TrackingError):
    """No run, version or experiment goes by that name."""

    def __init__(self, name: str) -> None:
        cure = "`dobble models` lists versions, `dobble log --experiments` logs experiments"
        super().__init__(f"MLflow has no run of the name or id {name}: {cure}")


class VersionError(TrackingError):
    """A registered version does not exist, or cannot be what was asked."""
