"""A runtime that opens for minutes, and one that hangs."""

import threading
import time

import numpy as np
import pytest
from grey_server import GreyRunner, grey_table, jpeg

import jetson.runners
from jetson.board.monitor import Monitor
from jetson.errors import RunnerError
from jetson.live.runtime import RuntimeOrder, SharedRunner
from jetson.live.service import Service
from jetson.play.bundle import load_bundle

LIMIT = 300.0
BATCH = np.zeros((1, 3, 32, 32), np.float32)


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def gate(monkeypatch):
    """What the second runtime waits for when it opens; the first fails three runs after it was tried out."""
    event = threading.Event()

    def second(*_):
        assert event.wait(LIMIT)
        return GreyRunner("onnxruntime-cpu", 10**9)

    monkeypatch.setitem(jetson.runners.RUNNERS, "onnxruntime-cuda", lambda *_: GreyRunner("first", 4))
    monkeypatch.setitem(jetson.runners.RUNNERS, "onnxruntime-cpu", second)
    yield event
    event.set()


def test_a_fall_back_that_opens_for_long_does_not_count_as_hanging(
    gate, grey_bundle, draw_table, tmp_path, monkeypatch
):
    monkeypatch.setattr("jetson.live.service.HANG_SECONDS", 1.0)
    (tmp_path / "table.jpg").write_bytes(jpeg(grey_table(draw_table, 1, 5)))
    order = RuntimeOrder(["onnxruntime-cuda", "onnxruntime-cpu"], "for the test")
    service = Service(load_bundle(grey_bundle), order, str(tmp_path), 30.0, 1.0, 1, Monitor())
    try:
        wait_for(lambda: service.runner.failures == 1)
        assert service.camera.close()
        service.camera.heartbeat = float("inf")
        opened, played = time.monotonic(), service.player.count
        while time.monotonic() < opened + 3.0:  # three times as long as counts as hanging
            assert not service.hangs()
            time.sleep(0.05)
        gate.set()
        wait_for(lambda: service.player.heartbeat > service.runner.opened_at)
        # The frame that waited all the time is not played: something else may lie there by now.
        assert service.runner.name == "onnxruntime-cpu"
        assert service.player.count == played
    finally:
        gate.set()
        service.close()


def test_work_that_nobody_waits_for_any_more_is_dropped(gate, grey_bundle, monkeypatch):
    ran = []
    with SharedRunner(load_bundle(grey_bundle), ["onnxruntime-cuda", "onnxruntime-cpu"], "test") as runner:
        for _ in range(3):
            runner.infer(BATCH)
        runner.each(ran.append, [0])
        monkeypatch.setattr("jetson.live.runtime.ANSWER_SECONDS", 0.3)
        with pytest.raises(RunnerError, match="has not answered"):
            runner.infer(BATCH)  # opens the fall-back, and what follows waits behind it
        for number in (1, 2):
            with pytest.raises(RunnerError, match="has not answered"):
                runner.each(ran.append, [number])
        gate.set()
        monkeypatch.undo()
        wait_for(lambda: runner.name == "onnxruntime-cpu")
        runner.infer(BATCH)
    assert ran == [0]


def test_a_runtime_that_hangs_while_it_works_is_told(gate, grey_bundle, monkeypatch):
    monkeypatch.setattr("jetson.live.service.HANG_SECONDS", 0.5)
    release = threading.Event()
    calls = []

    class Hangs(GreyRunner):
        def infer(self, batch):
            calls.append(batch)
            if len(calls) == 3:  # tried out, the player's, and this one
                release.wait(LIMIT)
            return super().infer(batch)

    monkeypatch.setitem(jetson.runners.RUNNERS, "onnxruntime-cpu", lambda *_: Hangs("hangs", 10**9))
    service = Service(
        load_bundle(grey_bundle), RuntimeOrder(["onnxruntime-cpu"], "test"), "none", 30.0, 1.0, 1, Monitor()
    )
    try:
        wait_for(service.player.ready.is_set)
        threading.Thread(target=service.runner.infer, args=(BATCH,), daemon=True).start()
        wait_for(service.hangs)
    finally:
        release.set()
        service.close()
