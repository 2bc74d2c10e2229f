"""What a benchmark measured, in the form that its table, its page and its verdict are made from."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jetson.bench.choice import Choice
from jetson.bench.verdict import percentile
from jetson.board.monitor import energy
from jetson.board.sensors import Sample

BUSY_CLOCK = 0.95  # of the GPU's highest; below it the board throttles
PROCESSOR = "-cpu"  # how the names of runtimes that leave the GPU alone end


class Block(NamedTuple):
    """One block of one candidate; times in milliseconds unless named otherwise.

    Attributes:
        candidate: its name.
        number: place in the order of the run, from 0.
        card: each inference, host array to host array.
        frame: each whole frame with two cards.
        prepare, decode: each card's preparation and decoding.
        find: each search for cards, empty if the bundle has no table.
        card_window, frame_window: start and end, seconds of `time.monotonic`.
        load_s: from nothing to a loaded network, in seconds.
        warm_up: inferences before the timing.
        steady: whether the last of these were alike.
        memory_mb: peak of the process.
        throttled: whether the GPU's clock was lowered; None where it is not known or not used.
        before, after: the device at start and end.
    """

    candidate: str
    number: int
    card: List[float]
    frame: List[float]
    prepare: List[float]
    decode: List[float]
    find: List[float]
    card_window: Tuple[float, float]
    frame_window: Tuple[float, float]
    load_s: float
    warm_up: int
    steady: bool
    memory_mb: float
    throttled: Optional[bool]
    before: Optional[Sample]
    after: Optional[Sample]


class Sustained(NamedTuple):
    """The winner playing frames without a pause.

    Attributes:
        frame: milliseconds of each frame.
        window: start and end, seconds of `time.monotonic`.
        first_p50, last_p50: medians of the first and the last seconds.
        span_s: how many seconds these are.
    """

    frame: List[float]
    window: Tuple[float, float]
    first_p50: float
    last_p50: float
    span_s: float


class Result(NamedTuple):
    """Everything that a report tells.

    Attributes:
        choice: the verdict.
        blocks: in the order of the run.
        sustained: of the winner; None if it failed there.
        sustained_failure: why, or None.
        samples: of the device, from before the first block to the end.
        source: where power comes from: "jtop", "ina3221" or "none".
        source_problem: why it is not jtop, or None.
        idle_mw: the board's power before the first block, or None.
        setup: circumstances of the run by name.
        advice: what would make the numbers better or more stable.
    """

    choice: Choice
    blocks: List[Block]
    sustained: Optional[Sustained]
    sustained_failure: Optional[str]
    samples: List[Sample]
    source: str
    source_problem: Optional[str]
    idle_mw: Optional[float]
    setup: Dict[str, str]
    advice: List[str]


def to_block(candidate: str, number: int, measured: Dict[str, Any], samples: List[Sample]) -> Block:
    """Join what a process measured of a runtime with what the device measured of itself meanwhile."""
    start, end = measured["card_window"][0], measured["frame_window"][1]
    during = [sample for sample in samples if start <= sample.time <= end]
    return Block(
        candidate=candidate,
        number=number,
        card=measured["card_ms"],
        frame=measured["frame_ms"],
        prepare=measured["prepare_ms"],
        decode=measured["decode_ms"],
        find=measured["find_ms"],
        card_window=tuple(measured["card_window"]),
        frame_window=tuple(measured["frame_window"]),
        load_s=measured["load_s"],
        warm_up=measured["warm_up"],
        steady=measured["steady"],
        memory_mb=measured["memory_mb"],
        throttled=None if candidate.endswith(PROCESSOR) else throttled(during),
        before=during[0] if during else None,
        after=during[-1] if during else None,
    )


def to_sustained(measured: Dict[str, Any], longest_span_s: float = 10.0) -> Sustained:
    """Compare the first with the last seconds of a long run."""
    frame, (start, end) = measured["frame_ms"], measured["frame_window"]
    span = min(longest_span_s, (end - start) / 3.0)
    elapsed, first, last = 0.0, [], []  # type: float, List[float], List[float]
    total = sum(frame) / 1e3
    for value in frame:
        if elapsed < span or not first:
            first.append(value)
        elapsed += value / 1e3
        if elapsed > total - span:
            last.append(value)
    return Sustained(frame, (start, end), percentile(first, 50), percentile(last or frame[-1:], 50), span)


def frame_energy(
    blocks: List[Block], samples: List[Sample], idle_mw: Optional[float]
) -> Tuple[Optional[float], Optional[float]]:
    """Return what a frame costs the board in millijoules, and how much of it is above idling.

    Both are None unless power is known for the frames of every block; the latter also without idle power.
    """
    powers = []
    for block in blocks:
        start, end = block.frame_window
        joules = energy(samples, start, end)
        if joules is None:
            return None, None
        powers.append(1e3 * joules / (end - start))
    frames = [value for block in blocks for value in block.frame]
    seconds, power = sum(frames) / len(frames) / 1e3, sum(powers) / len(powers)
    return round(power * seconds, 1), None if idle_mw is None else round((power - idle_mw) * seconds, 1)


def throttled(samples: List[Sample]) -> Optional[bool]:
    """Tell whether the GPU's clock fell below 95 % of its highest; None where neither is known."""
    clocks = [
        sample.gpu_mhz / sample.gpu_max_mhz
        for sample in samples
        if sample.gpu_mhz is not None and sample.gpu_max_mhz
    ]
    return min(clocks) < BUSY_CLOCK if clocks else None
