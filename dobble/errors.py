"""Every failure that a user can cause or mend, as a class whose message names the thing and the cure."""

from pathlib import Path
from typing import NamedTuple


class DobbleError(Exception):
    """Base of all failures that end a command with one line and exit code 1."""


class RowProblem(NamedTuple):
    """What is wrong with a row of an export; `photo` is empty where the row does not say it."""

    row: int
    photo: str
    problem: str


class ParameterError(DobbleError):
    """A parameter is unknown, mistyped or out of range."""


class ExportError(DobbleError):
    """A labelling export, or a row of it, cannot be read or does not say what it must."""

    def __init__(self, source: Path | str, row: int | None, problem: str, photo: str | None = None) -> None:
        where = f"{source}" if row is None else f"{source}, row {row}"
        super().__init__(f"{where}: {problem}" if photo is None else f"{where}: photo {photo!r}: {problem}")
        self.row, self.photo, self.problem = row, photo, problem


class PhotoError(DobbleError):
    """A photo is missing, cut short, no image, or not what its labels say."""

    def __init__(self, photo: Path | str, problem: str) -> None:
        super().__init__(f"{photo}: {problem}")
        self.photo, self.problem = photo, problem


class BadRowsError(DobbleError):
    """Rows of an export cannot be used; `problems` are all of them, `listed` is the file that has them."""

    def __init__(self, message: str, problems: tuple[RowProblem, ...], listed: Path) -> None:
        super().__init__(message)
        self.problems, self.listed = problems, listed


class AnnotationError(DobbleError):
    """A Pascal VOC annotation or image set cannot be used."""

    def __init__(self, source: Path | str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")


class DeckError(DobbleError):
    """A deck breaks the rules of the game, or cannot be made from what was given."""


class SymbolError(DobbleError):
    """Pictures of symbols cannot be turned into a deck."""


class SplitError(DobbleError):
    """The photos cannot be split as the parameters ask."""


class TrainingError(DobbleError):
    """Training cannot start or go on."""


class WeightsDownloadError(TrainingError):
    """Weights to begin with cannot be downloaded, which may pass."""


class CheckpointError(DobbleError):
    """A checkpoint or a file of weights is damaged or of another network."""

    def __init__(self, checkpoint: Path | str, problem: str) -> None:
        super().__init__(f"{checkpoint}: {problem}")


class MissingInputError(DobbleError):
    """What an earlier stage should have written is not there."""

    def __init__(self, missing: Path | str, cure: str) -> None:
        super().__init__(f"{missing} does not exist: {cure}")


class OutputError(DobbleError):
    """An output cannot be written; what was there before is untouched."""

    def __init__(self, output: Path | str, problem: str) -> None:
        super().__init__(f"{output} could not be written: {problem}; what was there before is untouched")


class ForeignCodeError(DobbleError):
    """The code that runs is not that of the project's folder; its results would be taken for that's."""

    def __init__(self, own: Path, running: str | None) -> None:
        cure = (
            "unset PYTHONSAFEPATH, leave out -P and -I, and start it as `python -m` in the project's folder"
        )
        super().__init__(f"{running or 'other code'} would run instead of {own}: {cure}")


class OutputBusyError(DobbleError):
    """Another process writes the output of a stage; `holder` is its pid."""

    def __init__(self, output: Path, holder: str) -> None:
        cure = f"wait for its end, or end it (`kill {holder}`)"
        super().__init__(f"{output} is being written by process {holder}: {cure}")
        self.holder = holder


class OrphanedError(DobbleError):
    """Whoever wanted a result has ended, so that nobody may expect it any more."""

    def __init__(self) -> None:
        super().__init__("whoever started this has ended, so nothing is replaced: start it again")


class LabelboxError(DobbleError):
    """Labelbox does not do what was asked."""


class ApiKeyError(LabelboxError):
    """The key of the labelling service is missing, or may not do what was asked."""


class ProjectNotFoundError(LabelboxError):
    """There is no such project, or the key cannot see it."""

    def __init__(self, project: str) -> None:
        cure = "copy the id from the project's address in Labelbox, and check the key's workspace"
        super().__init__(f"Labelbox has no project {project!r} for this key: {cure}")


class ExportFailedError(LabelboxError):
    """Labelbox could not export a project, or not all of it."""

    def __init__(self, project: str, problem: str) -> None:
        super().__init__(f"the export of project {project!r} {problem}")


class ExportUnfinishedError(LabelboxError):
    """Labelbox did not finish the export of a project in time."""

    def __init__(self, project: str, seconds: float) -> None:
        problem = f"is not finished after {seconds:g} s"
        super().__init__(f"the export of project {project!r} {problem}: try again when Labelbox is less busy")


class EmptyProjectError(LabelboxError):
    """A project has no data rows."""

    def __init__(self, project: str) -> None:
        cure = "add photos to it in Labelbox, or by `dobble upload`"
        super().__init__(f"project {project!r} has no data rows: {cure}")


class UnreachableError(LabelboxError):
    """A server did not answer, or only with errors that pass, however often it was asked."""


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

    def __init__(self, command: str, problem: str) -> None:
        super().__init__(command, f"{problem}: wait for its end, and run it again")


class PinnedDataError(DobbleError):
    """data/ is not what data.dvc pins."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f"pinned data differs: {problem}; {cure}")
        self.problem = problem


class ReplaceDataError(DobbleError):
    """Data would be lost, or others take their place unasked; `held` says what is there."""

    def __init__(self, folder: Path | str, held: str, why: str, cure: str) -> None:
        super().__init__(f"{folder} holds {held}; {why}: {cure}")
        self.held = held


class AnswersError(DobbleError):
    """The known answers of an exam's photographs cannot be used."""

    def __init__(self, source: Path | str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")


class ValidationError(DobbleError):
    """The labelled photos have mistakes that would spoil training; the findings are written."""


class TrackingError(DobbleError):
    """MLflow does not do what was asked."""


class TrackingAddressError(TrackingError):
    """The address of MLflow is none."""

    def __init__(self, address: str, problem: str) -> None:
        cure = "set it to http://HOST:PORT, or unset it to keep runs in .dobble/mlflow.db"
        super().__init__(f"MLFLOW_TRACKING_URI={address} {problem}: {cure}")


class TrackingUnreachableError(TrackingError):
    """The MLflow server is away or breaks off; nothing that lies in build/ is lost by that."""

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

    def __init__(self, holder: str) -> None:
        super().__init__(f"another process logs or registers ({holder}): run the command again after it")


class TrackingDatabaseError(TrackingError):
    """The file that keeps runs and models cannot be used."""

    def __init__(self, database: str, problem: str, cure: str) -> None:
        super().__init__(f"{database} {problem}: {cure}")


class TrackingLockedError(TrackingDatabaseError):
    """Another program holds the file that keeps runs and models, which passes."""


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


class StageError(DobbleError):
    """A DVC stage did not do its work."""


class StageGraphError(StageError):
    """`dvc.yaml` describes no stages that can be put in an order."""


class StageFailedError(StageError):
    """The command of a stage failed, or DVC would not run it.

    Attributes:
        lines: the last that were said.
        passing: whether the command said that its failure may be gone at the next try.
    """

    def __init__(self, stage: str, status: int, lines: tuple[str, ...], *, passing: bool = False) -> None:
        said = "\n".join(lines[-6:]) or f"exit status {status}"
        super().__init__(f"stage {stage!r} failed:\n{said}")
        self.lines, self.passing = lines, passing


class StageTimeoutError(StageError):
    """A stage took longer than it may, and was ended."""

    def __init__(self, stage: str, seconds: float) -> None:
        cure = "raise meta.timeout_minutes of the stage in dvc.yaml if it needs longer"
        super().__init__(f"stage {stage!r} was ended after {seconds / 60:g} minutes: {cure}")


class WorkspaceBusyError(StageError):
    """Somebody else runs a stage in this folder."""

    def __init__(self, stage: str, owner: str) -> None:
        super().__init__(f"stage {stage!r} cannot start: this folder is busy ({owner}): wait for its end")


class ModelRejectedError(DobbleError):
    """The evaluated bundle is not good enough to be registered."""

    def __init__(self, shortfalls: list[str]) -> None:
        cure = "nothing is registered; better labels or a longer training help, or lower limits (accept)"
        super().__init__(f"the model is not good enough: {'; '.join(shortfalls)}: {cure}")


class ServiceError(DobbleError):
    """A server of `make ui` does not start or does not answer."""

    def __init__(self, name: str, problem: str, said: list[str]) -> None:
        super().__init__(
            "\n".join([f"{name} {problem}; it said last:" if said else f"{name} {problem}", *said])
        )


class RevisionError(StageError):
    """Another machine cannot have the code that is here."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"a stage cannot run elsewhere, for its code is only here: {problem}")


class ElsewhereError(StageError):
    """A stage could not be sent to a work pool, or failed there."""


class InputsChangedError(ElsewhereError):
    """What a stage elsewhere reads is not, or no longer, what is here; `changed` names it."""

    def __init__(self, stage: str, changed: list[str]) -> None:
        super().__init__(
            f"stage {stage!r} is for another machine, but {', '.join(changed)} changed here in the meantime:"
            " nothing is taken over; put it back, or run the flow again"
        )
        self.changed = changed


class NoWorkerError(ElsewhereError):
    """Nobody took a stage from a work pool."""

    def __init__(self, stage: str, pool: str, seconds: float) -> None:
        cure = f"start one where the stage shall run: `prefect worker start --pool {pool}`"
        super().__init__(f"stage {stage!r}: no worker of pool {pool!r} began within {seconds:g} s: {cure}")


class FailedElsewhereError(ElsewhereError):
    """A stage failed where it was sent to; `lines` are the last of its log."""

    def __init__(self, stage: str, pool: str, state: str, lines: list[str]) -> None:
        said = "\n".join(lines)
        super().__init__(f"stage {stage!r} on pool {pool!r} ended as {state}; its log's last lines:\n{said}")
        self.lines = lines
