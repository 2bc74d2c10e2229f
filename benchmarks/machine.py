"""Says what numbers were measured on, and prints them as a Markdown table."""

import datetime as dt
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path


def machine() -> str:
    """Name processor, Python and day, and how busy the last minute was; ask before the measurement."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    today = dt.datetime.now(tz=dt.UTC).date()
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores (load {load:.1f}), Python {platform.python_version()}, {today}"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print each row as it comes; the first column is text, the others are numbers."""
    print(f"| {' | '.join(header)} |")
    print(f"|---|{'---:|' * (len(header) - 1)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
