"""Turns a bundle and a device into a benchmark's result: check, time interleaved blocks, decide, sustain."""

import os
import platform
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from jetson.bench.choice import Candidate, Choice
from jetson.bench.process import run_task
from jetson.bench.result import Block, Result, Sustained, frame_energy, to_block, to_sustained
from jetson.bench.verdict import PREFERENCE, Measured, Verdict, decide, percentile, schedule
from jetson.board.board import Board
from jetson.board.monitor import STALE, Monitor, energy
from jetson.errors import BenchmarkError
from jetson.play.bundle import Bundle
from jetson.runners import RUNNERS

BUILD_S = 3600.0  # more than an engine takes on a Nano
LATENCY_TO_TELL = 0.10  # a sustained run that slows down by more is worth a line
SHARE_OF_MEMORY = 0.75  # of the device's memory: the rest is for camera, system and page


class Plan(NamedTuple):
    """How thoroughly a benchmark measures.

    Attributes:
        warm_up_s: of each block, at most, where it does not become steady.
        inferences: in each block, at least.
        frames: in each block, at least.
        seconds: of inferences and of frames in each block, at least: energy needs two.
        idle_s: of rest before the first block.
        sustained_s: of frames without a pause at the end.
    """

    warm_up_s: float
    inferences: int
    frames: int
    seconds: float
    idle_s: float
    sustained_s: float


FULL = Plan(warm_up_s=20.0, inferences=100, frames=20, seconds=3.0, idle_s=10.0, sustained_s=60.0)
QUICK = Plan(warm_up_s=2.0, inferences=30, frames=5, seconds=0.0, idle_s=0.0, sustained_s=3.0)


class Session:
    """One benchmark of one bundle.

    Args:
        bundle: with samples.
        plan: `FULL` or `QUICK`.
        limit_s: seconds after which a process of a candidate has failed.
        monitor: running; what it does not know stays empty.
        say: is told what happens, a line at a time.
    """

    def __init__(
        self, bundle: Bundle, plan: Plan, limit_s: float, monitor: Monitor, say: Callable[[str], None]
    ) -> None:
        self._bundle = bundle
        self._plan = plan
        self._limit = limit_s
        self._monitor = monitor
        self._say = say
        self._failed: Dict[str, str] = {}
        self._agreements: Dict[str, str] = {}
        self._blocks: List[Block] = []
        self._board = Board()
        self._versions = {} if self._board.l4t is None else {"l4t": self._board.l4t}

    def run(self, earlier: Optional[Choice]) -> Result:
        """Measure everything and decide.

        Args:
            earlier: what an earlier benchmark of this model chose, if anything.

        Raises:
            BenchmarkError: no runtime may serve.
        """
        started = time.monotonic()
        names = sorted(RUNNERS, key=lambda name: (PREFERENCE + (name,)).index(name))
        idle_mw = self._idle()
        for name in names:
            self._check(name)
        self._time([name for name in names if name not in self._failed])
        self._check_memory()
        board = self._board.model or self._board.processor
        same = earlier is not None and not earlier.quick and earlier.board == board
        before = earlier.winner if same and earlier and earlier.versions == self._versions else None
        verdict = self._decide(names, before)
        sustained, failure = self._sustain(verdict.order[0])
        samples = self._monitor.samples(started)
        choice = Choice(
            winner=verdict.order[0],
            order=verdict.order,
            reason=verdict.reason,
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            model_sha256=self._bundle.model_sha256,
            board=board,
            versions=self._versions,
            quick=self._plan == QUICK,
            candidates=[self._candidate(name, idle_mw) for name in names],
            bundle=self._bundle.fingerprint(),
        )
        return Result(
            choice=choice,
            blocks=self._blocks,
            sustained=sustained,
            sustained_failure=failure,
            samples=samples,
            source=self._monitor.source,
            source_problem=self._monitor.problem,
            idle_mw=idle_mw,
            setup=self._setup(),
            advice=self._advice(sustained),
        )

    def _idle(self) -> Optional[float]:
        """Rest, and return the board's power meanwhile in milliwatts."""
        if not self._plan.idle_s:
            return None
        self._say("resting {:g} s to measure the board's idle power".format(self._plan.idle_s))
        start = time.monotonic()
        time.sleep(self._plan.idle_s)
        end = time.monotonic()
        joules = energy(self._monitor.samples(start - 1.0), start, end)
        return None if joules is None else 1e3 * joules / (end - start)

    def _check(self, name: str) -> None:
        self._say("checking {} against the bundle's reference".format(name))
        # Its first start builds the engine, in a process of its own that has its own patience.
        patience = BUILD_S if "tensorrt" in name else 0.0
        result = self._work(name, "check", patience)
        if result is None:
            return
        self._versions.update(result["versions"])
        problems = result["problems"]
        if problems:
            more = " and {} more".format(len(problems) - 1) if len(problems) > 1 else ""
            self._failed[name] = "disagrees with the reference: {}{}".format(problems[0], more)
            return
        told = "agrees with the reference in {} symbols and {} matches".format(
            result["detections"], result["matches"]
        )
        if result["lowest_iou"] is not None:
            told += " (lowest IoU {:.3f}, scores within {:.3f})".format(
                result["lowest_iou"], result["largest_difference"]
            )
        self._agreements[name] = told

    def _time(self, names: List[str]) -> None:
        order = [name for row in schedule(names) for name in row]
        for place, name in enumerate(order):
            if name in self._failed:
                continue
            since, options = time.monotonic(), dict(self._plan._asdict())
            result = self._work(name, "time", **options)
            told = self._failed.get(name)
            if result is not None:
                block = to_block(name, len(self._blocks), result, self._monitor.samples(since))
                self._blocks.append(block)
                told = "{:.2f} ms per card, {:.2f} ms per frame".format(
                    percentile(block.card, 50), percentile(block.frame, 50)
                )
            self._say("block {} of {}: {}: {}".format(place + 1, len(order), name, told))

    def _check_memory(self) -> None:
        sample = self._monitor.latest()
        total = None if sample is None else sample.ram_total_mb
        for name in self._names_measured():
            peak = self._memory(name)
            if total is not None and peak > SHARE_OF_MEMORY * total:
                problem = "needs {:.0f} MB, more than {:.0f} % of this device's {:.0f} MB"
                self._failed[name] = problem.format(peak, 100 * SHARE_OF_MEMORY, total)

    def _decide(self, names: List[str], earlier: Optional[str]) -> Verdict:
        measured = {
            name: Measured([block.card for block in self._of(name)], self._memory(name))
            for name in self._names_measured()
            if name not in self._failed
        }
        if not measured:
            told = "; ".join("{}: {}".format(name, self._failed[name]) for name in names)
            raise BenchmarkError(self._bundle.folder, "no runtime may serve it here: {}".format(told))
        return decide(measured, earlier)

    def _sustain(self, name: str) -> "tuple[Optional[Sustained], Optional[str]]":
        self._say("{} plays for {:g} s without a pause".format(name, self._plan.sustained_s))
        task = {"runner": name, "bundle": self._bundle.folder, "work": "sustain"}
        limit = self._limit + self._plan.sustained_s
        outcome = run_task(dict(task, seconds=self._plan.sustained_s), limit)
        if outcome.result is None:
            return None, outcome.failure
        return to_sustained(outcome.result), None

    def _work(self, name: str, work: str, patience: float = 0.0, **options: Any) -> Optional[Dict[str, Any]]:
        """Run a task of a candidate; a failure disqualifies it."""
        task = dict(options, runner=name, bundle=self._bundle.folder, work=work)
        outcome = run_task(task, self._limit + patience)
        if outcome.result is None:
            self._failed[name] = str(outcome.failure).replace("runner {}: ".format(name), "")
        return outcome.result

    def _candidate(self, name: str, idle_mw: Optional[float]) -> Candidate:
        blocks = self._of(name)
        reason = self._failed.get(name) or self._agreements[name]
        if not blocks:
            return Candidate(name, False, reason)
        cards = [value for block in blocks for value in block.card]
        frames = [value for block in blocks for value in block.frame]
        gross, net = frame_energy(blocks, self._monitor.samples(blocks[0].frame_window[0] - STALE), idle_mw)
        flags = [block.throttled for block in blocks if block.throttled is not None]
        return Candidate(
            name=name,
            eligible=name not in self._failed,
            reason=reason,
            p50_ms=_rounded(percentile(cards, 50)),
            p90_ms=_rounded(percentile(cards, 90)),
            p99_ms=_rounded(percentile(cards, 99)),
            frame_p50_ms=_rounded(percentile(frames, 50)),
            energy_mj=gross,
            energy_net_mj=net,
            memory_mb=round(self._memory(name), 1),
            throttled=any(flags) if flags else None,
        )

    def _setup(self) -> Dict[str, str]:
        sample = self._monitor.latest()
        setup = {
            "board": self._board.model or self._board.processor,
            "system": platform.platform(),
            "processors": str(len(os.sched_getaffinity(0))),
        }
        if sample is not None:
            held = {True: "on", False: "off"}
            values = {
                "power mode (nvpmodel)": sample.nvpmodel,
                "jetson_clocks": None if sample.jetson_clocks is None else held[sample.jetson_clocks],
                "memory": None if sample.ram_total_mb is None else "{:.0f} MB".format(sample.ram_total_mb),
            }
            setup.update({name: value for name, value in values.items() if value is not None})
        setup.update(self._versions)
        return setup

    def _advice(self, sustained: Optional[Sustained]) -> List[str]:
        advice = []
        sample = self._monitor.latest()
        if sample is not None and sample.nvpmodel is not None and not sample.nvpmodel.startswith("MAXN"):
            advice.append("power mode {}: `sudo nvpmodel -m 0` gives full speed".format(sample.nvpmodel))
        if sample is not None and sample.jetson_clocks is False:
            advice.append("clocks float: `sudo jetson_clocks` holds them at their highest")
        if any(block.throttled for block in self._blocks):
            advice.append("the GPU's clock was lowered in a block: cool the board, use a barrel-jack supply")
        if any(not block.steady for block in self._blocks):
            advice.append("some warm-up never became steady: end other programs and measure again")
        if self._monitor.source == "none":
            problem = self._monitor.problem or "no sensor"
            advice.append("power was not measured ({})".format(problem))
        if sustained is not None and sustained.last_p50 > (1 + LATENCY_TO_TELL) * sustained.first_p50:
            slower = 100 * (sustained.last_p50 / sustained.first_p50 - 1)
            advice.append(
                "the sustained run ends {:.0f} % slower than it starts: cool the board".format(slower)
            )
        return advice

    def _of(self, name: str) -> List[Block]:
        return [block for block in self._blocks if block.candidate == name]

    def _names_measured(self) -> List[str]:
        return sorted({block.candidate for block in self._blocks})

    def _memory(self, name: str) -> float:
        return max(block.memory_mb for block in self._of(name))


def _rounded(value: float) -> float:
    return round(value, 3)
