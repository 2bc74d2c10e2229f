"""Turns one task into numbers, in a process of its own: check one runtime, time a block of it, or sustain it.

A process for each block, because two GPU runtimes do not fit into a Nano's memory together, because what one
leaves behind must not touch the next, and because one that is killed then is a result like any other.
"""

import json
import re
import signal
import sys
import time
from itertools import cycle
from typing import Any, Callable, Dict, List, Optional, Tuple

from jetson.bench.parity import Samples, check_agreement, load_samples
from jetson.board.board import Board
from jetson.errors import JetsonError
from jetson.play.bundle import Bundle, load_bundle
from jetson.play.cards import find_cards
from jetson.play.detect import Detector, decode, evidence, prepare
from jetson.play.game import play
from jetson.play.table import play_table
from jetson.runners import Runner, open_runner

WARM_UP = 20  # inferences at least, and on until the last ones are alike
ALIKE, ALIKE_WITHIN = 10, 0.10
STEPS = 20  # repetitions of what surrounds the network
LIBRARIES = ("numpy", "cv2", "onnxruntime", "tensorrt")


def main() -> int:
    """Read the task, a JSON object, from the first argument and write the result to the file it names.

    A failure that has a message of its own is a result, `{"error": ...}`; any other ends the process.
    """
    task = json.loads(sys.argv[1])
    # Should the parent be gone and the runtime hang, this process still ends.
    signal.alarm(int(task["limit_s"]) + 5)
    free = _free_memory()
    try:
        bundle = load_bundle(task["bundle"], verify=False)
        samples = load_samples(bundle)
        started = time.monotonic()
        with open_runner(task["runner"], bundle) as runner:
            result = WORK[task["work"]](runner, bundle, samples, task)
            result["load_s"] = result.pop("loaded", started) - started
            result["memory_mb"] = _memory(free)
            result["versions"] = _versions()
    except JetsonError as error:
        result = {"error": str(error)}
    with open(task["result"], "w", encoding="utf-8") as stream:
        json.dump(result, stream)
    return 0


def check(runner: Runner, bundle: Bundle, samples: Samples, _: Dict[str, Any]) -> Dict[str, Any]:
    """Compare what the runner sees on the samples with the reference."""
    return dict(check_agreement(Detector(bundle, runner), samples)._asdict())


def time_block(runner: Runner, bundle: Bundle, samples: Samples, task: Dict[str, Any]) -> Dict[str, Any]:
    """Warm up; time the network from host array to host array, what surrounds it, and whole frames."""
    loaded = time.monotonic()
    detector, pictures = Detector(bundle, runner), list(samples.photos.values())
    batches = cycle([prepare(picture, bundle)[0] for picture in pictures])

    def infer() -> None:
        runner.infer(next(batches))

    warm_up, steady = _warm_up(infer, task["warm_up_s"])
    card_ms, card_window = _repeat(infer, task["inferences"], task["seconds"])
    frame, find = _frame(detector, samples)
    frame()
    frame_ms, frame_window = _repeat(frame, task["frames"], task["seconds"])
    result: Dict[str, Any] = _steps(runner, bundle, pictures)
    result.update(
        loaded=loaded,
        warm_up=warm_up,
        steady=steady,
        card_ms=card_ms,
        card_window=card_window,
        frame_ms=frame_ms,
        frame_window=frame_window,
        find_ms=_repeat(find, STEPS)[0] if find is not None else [],
    )
    return result


def sustain(runner: Runner, bundle: Bundle, samples: Samples, task: Dict[str, Any]) -> Dict[str, Any]:
    """Play whole frames without a pause for a given time, as a server does."""
    frame, _ = _frame(Detector(bundle, runner), samples)
    for _ in range(3):
        frame()
    frame_ms, window = _repeat(frame, 1, task["seconds"])
    return {"frame_ms": frame_ms, "frame_window": window}


WORK: Dict[str, Callable[[Runner, Bundle, Samples, Dict[str, Any]], Dict[str, Any]]] = {
    "check": check,
    "time": time_block,
    "sustain": sustain,
}


def _warm_up(infer: Callable[[], None], longest_s: float) -> Tuple[int, bool]:
    """Infer until the last times are alike; whether they became so is part of the result."""
    last: List[float] = []
    end = time.monotonic() + longest_s
    while True:
        last.append(_timed(infer))
        recent = last[-ALIKE:]
        steady = max(recent) <= (1.0 + ALIKE_WITHIN) * min(recent)
        if len(last) >= WARM_UP and (steady or time.monotonic() > end):
            return len(last), steady


def _repeat(
    call: Callable[[], None], count: int, seconds: float = 0.0
) -> Tuple[List[float], Tuple[float, float]]:
    """Call at least so often and so long; return each call's milliseconds, and start and end of it all."""
    start, times = time.monotonic(), []  # type: float, List[float]
    while len(times) < count or time.monotonic() < start + seconds:
        times.append(_timed(call))
    return times, (start, time.monotonic())


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def _frame(detector: Detector, samples: Samples) -> Tuple[Callable[[], None], Optional[Callable[[], None]]]:
    """Return what plays one frame with two cards, and what only finds them, if there is a table."""
    if samples.tables:
        table = next(iter(samples.tables.values()))
        return lambda: _ignore(play_table(detector, table, thorough=False)), lambda: _ignore(
            find_cards(table)
        )
    first, second = list(samples.photos.values())[:2]
    return lambda: _ignore(play(detector.bundle, detector.read(first), detector.read(second))), None


def _steps(runner: Runner, bundle: Bundle, pictures: List[Any]) -> Dict[str, List[float]]:
    """Time preparation and decoding of one card, which are the same for every runtime."""
    prepare_ms, decode_ms = [], []  # type: List[float], List[float]
    thresholds = bundle.thresholds
    for picture, _ in zip(cycle(pictures), range(STEPS)):
        start = time.perf_counter()
        batch, transform = prepare(picture, bundle)
        prepared = time.perf_counter()
        scores, boxes = runner.infer(batch)
        answered = time.perf_counter()
        decode(scores, boxes, transform, thresholds.score, thresholds.nms_iou)
        evidence(scores, boxes, transform)
        decode_ms.append(1e3 * (time.perf_counter() - answered))
        prepare_ms.append(1e3 * (prepared - start))
    return {"prepare_ms": prepare_ms, "decode_ms": decode_ms}


def _ignore(_: object) -> None:
    return None


def _memory(free_before: float) -> float:
    """Return the peak in MiB; on a Jetson the board's loss, if larger, as no process owns GPU memory."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        peak = re.search(r"^VmHWM:\s+(\d+) kB", stream.read(), re.M)
    resident = int(peak.group(1)) / 1024.0 if peak else 0.0
    return max(resident, free_before - _free_memory()) if Board().l4t is not None else resident


def _free_memory() -> float:
    with open("/proc/meminfo", encoding="ascii") as stream:
        free = re.search(r"^MemAvailable:\s+(\d+) kB", stream.read(), re.M)
    return int(free.group(1)) / 1024.0 if free else 0.0


def _versions() -> Dict[str, str]:
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in LIBRARIES}
    versions = {name: str(version) for name, version in found.items() if version is not None}
    versions["python"] = ".".join(str(part) for part in sys.version_info[:3])
    return versions


if __name__ == "__main__":
    sys.exit(main())
