"""Runners for the benchmark's tests: some right, some wrong, some that crash, hang or are not there.

A test puts `sitecustomize.py` on a process' path; it calls `install` before anything else runs there.
"""

import os
import signal
import time

import numpy as np

from jetson.errors import RunnerError
from jetson.runners import RUNNERS
from jetson.runners.runner import Runner

CARDS = ((0, 1, 2), (0, 3, 4))  # of the Fano plane: what is on the dark and on the bright photo
BOX = (0.0, 0.0, 0.5, 0.5)  # of the first symbol; each next one lies a bit to the right


class MadeUp(Runner):
    """Sees the one card on dark pictures, the other on bright ones, after a nap."""

    def __init__(self, name, nap=0.0, act=None, shift=0):
        self.name = name
        self._nap = nap
        self._act = act
        self._shift = shift
        self._calls = 0

    def infer(self, batch):
        self._calls += 1
        if self._act is not None and self._calls > 10:  # after the check
            self._act()
        time.sleep(self._nap)
        card = CARDS[int(batch.mean() > 0)]
        scores, boxes = np.zeros((4, 8), np.float32), np.zeros((4, 4), np.float32)
        scores[:, 0] = 1.0
        for anchor, symbol in enumerate(card):
            scores[anchor] = 0.0
            scores[anchor, 1 + (symbol + self._shift) % 7] = 0.9
            boxes[anchor] = np.array(BOX, np.float32) + np.array([0.125, 0, 0.125, 0], np.float32) * anchor
        return scores, boxes


def install():
    def crash():
        os.kill(os.getpid(), signal.SIGKILL)

    def fail():
        raise ValueError("cuDNN failed to start")

    def missing(bundle, threads):
        raise RunnerError("missing", "there is no GPU here: buy a board")

    RUNNERS.clear()
    RUNNERS["slow"] = lambda bundle, threads: MadeUp("slow", 0.008)
    RUNNERS["fast"] = lambda bundle, threads: MadeUp("fast", 0.002)
    RUNNERS["wrong"] = lambda bundle, threads: MadeUp("wrong", shift=1)
    RUNNERS["crashing"] = lambda bundle, threads: MadeUp("crashing", act=crash)
    RUNNERS["failing"] = lambda bundle, threads: MadeUp("failing", act=fail)
    RUNNERS["hanging"] = lambda bundle, threads: MadeUp("hanging", act=lambda: time.sleep(600))
    RUNNERS["missing"] = missing
