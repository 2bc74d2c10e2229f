"""Turns a bundle's model into a TensorRT engine of this device, built once and in a process of its own.

The builder needs nearly all of a Nano's memory, so its process holds neither OpenCV nor ONNX Runtime, and
when the kernel kills it, this one lives to say so. An engine fits one TensorRT and one GPU: its file's name
says which, and it never travels.
"""

import argparse
import errno
import glob
import hashlib
import importlib
import os
import re
import subprocess
import sys
from typing import Any, List, NamedTuple, Tuple

from jetson.children import child_environment, module_command
from jetson.errors import EngineError, RuntimeMissingError
from jetson.home import engine_folder
from jetson.play.bundle import Bundle
from jetson.runners.cuda import Cuda
from jetson.runners.surroundings import fingerprint

PRECISIONS = ("fp16", "fp32")
WORKSPACE = "DOBBLE_ENGINE_WORKSPACE_MB"
WORKSPACE_MB = 256  # more gains nothing for a network this small, and a Nano has no more to spare
PATIENCE = 45 * 60  # seconds; a Nano takes minutes
MARK = "error: "
BUILDER = "TensorRT's builder"
FULL = "the disk of {} is full: make room there (sudo apt-get clean)"
CURES = (
    "memory may have run out: stop the desktop (sudo systemctl isolate multi-user.target), "
    "add a swap file of 4 GB (zram does not help the GPU), or set {}=64"
)


class Tensor(NamedTuple):
    """An input or output of an engine, in the order of the pointers that `execute_v2` takes."""

    name: str
    is_input: bool
    shape: Tuple[int, ...]
    dtype: Any


def import_tensorrt() -> Any:
    """Return the module `tensorrt`.

    Raises:
        RuntimeMissingError: it is not installed, or its libraries are not.
    """
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        cure = "on a Jetson `sudo apt-get install python3-libnvinfer` ({})".format(error)
        raise RuntimeMissingError("TensorRT", cure) from None


def why_no_fp16(trt: Any) -> str:
    """Return why this TensorRT cannot make a half-precision engine of a float32 model, or ""."""
    if hasattr(trt.BuilderFlag, "FP16"):
        return ""
    reason = "TensorRT {} takes precision from the model alone and this model is float32: use tensorrt-fp32"
    return reason.format(trt.__version__)


def engine_path(bundle: Bundle, precision: str) -> str:
    """Return where this device keeps its engine of a model; the name has all that the engine depends on.

    Raises:
        RuntimeMissingError: there is no TensorRT.
        CudaError: CUDA does not work here.
        EngineError: the workspace is no number.
    """
    trt = import_tensorrt()
    with open(__file__, "rb") as stream:  # how it is built
        builder = hashlib.sha256(stream.read()).hexdigest()
    parts = (
        bundle.model_sha256[:16],
        precision,
        "tensorrt-{}".format(trt.__version__),
        "sm{}".format(Cuda().capability().replace(".", "")),
        _board(),
        fingerprint(bundle.model_sha256, builder, _workspace_mb()),
    )
    return os.path.join(engine_folder(), "_".join(part for part in parts if part) + ".engine")


def build_engine(bundle: Bundle, precision: str) -> str:
    """Build a model's engine in a child process, unless it is there; return its path.

    Raises:
        EngineError: the model or the precision is refused, or memory was short; the message names the cure.
        RuntimeMissingError: there is no TensorRT.
    """
    path = engine_path(bundle, precision)
    if os.path.isfile(path):
        return path
    side = "{}.{}.new".format(path, os.getpid())
    command = module_command("jetson.runners.engine")
    command += ["--model", bundle.model, "--precision", precision, "--out", side]
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _remove_broken_off(path)
        _run_builder(command)
        os.replace(side, path)
    except OSError as error:
        raise EngineError(path, "the engine cannot be kept ({})".format(error)) from None
    finally:
        if os.path.exists(side):
            os.remove(side)
    return path


def build_plan(trt: Any, model: bytes, precision: str, workspace_mb: int) -> bytes:
    """Build an engine of ONNX bytes in this process and return its file's contents.

    Raises:
        EngineError: the parser refuses the model, or no engine came of it.
    """
    if precision == "fp16" and why_no_fp16(trt):
        raise EngineError("tensorrt-fp16", why_no_fp16(trt))
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # From 11 on there is no other mode, and no name for it.
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise EngineError(_title(trt), "refuses the model ({})".format(reasons))
    config = builder.create_builder_config()
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    else:  # before 8.4
        config.max_workspace_size = workspace_mb << 20
    if precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    else:  # From Ampere on float32 would be rounded to 10 bits.
        config.clear_flag(trt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(_title(trt), "built no engine")
    return bytes(plan)


def tensors(trt: Any, engine: Any) -> List[Tensor]:
    """List an engine's inputs and outputs in the order of `execute_v2`'s pointers."""
    found = []
    if hasattr(engine, "num_io_tensors"):  # 8.5 and later
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            shape = tuple(engine.get_tensor_shape(name))
            found.append(Tensor(name, is_input, shape, engine.get_tensor_dtype(name)))
    else:
        for number in range(engine.num_bindings):
            shape, dtype = tuple(engine.get_binding_shape(number)), engine.get_binding_dtype(number)
            is_input = engine.binding_is_input(number)
            found.append(Tensor(engine.get_binding_name(number), is_input, shape, dtype))
    return found


def main() -> int:
    """Build one engine; the parent moves it to its place."""
    parser = argparse.ArgumentParser(description="Builds a TensorRT engine.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", required=True, choices=PRECISIONS)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    try:
        with open(arguments.model, "rb") as stream:
            model = stream.read()
        plan = build_plan(import_tensorrt(), model, arguments.precision, _workspace_mb())
        with open(arguments.out, "wb") as stream:
            stream.write(plan)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = FULL.format(os.path.dirname(arguments.out)) if full else str(error)
        sys.stderr.write("{}the engine cannot be kept: {}\n".format(MARK, cure))
        return 1
    except (EngineError, RuntimeMissingError) as error:
        sys.stderr.write("{}{}\n".format(MARK, " ".join(str(error).split())))
        return 1
    return 0


def _board() -> str:
    """Return the board's model in letters, digits and hyphens, or "" where there is no device tree."""
    try:
        with open("/proc/device-tree/model", encoding="utf-8", errors="replace") as stream:
            return re.sub(r"[^a-z0-9]+", "-", stream.read().lower()).strip("-")
    except OSError:
        return ""


def _workspace_mb() -> int:
    text = os.environ.get(WORKSPACE, "").strip() or str(WORKSPACE_MB)
    if not text.isdigit() or int(text) < 1:
        raise EngineError(WORKSPACE, "{!r} is not a number of MiB".format(text))
    return int(text)


def _remove_broken_off(path: str) -> None:
    """Remove what processes that were killed have left of an engine."""
    for left in glob.glob(glob.escape(path) + ".*.new"):
        if not os.path.exists("/proc/{}".format(left.split(".")[-2])):
            os.remove(left)


def _run_builder(command: List[str]) -> None:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        errors="replace",
    )
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise EngineError(BUILDER, "was stopped after {} min".format(PATIENCE // 60)) from None
        raise
    if process.returncode != 0:
        raise EngineError(BUILDER, _explain(process.returncode, said))


def _explain(code: int, said: str) -> str:
    """Turn the builder's end into one line: the message it left, the library's errors, and the cures."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    logged = "; ".join(line.split("[E]", 1)[1].strip() for line in lines if "[E]" in line)
    messages = [line[len(MARK) :] for line in lines if line.startswith(MARK)]
    short = "memory" in logged.lower() or "alloc" in logged.lower()
    if messages and not short:
        return "{}{}".format(messages[-1], ": " + logged if logged else "")
    if code < 0 or short:
        ended = "was killed by signal {}".format(-code) if code < 0 else "failed ({})".format(logged)
        return "{}; {}".format(ended, CURES.format(WORKSPACE))
    return "ended with exit code {} ({})".format(code, logged or " ".join(lines[-1:]))


def _title(trt: Any) -> str:
    return "TensorRT {}".format(trt.__version__)


if __name__ == "__main__":
    sys.exit(main())
