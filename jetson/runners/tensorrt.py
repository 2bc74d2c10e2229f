"""Runs a bundle's network as a TensorRT engine, by the calls that 8.2 on a Nano and 11 share."""

import os
from typing import Any, Dict, List, Tuple

import numpy as np

from jetson.arrays import Array
from jetson.errors import BundleError, RunnerError
from jetson.play.bundle import Bundle
from jetson.runners.cuda import Cuda
from jetson.runners.engine import Tensor, build_engine, import_tensorrt, tensors, why_no_fp16
from jetson.runners.runner import Runner


class TensorRtRunner(Runner):
    """A TensorRT engine of one precision ("fp16" or "fp32"), built on this device when it is missing."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        self.name = "tensorrt-" + precision
        trt = import_tensorrt()
        if precision == "fp16" and why_no_fp16(trt):
            raise RunnerError(self.name, why_no_fp16(trt))
        self._cuda = Cuda()
        self._pointers: List[int] = []
        engine = _load(self.name, trt, bundle, precision)
        found = tensors(trt, engine)
        self._input, self._outputs = _assign(bundle, trt, found)
        # A context keeps its engine, and that its runtime and logger.
        self._context: Any = engine.create_execution_context()
        if self._context is None:
            raise RunnerError(self.name, "no memory is left for the engine: stop the desktop or add swap")
        try:
            for tensor in found:
                self._pointers.append(self._cuda.malloc(int(np.prod(tensor.shape)) * 4))
        except BaseException:
            self.close()
            raise

    def infer(self, batch: Array) -> Tuple[Array, Array]:
        """See `Runner.infer`."""
        if self._context is None:
            raise RunnerError(self.name, "is closed")
        number, shape = self._input
        if batch.shape != shape:
            raise RunnerError(self.name, "takes {}, not {}".format(shape, batch.shape))
        self._cuda.upload(self._pointers[number], np.ascontiguousarray(batch, np.float32))
        if not self._context.execute_v2(self._pointers):
            raise RunnerError(self.name, "TensorRT could not run the network (its log says why)")
        answers = []
        for name in ("scores", "boxes"):
            number, shape = self._outputs[name]
            answer = np.empty(shape[1:], np.float32)
            self._cuda.download(answer, self._pointers[number])
            answers.append(answer)
        return answers[0], answers[1]

    def close(self) -> None:
        """See `Runner.close`."""
        self._context = None
        while self._pointers:
            self._cuda.free(self._pointers.pop())


def _load(name: str, trt: Any, bundle: Bundle, precision: str) -> Any:
    """Load the engine; a file that this TensorRT does not take is built again, once."""
    path = build_engine(bundle, precision)
    engine = _deserialized(trt, path)
    if engine is None:
        os.remove(path)
        engine = _deserialized(trt, build_engine(bundle, precision))
    if engine is None:
        raise RunnerError(name, "TensorRT {} cannot load the engine it built".format(trt.__version__))
    return engine


def _deserialized(trt: Any, path: str) -> Any:
    """Load a file, None if this TensorRT does not take it.

    A runtime takes memory on the GPU, which a Nano does not have beside the builder: so there is none while
    an engine is built, and a file that was refused leaves none behind.
    """
    return trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(_read(path))


def _assign(
    bundle: Bundle, trt: Any, found: List[Tensor]
) -> Tuple[Tuple[int, Tuple[int, ...]], Dict[str, Tuple[int, Tuple[int, ...]]]]:
    """Find the positions of the input and of both outputs by their shapes, whatever their order and names."""
    side, anchors = bundle.input_size, bundle.anchors
    expected = {
        "input": (True, (1, 3, side, side)),
        "scores": (False, (1, anchors, len(bundle.labels) + 1)),
        "boxes": (False, (1, anchors, 4)),
    }
    places: Dict[str, Tuple[int, Tuple[int, ...]]] = {}
    for role, (is_input, shape) in expected.items():
        fitting = [
            number
            for number, tensor in enumerate(found)
            if (tensor.is_input, tensor.shape, tensor.dtype) == (is_input, shape, trt.float32)
        ]
        # With three symbols both outputs have the same shape.
        fitting = [number for number in fitting if found[number].name == role] or fitting
        if len(found) != len(expected) or len(fitting) != 1:
            seen = ", ".join("{} {}".format(tensor.name, list(tensor.shape)) for tensor in found)
            problem = "its engine has {}, not the manifest's float32 tensors: export the bundle again"
            raise BundleError(bundle.model, problem.format(seen))
        places[role] = (fitting[0], shape)
    return places.pop("input"), places


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
