"""Runs `python3 -m jetson` with a network that knows a card by the grey in its middle; and talks to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np

import jetson.runners
from jetson.__main__ import main
from jetson.runners.runner import Runner

FANO = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))
LEFT, RIGHT = (300, 360), (960, 360)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class GreyRunner(Runner):
    """Sees the symbols of card n on paper with grey 20 + 30 n in the middle, and fails after so many runs."""

    def __init__(self, name, runs):
        self.name = name
        self.runs = runs

    def infer(self, batch):
        self.runs -= 1
        if self.runs < 0:
            raise RuntimeError("out of memory")
        middle = batch.shape[2] // 2
        grey = 127.5 + 127.5 * batch[0, :, middle - 1 : middle + 1, middle - 1 : middle + 1].mean()
        scores = np.full((4, 8), 0.001, np.float32)
        scores[:, 0] = 0.99
        corners = np.array([[0.3, 0.1], [0.1, 0.5], [0.6, 0.6], [0.4, 0.4]], np.float32)
        boxes = np.hstack([corners, corners + np.float32(0.2)])
        number, out = round((grey - 20) / 30), round(0.28 * batch.shape[2])
        paper = batch[0, :, [out, out, -out, -out], [out, -out, out, -out]].min() > 0.5
        if paper and 0 <= number < len(FANO) and abs(grey - 20 - 30 * number) < 10:
            for row, symbol in enumerate(FANO[number]):
                scores[row, 0], scores[row, 1 + symbol] = 0.01, 0.95
        return scores, boxes


def grey_table(draw_table, *numbers):
    """Return a table with up to two cards."""
    places = (LEFT, RIGHT)[: len(numbers)]
    picture = draw_table([(x, y, 400, 400, 0) for x, y in places])
    for (x, y), number in zip(places, numbers):  # noqa: B905
        cv2.circle(picture, (x, y), 80, (20 + 30 * number,) * 3, -1)
    return picture


def jpeg(picture):
    """Return the bytes of a picture that a client would send."""
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Served:
    """A server in a process of its own."""

    def __init__(self, arguments, log=subprocess.STDOUT, **variables):
        command = [sys.executable, "-u", os.path.abspath(__file__), "serve", "--port", "0"]
        environment = dict(os.environ, PYTHONPATH=ROOT, **variables)
        self.process = subprocess.Popen(
            command + arguments,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,  # what was not read as a line is left for `communicate`
        )
        self.said = ""
        for line in iter(lambda: self.process.stdout.readline().decode(), ""):
            self.said += line
            if line.startswith("serving http://"):
                break
        else:
            raise AssertionError("the server has ended")
        self.port = int(line.strip().rstrip("/").rpartition(":")[2])
        self.address = "http://127.0.0.1:{}/".format(self.port)

    def ask(self, path, method="GET", body=None, **headers):
        """Return the status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def json(self, path, method="GET", body=None, **headers):
        """Return the status of an answer and what its JSON holds."""
        status, _, content = self.ask(path, method, body, **headers)
        return status, json.loads(content.decode("utf-8"))

    def until(self, condition, path="/state.json", seconds=300, **headers):
        """Ask for JSON again and again until it meets a condition."""
        end = time.monotonic() + seconds
        while True:
            values = self.json(path, **headers)[1]
            if condition(values):
                return values
            assert time.monotonic() < end, values
            time.sleep(0.05)

    def stop(self):
        """End the server as systemd does; return its exit code, the seconds it took and all that it said."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            said, _ = self.process.communicate(timeout=120)
        finally:
            self.process.kill()
        return self.process.returncode, time.monotonic() - begun, self.said + said.decode()


if __name__ == "__main__":
    for runtime, runs in (("onnxruntime-cuda", 5), ("onnxruntime-cpu", 10**9)):
        jetson.runners.RUNNERS[runtime] = lambda *_, made=(runtime, runs): GreyRunner(*made)
    sys.exit(main())
