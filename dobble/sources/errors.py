"""What goes wrong with Labelbox."""

from dobble.errors import DobbleError


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

    passing = True

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

    passing = True
