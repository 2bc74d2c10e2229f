"""What goes wrong when stages run, here or elsewhere."""

from pathlib import Path

from dobble.errors import DobbleError


class ForeignCodeError(DobbleError):
    """The code that runs is not that of the project's folder; its results would be taken for that's."""

    def __init__(self, own: Path, running: str | None) -> None:
        cure = (
            "unset PYTHONSAFEPATH, leave out -P and -I, and start it as `python -m` in the project's folder"
        )
        super().__init__(f"{running or 'other code'} would run instead of {own}: {cure}")


class OutputBusyError(DobbleError):
    """Another process writes the output of a stage; `holder` is its pid."""

    passing = True

    def __init__(self, output: Path, holder: str) -> None:
        cure = f"wait for its end, or end it (`kill {holder}`)"
        super().__init__(f"{output} is being written by process {holder}: {cure}")
        self.holder = holder


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

    passing = True

    def __init__(self, stage: str, owner: str) -> None:
        super().__init__(f"stage {stage!r} cannot start: this folder is busy ({owner}): wait for its end")


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
