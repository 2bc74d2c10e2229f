"""A disk that is full when the server starts."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from grey_server import ROOT

from jetson.runners import engine

LIMIT = 300.0


def test_a_server_starts_though_nothing_can_be_written(grey_bundle):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, os.path.join(ROOT, "jetson", "tests", "grey_server.py"), "serve"]
    command += ["--source", "none", "--bundle", grey_bundle, "--port", str(port)]
    # No folder can be made in a device file, and no byte written to this one.
    environment = dict(os.environ, PYTHONPATH=ROOT, DOBBLE_DEVICE_HOME="/dev/full/home", TMPDIR="/dev/full")
    with open("/dev/full", "w") as full:
        server = subprocess.Popen(command, env=environment, stdout=full, stderr=full)
    try:
        assert healthy(server, "http://127.0.0.1:{}/healthz".format(port)) == {
            "healthy": True,
            "problem": None,
        }
    finally:
        server.terminate()
        code = server.wait(LIMIT)
    assert code == 0


def healthy(server, address):
    end = time.monotonic() + LIMIT
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return json.loads(answer.read().decode())
        except urllib.error.URLError:
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)


def test_an_engine_that_finds_no_room_says_so_with_the_cure(tmp_path, monkeypatch, capsys):
    (tmp_path / "model.onnx").write_bytes(b"a network")
    monkeypatch.setattr(engine, "import_tensorrt", lambda: None)
    monkeypatch.setattr(engine, "build_plan", lambda *_: bytes(100000))
    arguments = [
        "engine",
        "--model",
        str(tmp_path / "model.onnx"),
        "--precision",
        "fp32",
        "--out",
        "/dev/full",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    assert engine.main() == 1
    told = "the engine cannot be kept: the disk of /dev is full: make room there (sudo apt-get clean)"
    assert capsys.readouterr().err == "error: {}\n".format(told)
