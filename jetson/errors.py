"""Every failure on the device that a user can cause or mend, as a class naming the thing and the cure."""


class JetsonError(Exception):
    """Base of all failures that end a command with one line and exit code 1."""


class BundleError(JetsonError):
    """A model bundle is incomplete, damaged, or of a form that this version does not read."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class PictureError(JetsonError):
    """A picture cannot be read or is not an 8-bit colour picture."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class PictureTooLargeError(PictureError):
    """A picture would take more memory or time than this device has for one."""


class RuntimeMissingError(JetsonError):
    """The library that should run the network is not installed here."""

    def __init__(self, runtime: str, cure: str) -> None:
        super().__init__("{} is not installed: {}".format(runtime, cure))


class RunnerError(JetsonError):
    """A runner is unknown here, or cannot do on this machine what its name says."""

    def __init__(self, runner: str, problem: str) -> None:
        super().__init__("runner {}: {}".format(runner, problem))


class ChoiceError(JetsonError):
    """The benchmark's verdict cannot be kept."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class BenchmarkError(JetsonError):
    """A benchmark has no result that a device could serve by, or its result cannot be kept."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class RegistryError(JetsonError):
    """A benchmark's result cannot be logged to the model's version in MLflow."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class FetchError(JetsonError):
    """A bundle cannot be taken from where it should come from, or cannot be kept here."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class SourceError(JetsonError):
    """A camera, video, folder or picture gives no frames."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__("{}: {}".format(source, problem))


class OutputError(JetsonError):
    """A picture or video cannot be written."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class ServerError(JetsonError):
    """The server cannot start as it was asked to."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("{}: {}".format(where, problem))


class RequestError(JetsonError):
    """A request that gets an HTTP status of failure and a sentence that says why."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class CudaError(JetsonError):
    """CUDA is missing, finds no device, or refuses a call."""

    def __init__(self, call: str, problem: str) -> None:
        super().__init__("CUDA, {}: {}".format(call, problem))


class EngineError(JetsonError):
    """TensorRT cannot build an engine of this model on this device, or its file cannot be kept."""

    def __init__(self, who: str, problem: str) -> None:
        super().__init__("{}: {}".format(who, problem))
