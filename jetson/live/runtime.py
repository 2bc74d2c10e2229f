"""Turns a bundle and an order of runtimes into one runner for all threads, which outlives failures."""

import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Callable, Collection, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from jetson import home, log
from jetson.arrays import Array
from jetson.bench.choice import read_choice
from jetson.bench.parity import check_agreement, load_samples
from jetson.errors import RunnerError
from jetson.play.bundle import Bundle
from jetson.play.detect import Detector
from jetson.runners import open_runner
from jetson.runners.runner import Answer, Item, Runner

LAST_RESORT = "onnxruntime-cpu"
ANSWER_SECONDS = 60.0
OPENING_SECONDS = 3600.0  # that a runtime may take to start: more than an engine takes on a Nano
RETRY_SECONDS = 10.0  # after all runtimes have failed
DIFFERS = "differs from this bundle's samples in {} ways ({}): benchmark it"
KEPT = "{}: kept from the bundle before, checked on this one's samples, not yet benchmarked"

Job = Callable[[Runner], Any]


class RuntimeOrder(NamedTuple):
    """Which runtimes to try.

    Attributes:
        names: as in `RUNNERS`, best first.
        reason: why in this order.
        unproven: those that nobody has compared with the reference of this bundle; the processor is it.
    """

    names: List[str]
    reason: str
    unproven: Collection[str] = ()


def runtime_order(bundle: Bundle) -> RuntimeOrder:
    """Return the runtimes to try, the benchmark's winner first.

    A bundle that has not been benchmarked keeps the order of the one before, none of it proven.
    """
    choice, reason = read_choice(home.choice_file(), bundle)
    unproven: Collection[str] = ()
    if choice is None:
        choice, _ = read_choice(home.choice_file(), bundle, another=True)
        if choice is None or choice.winner == LAST_RESORT:
            return RuntimeOrder([LAST_RESORT], "{}: ONNX Runtime on the processor".format(reason))
        reason = KEPT.format(reason)
        unproven = set(choice.order) - {LAST_RESORT}
    order = list(choice.order)
    return RuntimeOrder(order + [LAST_RESORT] * (LAST_RESORT not in order), reason, unproven)


class SharedRunner(Runner):
    """Opens, runs and closes runtimes in one thread of its own, for all threads that call it.

    A runtime that fails to start or fails in between is closed and the next of the order takes over, with
    the work that failed. After the last one everybody is told, and the first is tried again a while later.

    Attributes:
        name: of the runtime in use; "none" while there is none.
        reason: why this one.
        failures: how often a runtime has failed.
        working_since: when the work in hand was begun, or None; to open a runtime may take minutes.
    """

    def __init__(self, bundle: Bundle, order: List[str], reason: str, unproven: Collection[str] = ()) -> None:
        """Start the thread; the arguments besides the bundle are those of `RuntimeOrder`."""
        self.name = "none"
        self.reason = reason
        self.failures = 0
        self.working_since: Optional[float] = None
        self._bundle = bundle
        self._order = order
        self._unproven = unproven
        self._why = reason
        self._next = 0
        self._retry_at = 0.0
        self._runner: Optional[Runner] = None
        self._jobs: "queue.Queue[Optional[Tuple[Job, Future[Any]]]]" = queue.Queue()
        self._inside = threading.local()  # set where a thread works for the one of the runtime
        self._thread = threading.Thread(target=self._run, name="runtime", daemon=True)
        self._thread.start()

    def infer(self, batch: Array) -> Tuple[Array, Array]:
        """See `Runner.infer`; any thread may call this.

        Raises:
            RunnerError: no runtime works, or the one in use hangs.
        """
        runner = getattr(self._inside, "runner", None)
        scores, boxes = (
            self._wait(lambda runner: _infer(runner, batch)) if runner is None else _infer(runner, batch)
        )
        return scores, boxes

    def each(self, call: Callable[[Item], Answer], items: Sequence[Item]) -> List[Answer]:
        """See `Runner.each`; any thread may call this, and errors are as for `infer`."""

        def work(runner: Runner) -> List[Answer]:
            def inside(item: Item) -> Answer:
                self._inside.runner = runner
                try:
                    return call(item)
                finally:
                    self._inside.runner = None

            return runner.each(inside, items)

        answers: List[Answer] = self._wait(work)
        return answers

    def close(self) -> None:
        """See `Runner.close`."""
        self.stop(timeout=None)

    def stop(self, timeout: Optional[float]) -> bool:
        """Close the runtime in its thread; False if it hangs for so many seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _wait(self, job: Job) -> Any:
        answer: "Future[Any]" = Future()
        self._jobs.put((job, answer))
        try:
            # Before the first answer, an engine may have to be built.
            return answer.result(None if self.name == "none" else ANSWER_SECONDS)
        except FutureTimeoutError:
            answer.cancel()  # should its turn come later, nobody waits for it
            raise RunnerError(self.name, "has not answered for {:.0f} s".format(ANSWER_SECONDS)) from None

    def _run(self) -> None:
        for job, answer in iter(self._jobs.get, None):
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(self._do(job))
            except Exception as error:  # noqa: BLE001 - whoever waits for the answer gets it
                answer.set_exception(error)
            self.working_since = None
        if self._runner is not None:
            self._runner.close()

    def _do(self, job: Job) -> Any:
        if self._next >= len(self._order):
            if time.monotonic() < self._retry_at:
                raise RunnerError(self.name, self.reason)
            self._next, self.reason = 0, self._why
        while self._next < len(self._order):
            name = self._order[self._next]
            try:
                runner = self._open(name)
                self.working_since = time.monotonic()
                answer = job(runner)
            except _BrokenError as error:
                self._give_up(name, str(error))
            else:
                self.name = name
                return answer
        self.name = "none"
        self._retry_at = time.monotonic() + RETRY_SECONDS
        raise RunnerError(self.name, self.reason)

    def _open(self, name: str) -> Runner:
        self.working_since = None
        if self._runner is None:
            self.opened_at = time.monotonic() + OPENING_SECONDS
            try:
                self._runner = open_runner(name, self._bundle)
                self._try_out(self._runner, name)
            except Exception as error:  # noqa: BLE001 - runtimes raise what they like, and the next may start
                raise _BrokenError(error) from None
            finally:
                self.opened_at = time.monotonic()
            log.say("runtime: {} ({})".format(name, self.reason))
        return self._runner

    def _try_out(self, runner: Runner, name: str) -> None:
        """Run once, which may search for kernels for long, and compare the unproven with the reference."""
        side = self._bundle.input_size
        runner.infer(np.zeros((1, 3, side, side), np.float32))
        if name in self._unproven:
            problems = check_agreement(Detector(self._bundle, runner), load_samples(self._bundle)).problems
            if problems:
                raise RunnerError(name, DIFFERS.format(len(problems), problems[0]))

    def _give_up(self, name: str, problem: str) -> None:
        self.failures += 1
        self._next += 1
        self.reason = problem if name in problem else "{}: {}".format(name, problem)
        log.say("runtime: {}".format(self.reason))
        broken, self._runner = self._runner, None
        try:
            if broken is not None:
                broken.close()
        except Exception as error:  # noqa: BLE001 - it is being thrown away
            log.say("runtime: {} did not close ({})".format(name, error))


class _BrokenError(Exception):
    """A runtime failed, in contrast to what is done with its answers."""

    def __init__(self, error: Exception) -> None:
        super().__init__(" ".join(str(error).split()) or type(error).__name__)


def _infer(runner: Runner, batch: Array) -> Tuple[Array, Array]:
    try:
        return runner.infer(batch)
    except Exception as error:  # noqa: BLE001 - runtimes raise what they like, and the next may do better
        raise _BrokenError(error) from None
