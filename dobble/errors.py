"""Every failure that a user can cause or mend, as a class whose message names the thing and the cure."""

from pathlib import Path


class DobbleError(Exception):
    """Base of all failures that end a command with one line and exit code 1."""


class ParameterError(DobbleError):
    """A parameter is unknown, mistyped or out of range."""


class ExportError(DobbleError):
    """A labelling export cannot be read or does not say what it must."""

    def __init__(self, source: Path | str, line: int | None, problem: str) -> None:
        where = f"{source}" if line is None else f"{source}, row {line}"
        super().__init__(f"{where}: {problem}")


class PhotoError(DobbleError):
    """A photo is missing, cut short, no image, or not what its labels say."""

    def __init__(self, photo: Path | str, problem: str) -> None:
        super().__init__(f"{photo}: {problem}")


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
