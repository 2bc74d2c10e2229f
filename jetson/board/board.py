"""Turns the files of a system into what board it is and what it has: JetPack, memory, cameras, clocks."""

import glob
import os
import platform
import re
from typing import List, NamedTuple, Optional

from jetson.board.sensors import GPU_NAMES

# L4T to JetPack, as NVIDIA's release notes pair them.
JETPACKS = {
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.4": "5.1.6",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
}


class Camera(NamedTuple):
    """A capture device: its path, its name, and whether this user may open it."""

    path: str
    name: str
    allowed: bool


class Memory(NamedTuple):
    """In MiB; `swap_mb` is what lies on disk, since compressed memory does not help the GPU."""

    total_mb: int
    available_mb: int
    swap_mb: int


class Board:
    """A system's own description of itself; `root` stands before every path."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    @property
    def model(self) -> Optional[str]:
        """Name of the board as its device tree has it, or None on a machine without one."""
        return self._text("proc/device-tree/model") or None

    @property
    def l4t(self) -> Optional[str]:
        """Version of Linux for Tegra as "32.7.1", or None where this is no Jetson."""
        text = self._text("etc/nv_tegra_release")
        found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
        if found is None:
            return None
        parts = [found.group(1)] + found.group(2).split(".")
        return ".".join((parts + ["0", "0"])[:3])

    @property
    def jetpack(self) -> Optional[str]:
        """JetPack's version by that of L4T, or None where it is not known here."""
        return JETPACKS.get(self.l4t or "")

    @property
    def processor(self) -> str:
        """Name of a machine that is no Jetson."""
        found = re.search(r"^model name\s*: (.+)$", self._text("proc/cpuinfo"), re.M)
        return "{} ({})".format(found.group(1) if found else "processor unknown", platform.machine())

    @property
    def memory(self) -> Optional[Memory]:
        """Main memory and swap."""
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB", self._text("proc/meminfo"), re.M))
        if "MemTotal" not in found:
            return None
        swaps = [line.split() for line in self._text("proc/swaps").splitlines()[1:]]
        on_disk = sum(int(swap[2]) for swap in swaps if len(swap) > 2 and "zram" not in swap[0])
        sizes = (int(found["MemTotal"]), int(found.get("MemAvailable", 0)), on_disk)
        return Memory(*(kib // 1024 for kib in sizes))

    @property
    def cameras(self) -> List[Camera]:
        """Capture devices, each once: a camera's second node is its metadata."""
        found = []
        for folder in sorted(self._glob("sys/class/video4linux/video*")):
            path = os.path.join(self._root, "dev", os.path.basename(folder))
            index = self._text(os.path.join(folder, "index"))
            if index in ("", "0") and os.path.exists(path):
                name = self._text(os.path.join(folder, "name")) or "unknown"
                found.append(Camera(path, name, os.access(path, os.R_OK | os.W_OK)))
        return found

    @property
    def clocks_held(self) -> Optional[bool]:
        """Tell whether the GPU's lowest clock is its highest, as `jetson_clocks` sets it."""
        for folder in self._glob("sys/class/devfreq/*"):
            if GPU_NAMES.search(os.path.basename(folder)):
                low, high = (self._text(os.path.join(folder, name)) for name in ("min_freq", "max_freq"))
                return low == high if low and high else None
        return None

    @property
    def jtop_socket(self) -> Optional[str]:
        """Path of the jtop service's socket, or None where the service does not run."""
        path = os.path.join(self._root, "run/jtop.sock")
        return path if os.path.exists(path) else None

    def _text(self, path: str) -> str:
        try:
            with open(os.path.join(self._root, path), encoding="utf-8", errors="replace") as stream:
                return stream.read().strip("\0\n ")
        except OSError:
            return ""

    def _glob(self, pattern: str) -> List[str]:
        return glob.glob(os.path.join(glob.escape(self._root), pattern))
