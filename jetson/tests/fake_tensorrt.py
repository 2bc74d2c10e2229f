"""A TensorRT with the recorded names of one release and no other: what that release lacks, this one lacks.

It runs one network of its own: scores are the mean of the input, boxes are half of it. Device memory is this
process's, as `fake_cudart.c` gives it out.
"""

import ctypes
import json
import os
import weakref

import numpy as np

RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorrt_names.json")
with open(RECORD, encoding="utf-8") as recorded:
    NAMES = json.load(recorded)
RELEASES = sorted(NAMES, key=lambda release: [int(part) for part in release.split(".")])

ANCHORS, SIDE, CLASSES = 4, 32, 7
# In the order of a real export: boxes come before scores.
TENSORS = (
    ("input_0", True, (1, 3, SIDE, SIDE)),
    ("boxes", False, (1, ANCHORS, 4)),
    ("scores", False, (1, ANCHORS, CLASSES + 1)),
)


class FakeTensorRt:
    """Stands for the module `tensorrt` of one release.

    Args:
        release: one of `RELEASES`.
        tensors: name, whether input, shape; in the order of the pointers.
        runs: what `execute_v2` returns.
    """

    def __init__(self, release, tensors=TENSORS, runs=True):
        self.__version__ = NAMES[release]["version"]
        self.float32, self.float16 = "float32", "float16"
        self.calls = []  # names of what was called or set, with arguments
        self.runtimes = weakref.WeakSet()  # that live and take memory
        for name, members in NAMES[release]["enums"].items():
            setattr(self, name, _enum(members))
        self.Logger = _strict("Logger", NAMES[release]["logger"], _Logger, self)
        parts = {
            "Builder": _Builder,
            "OnnxParser": _OnnxParser,
            "Runtime": _Runtime,
            "ICudaEngine": _Engine,
            "IExecutionContext": _Context,
            "IBuilderConfig": _Config,
        }
        made = {name: _strict(name, NAMES[release]["classes"][name], parts[name], self) for name in parts}
        self.Builder, self.OnnxParser, self.Runtime = made["Builder"], made["OnnxParser"], made["Runtime"]
        self._made, self._tensors, self._runs = made, tensors, runs

    def __getattr__(self, name):
        raise _missing(self, "the module", name)


def _missing(trt, title, name):
    return AttributeError("TensorRT {}: {} has no {}".format(trt.__version__, title, name))


def _enum(members):
    return type("Enum", (), {name: number for number, name in enumerate(members)})


def _strict(title, names, base, trt):
    """Make a class of `base` that has the public attributes named, and fails on every other."""

    def check(name):
        if not name.startswith("_") and name not in names:
            raise _missing(trt, title, name)

    def get(self, name):
        check(name)
        return object.__getattribute__(self, name)

    def put(self, name, value):
        check(name)
        if not name.startswith("_"):
            trt.calls.append((name, value))
        object.__setattr__(self, name, value)

    constants = {name: number for number, name in enumerate(names)} if base is _Logger else {}
    return type(title, (base,), dict(constants, _trt=trt, __getattribute__=get, __setattr__=put))


class _Logger:
    def __init__(self, severity):
        self._severity = severity


class _Network:
    pass


class _Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags=0):
        self._trt.calls.append(("create_network", flags))
        return _Network()

    def create_builder_config(self):
        return self._trt._made["IBuilderConfig"]()

    def build_serialized_network(self, network, config):
        if network.model == b"too large":
            return None
        return json.dumps({"version": self._trt.__version__}).encode()


class _Config:
    max_workspace_size = 0

    def set_memory_pool_limit(self, pool, size):
        self._trt.calls.append(("set_memory_pool_limit", size))

    def set_flag(self, flag):
        self._trt.calls.append(("set_flag", flag))

    def clear_flag(self, flag):
        self._trt.calls.append(("clear_flag", flag))


class _OnnxParser:
    num_errors = 2

    def __init__(self, network, logger):
        self._network = network

    def parse(self, model):
        self._network.model = model
        return model != b"damaged"

    def get_error(self, number):
        return "In node {} (importNode): UNSUPPORTED_NODE".format(number)


class _Runtime:
    def __init__(self, logger):
        self._logger = logger
        self._trt.runtimes.add(self)

    def deserialize_cuda_engine(self, plan):
        try:
            fits = json.loads(plan.decode())["version"] == self._trt.__version__
        except ValueError:
            fits = False
        engine = self._trt._made["ICudaEngine"]() if fits else None
        if engine is not None:
            engine._keeps = self  # as the bindings do, a context its engine as well
        return engine


class _Engine:
    num_io_tensors = num_bindings = property(lambda self: len(self._trt._tensors))

    def _facts(self, key):
        facts = {tensor[0]: tensor for tensor in self._trt._tensors}
        return facts[key] if isinstance(key, str) else self._trt._tensors[key]

    def get_tensor_name(self, number):
        return self._facts(int(number))[0]

    def get_tensor_mode(self, name):
        mode = self._trt.TensorIOMode
        return mode.INPUT if self._facts(str(name))[1] else mode.OUTPUT

    def get_tensor_shape(self, name):
        return list(self._facts(str(name))[2])

    def get_tensor_dtype(self, name):
        return self._trt.float32

    def get_binding_name(self, number):
        return self._facts(int(number))[0]

    def binding_is_input(self, key):
        return self._facts(key)[1]

    def get_binding_shape(self, key):
        return list(self._facts(key)[2])

    def get_binding_dtype(self, key):
        return self._trt.float32

    def create_execution_context(self):
        context = self._trt._made["IExecutionContext"]()
        context._keeps = self
        return context


class _Context:
    def execute_v2(self, pointers):
        assert len(pointers) == len(self._trt._tensors)
        arrays = {}
        for number, (name, _, shape) in enumerate(self._trt._tensors):
            memory = (ctypes.c_float * int(np.prod(shape))).from_address(pointers[number])
            arrays[name] = np.ctypeslib.as_array(memory).reshape(shape)
        mean = next(arrays[name] for name, is_input, _ in self._trt._tensors if is_input).mean()
        for name, is_input, shape in self._trt._tensors:
            if not is_input:
                arrays[name][...] = mean / 2 if shape[-1] == 4 else mean
        return self._trt._runs
