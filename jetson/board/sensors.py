"""Turns the files below /sys and /proc into samples of power, temperatures, clocks and memory."""

import glob
import os
import re
import time
from typing import Dict, List, NamedTuple, Optional, Tuple


class Sample(NamedTuple):
    """What a device measured of itself at one moment; None is what it does not tell.

    Attributes:
        time: seconds of `time.monotonic`.
        power_mw: the whole board's power in milliwatts.
        temperatures: degrees Celsius by the sensor's name.
        gpu_mhz: the GPU's clock.
        gpu_max_mhz: the highest clock that the GPU may have now.
        gpu_load: in [0, 1].
        cpu_load: of all cores together, in [0, 1].
        ram_used_mb: memory in use, shared by processor and GPU on a Jetson, in MiB.
        ram_total_mb: all of it, in MiB.
        nvpmodel: name of the power mode.
        jetson_clocks: whether the clocks are held at their highest.
    """

    time: float
    power_mw: Optional[float] = None
    temperatures: Optional[Dict[str, float]] = None
    gpu_mhz: Optional[float] = None
    gpu_max_mhz: Optional[float] = None
    gpu_load: Optional[float] = None
    cpu_load: Optional[float] = None
    ram_used_mb: Optional[float] = None
    ram_total_mb: Optional[float] = None
    nvpmodel: Optional[str] = None
    jetson_clocks: Optional[bool] = None


# The rail that feeds the whole board: Nano, then TX2, Xavier NX and Orin. AGX boards have none.
BOARD_RAILS = ("POM_5V_IN", "VDD_IN")
GPU_NAMES = re.compile(r"gpu|gv11b|gp10b|ga10b|gb10b")
OFFLINE = -256.0  # degrees, what a sensor without power answers


class Sensors:
    """Reads samples from the files of Linux; `root` stands before every path."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._power = self._find_power()
        self._gpu = self._find_gpu()
        self._ticks: Optional[Tuple[float, float]] = None

    def read(self) -> Sample:
        """Take one sample; `cpu_load` is the mean since the sample before."""
        used, total = self._memory()
        return Sample(
            time=time.monotonic(),
            power_mw=self.power(),
            temperatures=self._temperatures(),
            gpu_mhz=_scaled(os.path.join(self._gpu, "cur_freq"), 1e-6) if self._gpu else None,
            gpu_max_mhz=_scaled(os.path.join(self._gpu, "max_freq"), 1e-6) if self._gpu else None,
            gpu_load=_scaled(os.path.join(self._gpu, "device", "load"), 1e-3) if self._gpu else None,
            cpu_load=self._cpu_load(),
            ram_used_mb=used,
            ram_total_mb=total,
            nvpmodel=self._nvpmodel(),
        )

    def power(self) -> Optional[float]:
        """Read the board's power in milliwatts from its INA3221; 0 is no measurement but a missing one."""
        factors = [_scaled(path, 1.0) for path in self._power]
        if len(factors) == 1:
            return factors[0] or None
        if len(factors) == 2 and factors[0] is not None and factors[1] is not None:
            return factors[0] * factors[1] / 1000.0 or None
        return None

    def _find_power(self) -> List[str]:
        """Find one file in milliwatts (JetPack 4) or two in millivolts and milliamperes (from 5 on)."""
        for label in self._glob("sys/bus/i2c/devices/*/iio:device*/rail_name_*"):
            if _text(label) in BOARD_RAILS:
                return [os.path.join(os.path.dirname(label), "in_power{}_input".format(label[-1]))]
        for label in self._glob("sys/bus/i2c/devices/*/hwmon/hwmon*/in[123]_label"):
            if _text(label) in BOARD_RAILS:
                folder, rail = os.path.dirname(label), os.path.basename(label)[2]
                names = ("in{}_input".format(rail), "curr{}_input".format(rail))
                return [os.path.join(folder, name) for name in names]
        return []

    def _find_gpu(self) -> Optional[str]:
        folders = self._glob("sys/class/devfreq/*")
        return next((path for path in folders if GPU_NAMES.search(os.path.basename(path))), None)

    def _temperatures(self) -> Optional[Dict[str, float]]:
        found: Dict[str, float] = {}
        for zone in self._glob("sys/class/thermal/thermal_zone*"):
            name = re.sub(r"[-_](therm|thermal)$", "", _text(os.path.join(zone, "type")) or "")
            degrees = _scaled(os.path.join(zone, "temp"), 1e-3)
            # The PMIC's sensor is a constant of the device tree.
            if name and degrees is not None and degrees > OFFLINE and not name.startswith("PMIC"):
                found[name] = degrees
        return found or None

    def _cpu_load(self) -> Optional[float]:
        line = (_text(os.path.join(self._root, "proc/stat")) or "").split("\n")[0].split()
        try:
            ticks = [float(value) for value in line[1:9]]
        except ValueError:
            return None
        if len(ticks) < 5:
            return None
        before, now = self._ticks, (ticks[3] + ticks[4], sum(ticks))
        self._ticks = now
        if before is None or now[1] <= before[1]:
            return None
        return min(max(1.0 - (now[0] - before[0]) / (now[1] - before[1]), 0.0), 1.0)

    def power_modes(self) -> Dict[int, str]:
        """Return the names of nvpmodel's modes by their numbers, which differ from board to board."""
        described = _text(os.path.join(self._root, "etc/nvpmodel.conf")) or ""
        modes = re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", described)
        return {int(number): name for number, name in modes}

    def _memory(self) -> Tuple[Optional[float], Optional[float]]:
        text = _text(os.path.join(self._root, "proc/meminfo")) or ""
        found = {name: float(kib) / 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
        total, free = found.get("MemTotal"), found.get("MemAvailable")
        return (None if total is None or free is None else total - free), total

    def _nvpmodel(self) -> Optional[str]:
        status = re.search(r"pmode:(\d+)", _text(os.path.join(self._root, "var/lib/nvpmodel/status")) or "")
        if status is None:
            return None
        return self.power_modes().get(int(status.group(1)), status.group(1))

    def _glob(self, pattern: str) -> List[str]:
        return sorted(glob.glob(os.path.join(glob.escape(self._root), pattern)))


def _text(path: str) -> Optional[str]:
    """Read a small file; None where it is missing, not ours to read, or its sensor is asleep."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\0\n ")
    except OSError:
        return None


def _scaled(path: str, factor: float) -> Optional[float]:
    try:
        return float(_text(path) or "") * factor
    except ValueError:
        return None
