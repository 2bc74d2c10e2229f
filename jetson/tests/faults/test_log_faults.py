"""A log that is full or gone, and threads that meet what nobody had foreseen."""

import os
import time

import numpy as np
import pytest
from grey_server import Served, grey_table, jpeg

from jetson.live.camera import Camera
from jetson.live.player import Player
from jetson.live.stream import Stream
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector
from jetson.play.frames import open_source
from jetson.runners.runner import Runner

LIMIT = 120.0


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path, draw_table):
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "table.jpg").write_bytes(jpeg(grey_table(draw_table, 1, 5)))
    return tables


def full_disk():
    return open("/dev/full", "w")


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize("log", [full_disk, closed_pipe])
def test_a_camera_comes_back_though_nothing_can_be_logged(log, grey_bundle, folder, tmp_path):
    with log() as stream:
        served = Served(["--source", str(folder), "--bundle", grey_bundle, "--hold", "0.1"], log=stream)
    try:
        served.until(lambda state: state["match"])
        for _ in range(2):
            (folder / "table.jpg").rename(tmp_path / "table.jpg")
            served.until(lambda values: not values["healthy"], "/healthz")
            (tmp_path / "table.jpg").rename(folder / "table.jpg")
            served.until(lambda values: values["healthy"], "/healthz")
        assert served.ask("/frame.jpg")[0] == 200
    finally:
        code, _, _ = served.stop()
    assert code == 0


class Moody(Runner):
    """Fails now and then, in ways that no runtime of ours announces."""

    name = "moody"

    def __init__(self, errors):
        self.errors = list(errors)

    def infer(self, batch):
        if self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error
        return np.full((4, 8), 0.125, np.float32), np.zeros((4, 4), np.float32)


@pytest.mark.parametrize("first", [None, MemoryError()], ids=["while it plays", "at its start"])
def test_the_player_goes_on_after_any_error(first, grey_bundle, folder, monkeypatch, capfd):
    monkeypatch.setattr("jetson.live.player.PAUSE_SECONDS", 0.05)
    runner = Moody([first, ValueError("shapes differ"), ValueError("shapes differ"), OSError(28, "full")])
    camera = Camera("folder", lambda: open_source(str(folder)))
    player = Player(camera, Detector(load_bundle(grey_bundle), runner))
    try:
        wait_for(lambda: player.count > 2)
        assert (player.failure, player.problem) == (None, None)
        assert player.errors == (3 if first is None else 4)
    finally:
        assert player.close()
        assert camera.close()
    said = capfd.readouterr().err
    assert said.count("player: ValueError (shapes differ)") == 1  # once, not at every frame
    assert "Traceback" in said


def test_a_stream_goes_on_after_a_picture_that_cannot_be_encoded(monkeypatch, capfd):
    monkeypatch.setattr("jetson.live.stream.PAUSE_SECONDS", 0.05)

    def fetch(number, timeout):
        shape = (0, 0, 3) if number < 2 else (72, 128, 3)
        return number + 1, np.zeros(shape, np.uint8)

    viewer = Stream(fetch, fps=50, width=64).watch()
    assert next(viewer).startswith(b"\xff\xd8")
    viewer.close()
    assert "stream: " in capfd.readouterr().err
