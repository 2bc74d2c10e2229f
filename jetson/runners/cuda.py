"""Turns numpy arrays into device memory and back by the CUDA runtime's own library, without any package."""

import ctypes
from typing import Any

import numpy as np

from jetson.arrays import Array
from jetson.errors import CudaError

# JetPack 7, 6, 5 and 4 in this order behind the name that a development package adds.
LIBRARIES = (
    "libcudart.so",
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "libcudart.so.10.2",
    "/usr/local/cuda/lib64/libcudart.so",
)
TO_DEVICE, TO_HOST = 1, 2
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # of cudaDeviceAttr

POINTER = ctypes.c_void_p
SIZE = ctypes.c_size_t
# Without these, ctypes passes a Python int as 32 bits and cuts pointers and sizes.
ARGUMENTS = {
    "cudaMalloc": [ctypes.POINTER(POINTER), SIZE],
    "cudaFree": [POINTER],
    "cudaMemcpy": [POINTER, POINTER, SIZE, ctypes.c_int],
    "cudaGetDeviceCount": [ctypes.POINTER(ctypes.c_int)],
    "cudaDeviceGetAttribute": [ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int],
    "cudaRuntimeGetVersion": [ctypes.POINTER(ctypes.c_int)],
}


class Cuda:
    """The calls of libcudart that one network needs; each raises `CudaError` with the library's own words."""

    def __init__(self) -> None:
        self._library = _load()
        self._library.cudaGetErrorString.argtypes = [ctypes.c_int]
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        for name, types in ARGUMENTS.items():
            getattr(self._library, name).argtypes = types

    def malloc(self, size: int) -> int:
        """Allocate bytes on the device and return their address."""
        pointer = POINTER()
        self._call("cudaMalloc", ctypes.byref(pointer), size)
        return pointer.value or 0

    def free(self, pointer: int) -> None:
        """Give back what `malloc` returned."""
        self._call("cudaFree", pointer)

    def upload(self, pointer: int, array: Array) -> None:
        """Copy a contiguous array to the device; returns when it is there."""
        _check_contiguous(array)
        self._call("cudaMemcpy", pointer, array.ctypes.data, array.nbytes, TO_DEVICE)

    def download(self, array: Array, pointer: int) -> None:
        """Fill a contiguous array from the device; waits for the work before it."""
        _check_contiguous(array)
        self._call("cudaMemcpy", array.ctypes.data, pointer, array.nbytes, TO_HOST)

    def device_count(self) -> int:
        """Return how many devices CUDA finds."""
        return self._integer("cudaGetDeviceCount")

    def capability(self) -> str:
        """Return the first device's compute capability, as "5.3" on a Nano."""
        major = self._integer("cudaDeviceGetAttribute", CAPABILITY_MAJOR, 0)
        return "{}.{}".format(major, self._integer("cudaDeviceGetAttribute", CAPABILITY_MINOR, 0))

    def version(self) -> str:
        """Return the library's version, as "10.2" on JetPack 4."""
        number = self._integer("cudaRuntimeGetVersion")
        return "{}.{}".format(number // 1000, number % 1000 // 10)

    def _integer(self, name: str, *arguments: int) -> int:
        value = ctypes.c_int()
        self._call(name, ctypes.byref(value), *arguments)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            words = self._library.cudaGetErrorString(code).decode("utf-8", "replace")
            raise CudaError(name, "{} (error {})".format(words, code))


def _load() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CudaError("libcudart.so", "was not found: install JetPack's CUDA runtime, or set LD_LIBRARY_PATH")


def _check_contiguous(array: Array) -> None:
    if not array.flags["C_CONTIGUOUS"] or array.dtype == np.dtype(object):
        raise CudaError("cudaMemcpy", "only contiguous arrays of numbers can be copied")
