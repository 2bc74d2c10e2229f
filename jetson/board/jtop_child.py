"""Turns the jtop service's answers into samples as JSON lines, in a process that its parent may kill.

The client lives apart because it can wait for ever at its start, and because no client of the same process
works again once the service was restarted. Shapes as jetson-stats 4.3.2 and 7.2 give them.
"""

import argparse
import importlib
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from jetson.board.sensors import OFFLINE, Sample

NOT_INSTALLED = 3


def main() -> int:
    """Print a line whenever the service has new values; end with a line that says why there are no more."""
    parser = argparse.ArgumentParser(description="Reads jtop.")
    parser.add_argument("--interval", type=float, default=0.5)
    interval = parser.parse_args().interval
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        jtop: Any = importlib.import_module("jtop").jtop
    except ImportError:
        _print({"problem": "jetson-stats is not installed"})
        return NOT_INSTALLED
    before: Optional[List[Any]] = None
    try:
        with jtop(interval=interval) as board:
            while board.ok():
                values = to_sample(board)._asdict()
                measured = [values[name] for name in values if name != "time"]
                # Old values come again when the service hangs or another client asked for a longer interval.
                if measured != before:
                    _print(values)
                before = measured
                time.sleep(interval / 2)
    except Exception as error:  # noqa: BLE001 - the client lets through whatever its connection raises
        _print({"problem": " ".join(str(error).split()) or type(error).__name__})
        return 1
    _print({"problem": "the jtop service stopped answering"})
    return 1


def to_sample(board: Any) -> Sample:
    """Read a `jtop` client; what it lacks or states impossibly is None, whatever the rest is."""
    gpu = _read(lambda: next(iter(board.gpu.values()))) or {}
    memory = _read(lambda: board.memory["RAM"]) or {}
    clocks = _read(lambda: board.jetson_clocks)
    model = _read(lambda: board.nvpmodel)
    # A board whose sensors are there but cannot be read says 0.
    return Sample(
        time=time.monotonic(),
        power_mw=_read(lambda: float(board.power["tot"]["power"])) or None,
        temperatures=_temperatures(_read(lambda: board.temperature)),
        gpu_mhz=_read(lambda: gpu["freq"]["cur"] / 1000.0),
        gpu_max_mhz=_read(lambda: gpu["freq"]["max"] / 1000.0),
        gpu_load=_read(lambda: gpu["status"]["load"] / 100.0),
        cpu_load=_read(lambda: 1.0 - board.cpu["total"]["idle"] / 100.0),
        ram_used_mb=_read(lambda: memory["used"] / 1024.0),
        ram_total_mb=_read(lambda: memory["tot"] / 1024.0),
        nvpmodel=None if model is None else _read(lambda: str(model.name)),
        jetson_clocks=None if clocks is None else bool(clocks),
    )


def _temperatures(zones: Any) -> Optional[Dict[str, float]]:
    found: Dict[str, float] = {}
    for name in _read(lambda: sorted(zones)) or ():
        degrees = _celsius(zones[name])
        if degrees is not None:
            found[name] = degrees
    return found or None


def _celsius(zone: Any) -> Optional[float]:
    degrees: Optional[float] = _read(lambda: float(zone["temp"]))
    asleep = degrees is None or degrees <= OFFLINE or not _read(lambda: zone["online"])
    return None if asleep else degrees


def _read(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        return None


def _print(values: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Wait for the end of standard input, which the parent never writes to."""
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    # The client's own threads must not hold up the end.
    os._exit(main())
