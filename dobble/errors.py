"""Every failure that a user can cause or mend, as a class whose message names the thing and the cure."""

from pathlib import Path
from typing import NamedTuple


class DobbleError(Exception):
    """Base of all failures that end a command with one line and exit code 1.

    Attributes:
        passing: whether it may be gone at the next try: a lock held, a server away, busy or broken.
    """

    passing = False


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

    passing = True


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


class OrphanedError(DobbleError):
    """Whoever wanted a result has ended, so that nobody may expect it any more."""

    def __init__(self) -> None:
        super().__init__("whoever started this has ended, so nothing is replaced: start it again")


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
