"""Turns a runner's name and a bundle into an object that runs the network; runtimes are imported lazily."""

from types import TracebackType
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Type, TypeVar

from jetson.arrays import Array
from jetson.bundle import Bundle
from jetson.errors import RunnerError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Runner:
    """Runs one bundle's network on one runtime; use it in a `with` block and from one thread only."""

    name = "none"

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def infer(self, batch: Array) -> Tuple[Array, Array]:
        """Run the network on float32 [1, 3, S, S].

        Returns:
            scores float32 [A, 1 + C] (column 0 is the background) and boxes float32 [A, 4], xyxy in [0, 1].
        """
        raise NotImplementedError

    def each(self, call: Callable[[Item], Answer], items: Sequence[Item]) -> List[Answer]:
        """Call for every item, at the same time where the runtime can infer from several threads at once."""
        return [call(item) for item in items]

    def close(self) -> None:
        """Give back what the runtime holds."""


def open_runner(name: str, bundle: Bundle, threads: Optional[int] = None) -> Runner:
    """Load a bundle's network on the runtime that a name stands for.

    Args:
        name: one of `RUNNERS`.
        bundle: from `load_bundle`.
        threads: CPU threads of one inference; None shares the cores between the two cards of a game.

    Raises:
        RunnerError: the name is unknown, or the runtime cannot do here what the name says.
        RuntimeMissingError: the runtime is not installed.
        BundleError: the runtime refuses the model.
    """
    if name not in RUNNERS:
        raise RunnerError(name, "is unknown: choose {}".format(", ".join(sorted(RUNNERS))))
    return RUNNERS[name](bundle, threads)


def _onnxruntime_cpu(bundle: Bundle, threads: Optional[int]) -> Runner:
    from jetson.runners.onnxruntime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(bundle, "CPUExecutionProvider", threads)


def _onnxruntime_cuda(bundle: Bundle, threads: Optional[int]) -> Runner:
    from jetson.runners.onnxruntime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(bundle, "CUDAExecutionProvider", threads)


RUNNERS: Dict[str, Callable[[Bundle, Optional[int]], Runner]] = {
    "onnxruntime-cpu": _onnxruntime_cpu,
    "onnxruntime-cuda": _onnxruntime_cuda,
}
