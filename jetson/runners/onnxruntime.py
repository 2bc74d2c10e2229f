"""Runs a bundle's network on ONNX Runtime, on the processor or on CUDA, and never silently on the other."""

import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from jetson.arrays import Array
from jetson.errors import BundleError, EngineError, RunnerError, RuntimeMissingError
from jetson.home import engine_folder
from jetson.play.bundle import Bundle
from jetson.runners.runner import Answer, Item, Runner
from jetson.runners.surroundings import fingerprint

NAMES = {
    "CPUExecutionProvider": "onnxruntime-cpu",
    "CUDAExecutionProvider": "onnxruntime-cuda",
    "TensorrtExecutionProvider": "onnxruntime-tensorrt",
}
# The board shares its memory between processor and GPU: no exhaustive search, no doubling arena.
OPTIONS: Dict[str, Dict[str, str]] = {
    "CPUExecutionProvider": {},
    "CUDAExecutionProvider": {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    },
    # Without a cache the engine would be built at every start.
    "TensorrtExecutionProvider": {
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_max_workspace_size": str(256 << 20),
    },
}
QUIET = 3  # errors only
CARDS = 2  # of a game


class OnnxRuntimeRunner(Runner):
    """ONNX Runtime 1.10 and later with one provider."""

    def __init__(self, bundle: Bundle, provider: str, threads: Optional[int] = None) -> None:
        self.name = NAMES[provider]
        self._input = bundle.input_name
        cards = 1
        if threads is None and provider == "CPUExecutionProvider":
            cores = len(os.sched_getaffinity(0))
            # Two cards side by side, with half of the cores each, are done sooner than one after the other
            # with all of them: most layers are too small to be shared out well.
            cards, threads = min(CARDS, cores), max(1, cores // CARDS)
        self._session = _open_session(self.name, bundle, provider, threads)
        self._pool = ThreadPoolExecutor(cards) if cards > 1 else None

    def infer(self, batch: Array) -> Tuple[Array, Array]:
        """See `Runner.infer`."""
        scores, boxes = self._session.run(["scores", "boxes"], {self._input: batch})
        return scores[0], boxes[0]

    def each(self, call: Callable[[Item], Answer], items: Sequence[Item]) -> List[Answer]:
        """See `Runner.each`."""
        if self._pool is None or len(items) < 2:
            return super().each(call, items)
        return list(self._pool.map(call, items))

    def close(self) -> None:
        """See `Runner.close`."""
        self._session = None
        if self._pool is not None:
            self._pool.shutdown()


def why_not(provider: str) -> Optional[str]:
    """Return why ONNX Runtime cannot run here with a provider, or None."""
    try:
        onnxruntime: Any = _import()
    except RuntimeMissingError as error:
        return str(error)
    if provider not in onnxruntime.get_available_providers():
        return "this ONNX Runtime has no {}: install the GPU wheel".format(provider)
    return None


def _import() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        cure = "install onnxruntime, or on a Jetson the onnxruntime-gpu wheel of its JetPack"
        raise RuntimeMissingError("ONNX Runtime", cure) from None


def _cache(bundle: Bundle, version: str) -> str:
    """Make a folder for all that engines depend on: the runtime does not notice by itself what changed."""
    what = fingerprint(bundle.model_sha256, OPTIONS["TensorrtExecutionProvider"])
    name = "onnxruntime-{}_{}_{}".format(version, bundle.model_sha256[:16], what)
    folder = os.path.join(engine_folder(), name)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise EngineError(folder, "the engine cannot be kept ({})".format(error)) from None
    return folder


def _open_session(name: str, bundle: Bundle, provider: str, threads: Optional[int]) -> Any:
    onnxruntime = _import()
    missing = why_not(provider)
    if missing is not None:
        raise RunnerError(name, missing)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = [(provider, dict(OPTIONS[provider]))]
    if provider == "TensorrtExecutionProvider":
        providers[0][1]["trt_engine_cache_path"] = _cache(bundle, onnxruntime.__version__)
        providers.append(("CUDAExecutionProvider", OPTIONS["CUDAExecutionProvider"]))
    if provider != "CPUExecutionProvider":
        providers.append(("CPUExecutionProvider", {}))
    try:
        session = onnxruntime.InferenceSession(bundle.model, options, providers=providers)
    except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base class of its own
        reason = " ".join(str(error).split())
        raise BundleError(bundle.model, "ONNX Runtime refuses it ({})".format(reason)) from None
    # Where a provider fails to start, the runtime goes on with the next one and only warns.
    active = session.get_providers()[0]
    if active != provider:
        raise RunnerError(name, "ONNX Runtime fell back to {}: check CUDA and cuDNN here".format(active))
    inputs = sorted(tensor.name for tensor in session.get_inputs())
    outputs = sorted(tensor.name for tensor in session.get_outputs())
    if inputs != [bundle.input_name] or outputs != ["boxes", "scores"]:
        problem = "has inputs {} and outputs {}, not the manifest's: export the bundle again"
        raise BundleError(bundle.model, problem.format(inputs, outputs))
    return session
