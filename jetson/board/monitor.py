"""Turns jtop, else the board's own sensor files, into samples of power, temperatures, clocks and memory."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Deque, Dict, List, Optional, Sequence, Type

from jetson import log
from jetson.board.jtop_child import NOT_INSTALLED
from jetson.board.sensors import Sample, Sensors
from jetson.children import child_environment, module_command

INTERVAL = 0.5  # seconds; the service becomes unsteady below
STALE = 3.0  # seconds without news from jtop after which the board's own files are read
PATIENCE = 15.0  # seconds of silence after which the child is taken to hang
BACK_OFF = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds before each restart of the child, the last for ever
KEPT = 4 * 3600  # samples: two hours
LEAST = 2.0  # seconds of samples below which there is no energy to speak of


class Monitor:
    """Samples the device in the background; whatever happens to jtop, it neither raises nor blocks.

    Use it in a `with` block, and start it before a warm-up: jtop's client is busy for its first seconds.

    Args:
        root: stands before the paths of the sensor files.
        interval: seconds between samples.
        patience: seconds of silence after which jtop's child is killed and started again.
        back_off: seconds to wait before each restart, the last of them for ever.
    """

    def __init__(
        self,
        root: str = "/",
        interval: float = INTERVAL,
        patience: float = PATIENCE,
        back_off: Sequence[float] = BACK_OFF,
    ) -> None:
        self._interval = interval
        self._patience = patience
        self._sensors = Sensors(root)
        self._child = _JtopChild(interval, patience, tuple(back_off))
        self._samples: Deque[Sample] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._source = "none"

    def __enter__(self) -> "Monitor":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._child.kill()

    @property
    def source(self) -> str:
        """Name where the last sample's power is from: "jtop", "ina3221", or "none" without power."""
        return self._source

    @property
    def problem(self) -> Optional[str]:
        """Say why jtop is not the source, or None."""
        if self._source == "jtop":
            return None
        return "jtop tells no power" if self._child.answers() else self._child.problem

    def latest(self) -> Optional[Sample]:
        """Return the newest sample, or None before the first and where there is nothing to measure."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    def samples(self, since: float) -> List[Sample]:
        """Return the samples of the last two hours after `since` (of `time.monotonic`), oldest first."""
        with self._lock:
            return [sample for sample in self._samples if sample.time > since]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._sample()
                self._stop.wait(self._interval)
            except Exception as error:  # noqa: BLE001 - whoever is measured must not suffer for it
                log.say_error("monitor", error)
                self._stop.wait(self._patience)

    def _sample(self) -> None:
        self._child.care()
        for sample in self._child.take():
            self._keep(sample, "jtop")
        if not self._child.answers():
            self._keep(self._sensors.read(), "ina3221")

    def _keep(self, sample: Sample, source: str) -> None:
        if sample.power_mw is None and source == "jtop":
            sample, source = sample._replace(power_mw=self._sensors.power()), "ina3221"
        self._source = "none" if sample.power_mw is None else source
        last = self.latest()
        in_order = last is None or sample.time > last.time
        if in_order and any(value is not None for value in sample[1:]):
            with self._lock:
                self._samples.append(sample)


def energy(samples: Sequence[Sample], start: float, end: float) -> Optional[float]:
    """Return the joules that a device took from `start` to `end`.

    The mean power is weighted by time, so that samples given twice or late do not count for more. Where
    samples are more than `STALE` seconds apart, the time between them is not measured.

    Args:
        samples: in order of time; those without power are passed over.
        start: seconds of `time.monotonic`.
        end: the same, later.

    Returns:
        Joules, or None where less than 2 s, or less than half of the time, was measured.
    """
    known = [(sample.time, sample.power_mw) for sample in samples if sample.power_mw is not None]
    measured, total = 0.0, 0.0
    for number in range(1, len(known)):
        (left, first), (right, second) = known[number - 1], known[number]
        low, high = max(left, start), min(right, end)
        if high <= low or right - left > STALE:
            continue
        slope = (second - first) / (right - left)
        total += (high - low) * (first + slope * ((low + high) / 2 - left))
        measured += high - low
    if measured < LEAST or measured < 0.5 * (end - start):
        return None
    return total / measured * (end - start) / 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--interval", type=_interval, default=INTERVAL, help="seconds between samples (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=0, help="lines to print (default: until Ctrl-C)")


def run(arguments: argparse.Namespace) -> int:
    """Print each sample as a line of JSON, with `source` and, without jtop, its `problem`."""
    try:
        with Monitor(interval=arguments.interval) as monitor:
            _print_samples(monitor, arguments.interval, arguments.count)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _print_samples(monitor: Monitor, interval: float, count: int) -> None:
    printed, since = 0, time.monotonic()
    while count == 0 or printed < count:
        time.sleep(interval)
        for sample in monitor.samples(since)[: count - printed or None]:
            values: Dict[str, Any] = dict(sample._asdict(), source=monitor.source)
            if monitor.problem is not None:
                values["problem"] = monitor.problem
            sys.stdout.write(json.dumps(values) + "\n")
            sys.stdout.flush()
            printed, since = printed + 1, sample.time


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        problem = "{!r} is not a number of seconds from 0.1 to 3600".format(text)
        raise argparse.ArgumentTypeError(problem)
    return seconds


class _JtopChild:
    """The process that holds jtop's client, started again whenever it ends or falls silent."""

    def __init__(self, interval: float, patience: float, back_off: Sequence[float]) -> None:
        self.problem: Optional[str] = None
        self._interval = interval
        self._patience = patience
        self._back_off = back_off
        self._process: Optional["subprocess.Popen[str]"] = None
        self._failures = 0
        self._next_start = 0.0
        self._last_news = float("-inf")
        self._started = 0.0
        self._news: Deque[Sample] = deque(maxlen=KEPT)

    def care(self) -> None:
        """Start the process when it is due, and kill it when it hangs."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._next_start:
                self._start(now)
        elif self._process.poll() is not None:
            code = self._process.returncode
            self.kill()
            self._plan(code)
        elif now - max(self._last_news, self._started) > self._patience:
            self.problem = "the jtop service did not answer within {:g} s".format(self._patience)
            self.kill()
            self._plan()

    def take(self) -> List[Sample]:
        """Return the samples that have come since the last call."""
        taken = []
        while self._news:
            taken.append(self._news.popleft())
        return taken

    def answers(self) -> bool:
        """Tell whether a sample came lately."""
        return time.monotonic() - self._last_news < STALE

    def kill(self) -> None:
        """End the process, however it hangs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def _start(self, now: float) -> None:
        command = module_command("jetson.board.jtop_child") + ["--interval", str(self._interval)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                universal_newlines=True,
            )
        except OSError as error:
            self.problem = "jtop's reader cannot be started ({})".format(error)
            self._plan()
            return
        self._started = now
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                try:
                    values = json.loads(line)
                    if "problem" in values:
                        self.problem = str(values["problem"])
                        continue
                    self._news.append(Sample(**values))
                except (TypeError, ValueError):
                    continue  # a library's own chatter
                self._last_news = time.monotonic()
                self._failures = 0

    def _plan(self, code: int = 1) -> None:
        """Set the time of the next start; without jetson-stats there is none."""
        if code == NOT_INSTALLED:
            self._next_start = float("inf")
            return
        if code != 1:
            self.problem = "jtop's reader ended with exit code {}".format(code)
        wait = self._back_off[min(self._failures, len(self._back_off) - 1)]
        self._failures += 1
        self._next_start = time.monotonic() + wait
