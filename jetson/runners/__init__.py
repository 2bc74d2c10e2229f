"""Turns a runner's name and a bundle into an object that runs the network; runtimes are imported lazily."""

from typing import Callable, Dict, Optional

from jetson.errors import JetsonError, RunnerError
from jetson.play.bundle import Bundle
from jetson.runners.runner import Runner


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
        EngineError: TensorRT cannot build an engine of it here.
        CudaError: CUDA does not work here.
    """
    if name not in RUNNERS:
        raise RunnerError(name, "is unknown: choose {}".format(", ".join(sorted(RUNNERS))))
    return RUNNERS[name](bundle, threads)


def unavailable(name: str) -> Optional[str]:
    """Return why this device cannot run what a name of `RUNNERS` stands for, or None where it can.

    It imports the runtime but makes no CUDA context, and it does not know any model.
    """
    return _UNAVAILABLE[name]()


def _onnxruntime(provider: str) -> Callable[[Bundle, Optional[int]], Runner]:
    def open_one(bundle: Bundle, threads: Optional[int]) -> Runner:
        from jetson.runners.onnxruntime import OnnxRuntimeRunner

        return OnnxRuntimeRunner(bundle, provider, threads)

    return open_one


def _tensorrt(precision: str) -> Callable[[Bundle, Optional[int]], Runner]:
    def open_one(bundle: Bundle, _: Optional[int]) -> Runner:
        from jetson.runners.tensorrt import TensorRtRunner

        return TensorRtRunner(bundle, precision)

    return open_one


def _onnxruntime_unavailable(provider: str) -> Callable[[], Optional[str]]:
    def reason() -> Optional[str]:
        from jetson.runners.onnxruntime import why_not

        missing = why_not(provider)
        if missing is not None or provider == "CPUExecutionProvider":
            return missing
        return _cuda_unavailable()

    return reason


def _tensorrt_unavailable(precision: str) -> Callable[[], Optional[str]]:
    def reason() -> Optional[str]:
        from jetson.runners.engine import import_tensorrt, why_no_fp16

        try:
            trt = import_tensorrt()
        except JetsonError as error:
            return str(error)
        return (why_no_fp16(trt) if precision == "fp16" else "") or _cuda_unavailable()

    return reason


def _cuda_unavailable() -> Optional[str]:
    from jetson.runners.cuda import Cuda

    try:
        return None if Cuda().device_count() else "CUDA finds no device"
    except JetsonError as error:
        return str(error)


RUNNERS: Dict[str, Callable[[Bundle, Optional[int]], Runner]] = {
    "tensorrt-fp16": _tensorrt("fp16"),
    "tensorrt-fp32": _tensorrt("fp32"),
    "onnxruntime-cuda": _onnxruntime("CUDAExecutionProvider"),
    "onnxruntime-cpu": _onnxruntime("CPUExecutionProvider"),
    "onnxruntime-tensorrt": _onnxruntime("TensorrtExecutionProvider"),
}
_UNAVAILABLE: Dict[str, Callable[[], Optional[str]]] = {
    "tensorrt-fp16": _tensorrt_unavailable("fp16"),
    "tensorrt-fp32": _tensorrt_unavailable("fp32"),
    "onnxruntime-cuda": _onnxruntime_unavailable("CUDAExecutionProvider"),
    "onnxruntime-cpu": _onnxruntime_unavailable("CPUExecutionProvider"),
    "onnxruntime-tensorrt": _onnxruntime_unavailable("TensorrtExecutionProvider"),
}
