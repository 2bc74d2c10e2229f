"""The server as its users see it: a process, asked over HTTP."""

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from grey_server import ROOT, Served, grey_table, jpeg

from jetson.bench.choice import Choice, write_choice
from jetson.play.bundle import load_bundle

MULTIPART = "multipart/form-data; boundary=XX"
TOKEN = "an-honest-token-for-the-tests"
PNG_HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 60000, 60000)


@pytest.fixture(scope="module")
def tables(draw_table):
    """JPEGs of two tables; the symbol on both cards is the dog on the first and the ghost on the second."""
    return [jpeg(grey_table(draw_table, *numbers)) for numbers in ((1, 5), (4, 2))]


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for number, table in enumerate(tables):
        (folder / "table{}.jpg".format(number)).write_bytes(table)
    return folder


@pytest.fixture(scope="module")
def served(folder, grey_bundle, tmp_path_factory):
    """A server without a token and without a benchmark, whose pictures change every second."""
    home = str(tmp_path_factory.mktemp("home"))
    arguments = ["--source", str(folder), "--bundle", grey_bundle, "--hold", "1", "--viewers", "2"]
    server = Served(arguments, DOBBLE_DEVICE_HOME=home)
    server.until(lambda state: state["match"])
    yield server
    code, seconds, said = server.stop()
    assert code == 0, said
    assert seconds < 30  # systemd would wait for 90
    assert "Traceback" not in said


def multipart(*pictures):
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n' + picture + b"\r\n"
        for picture in pictures
    ]
    return b"".join(parts) + b"--XX--\r\n"


def test_what_lies_under_the_camera_is_named(served):
    state = served.until(lambda state: state["match"]["symbol"] == "dog")
    assert state["problem"] is None
    assert state["runner"] == "onnxruntime-cpu"
    assert "not been benchmarked" in state["runner_reason"]
    assert len(state["cards"]) == 2
    assert state["match"]["probability"] > 0.9
    # A box from (0.1, 0.5) to (0.3, 0.7) of a crop of 1.3 x 400 pixels around (300, 360)
    assert state["match"]["boxes"][0] == pytest.approx([92, 360, 196, 464], abs=6)
    assert served.json("/healthz") == (200, {"healthy": True, "problem": None})


def test_each_new_pair_is_a_round_with_a_picture_of_its_symbol(served):
    state = served.until(lambda state: len(state["rounds"]) >= 3)
    rounds = state["rounds"]
    assert [played["number"] for played in rounds] == list(range(rounds[0]["number"], 0, -1))[: len(rounds)]
    assert {played["symbol"] for played in rounds} == {"dog", "ghost"}
    assert all(first["symbol"] != second["symbol"] for first, second in zip(rounds, rounds[1:]))  # noqa: B905, RUF007
    status, headers, content = served.ask("/rounds/{}.jpg".format(rounds[0]["number"]))
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (112, 224, 3)
    assert served.ask("/rounds/999999.jpg")[0] == 404


def test_a_picture_of_a_table_is_answered(served, tables):
    status, answer = served.json("/match", "POST", tables[1])
    assert status == 200
    assert (answer["symbol"], answer["no_answer"], answer["runner"]) == ("ghost", None, "onnxruntime-cpu")
    assert answer["probability"] > 0.9 > answer["runner_up_probability"]
    assert len(answer["boxes"]) == 2
    assert answer["cards"][0] == pytest.approx([100, 160, 500, 560], abs=6)


def test_boxes_on_a_large_picture_are_in_its_own_pixels(served, draw_table):
    large = cv2.resize(grey_table(draw_table, 1, 5), None, fx=3.2, fy=3.2)
    answer = served.json("/match", "POST", jpeg(large))[1]
    assert answer["symbol"] == "dog"
    assert answer["cards"][0] == pytest.approx([320, 512, 1600, 1792], abs=20)
    assert answer["boxes"][0] == pytest.approx([294, 1152, 627, 1485], abs=20)


def test_two_pictures_of_a_card_each_are_answered(served, draw_table):
    cards = [jpeg(grey_table(draw_table, number)) for number in (1, 5)]
    status, answer = served.json("/match", "POST", multipart(*cards), Content_Type=MULTIPART)
    assert (status, answer["symbol"]) == (200, "dog")
    assert "cards" not in answer


@pytest.mark.parametrize(
    ("numbers", "reason"), [((), "no card found"), ((3,), "one card only found"), ((3, 3), "same card")]
)
def test_no_answer_comes_with_its_reason(served, draw_table, numbers, reason):
    status, answer = served.json("/match", "POST", jpeg(grey_table(draw_table, *numbers)))
    assert status == 200
    assert answer["symbol"] is None
    assert reason in answer["no_answer"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("GET", "/../../etc/passwd", None, {}, 404),
        ("GET", "/match", None, {}, 405),
        ("POST", "/healthz", b"x", {}, 405),
        ("DELETE", "/match", None, {}, 501),
        ("POST", "/match", b"no picture", {}, 415),
        ("POST", "/match", b"\xff\xd8\xff\xc0\x00", {}, 415),
        ("POST", "/match", PNG_HEAD, {}, 413),
        ("POST", "/match", PNG_HEAD[:16] + struct.pack(">II", 40, 40), {}, 415),
        ("POST", "/match", b"", {}, 400),
        ("POST", "/match", b"x", {"Content_Length": "-1"}, 411),
        ("POST", "/match", b"x", {"Content_Length": "9" * 30}, 413),
        ("POST", "/match", b"x", {"Content_Length": str(1 << 30)}, 413),
        ("POST", "/match", b"x", {"Transfer_Encoding": "chunked"}, 411),
        ("POST", "/match", multipart(), {"Content_Type": MULTIPART}, 400),
        ("POST", "/match", multipart(b"", b"", b""), {"Content_Type": MULTIPART}, 400),
        ("POST", "/match", multipart(b"x"), {"Content_Type": "multipart/form-data"}, 400),
        ("GET", "/", None, {"Host": "attacker.example:8000"}, 403),
    ],
)
def test_what_cannot_be_answered_is_refused_in_json(served, method, path, body, headers, status):
    answer = served.json(path, method, body, **headers)
    assert answer[0] == status, answer
    assert set(answer[1]) == {"error"}
    assert answer[1]["error"]


def test_a_malformed_head_is_refused_in_json(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=120) as connection:
        connection.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2].decode())["error"]


def test_the_page_and_its_parts_come_with_their_types_and_need_nothing_from_elsewhere(served):
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript")):
        status, headers, content = served.ask(path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert b"https://" not in content
        status, headers, nothing = served.ask(path, "HEAD")
        assert (status, headers["Content-Length"], nothing) == (200, str(len(content)), b"")


def test_frame_jpg_shows_the_answer_above_the_picture(served):
    status, headers, content = served.ask("/frame.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (594, 960, 3)  # 720 + 72 rows, scaled


@pytest.mark.parametrize("path", ["/stream.mjpg", "/camera.mjpg"])
def test_viewers_see_moving_pictures_and_one_too_many_is_told_so(served, path):
    viewers = []
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
        connection.request("GET", path)
        viewers.append((connection, connection.getresponse()))
    status, headers, content = served.ask(path)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert "2 viewers" in json.loads(content.decode())["error"]
    for _, answer in viewers:
        assert answer.status == 200
        pictures = {read_part(answer) for _ in range(40)}
        assert len(pictures) >= 2  # the folder's two tables
        assert all(picture.startswith(b"\xff\xd8") for picture in pictures)
    for connection, answer in viewers:
        answer.close()
        connection.close()
    wait_for(lambda: b"dobble_viewers 0" in served.ask("/metrics")[2])


def read_part(stream):
    size = 0
    for line in iter(stream.readline, b""):
        if line.startswith(b"Content-Length"):
            size = int(line.split()[1])
        if line == b"\r\n" and size:
            return stream.read(size)
    raise AssertionError("the stream has ended")


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_events_begin_with_the_history_and_follow_the_state(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type").startswith("text/event-stream")
    lines = [answer.readline().strip() for _ in range(8)]
    answer.close()
    connection.close()
    assert lines[0] == b"event: history"
    assert all(len(row) == 4 for row in json.loads(lines[1][len(b"data: ") :].decode()))
    states = [json.loads(line[len(b"data: ") :].decode()) for line in lines[3::2]]
    assert states[0]["frame"]["number"] < states[-1]["frame"]["number"]


def test_metrics_are_prometheus_s_text(served):
    for _ in range(6):
        served.until(lambda state: state["frame"]["number"] > 5)
    status, headers, content = served.ask("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4")
    rows = [line for line in content.decode().splitlines() if not line.startswith("#")]
    numbers = {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows)}
    assert numbers["dobble_healthy"] == 1
    assert numbers["dobble_frames_played_total"] > 5
    assert numbers["dobble_frames_per_second"] > 0
    assert 0 < numbers["dobble_latency_seconds"] < 60
    assert numbers['dobble_requests_total{status="200"}'] > 5
    assert numbers['dobble_runtime{name="onnxruntime-cpu"}'] == 1


def test_a_refusal_reaches_a_client_that_is_still_sending(served):
    status, answer = served.json("/match", "POST", b"x" * (17 << 20))
    assert status == 413
    assert "at most 16 MiB" in answer["error"]


@pytest.fixture
def notified(tmp_path):
    """A socket in systemd's place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(120)
        yield channel


def test_a_service_with_a_token_outlives_runtimes_and_camera_and_ends_when_told(
    grey_bundle, tables, tmp_path, notified
):
    order = ["tensorrt-fp16", "onnxruntime-cuda", "onnxruntime-cpu"]
    sha256 = load_bundle(grey_bundle).model_sha256
    choice = Choice(order[0], order, "fastest", "", sha256, "", {}, False, [])
    write_choice(str(tmp_path / "choice.json"), choice)
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "table.jpg").write_bytes(tables[0])
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    arguments = ["--source", str(folder), "--bundle", grey_bundle, "--hold", "0.3", "--host", "0.0.0.0"]
    served = Served(
        arguments + ["--token-file", str(secret)],
        DOBBLE_DEVICE_HOME=str(tmp_path),
        NOTIFY_SOCKET=str(tmp_path / "notify"),
    )
    try:
        # Who does not know the token sees nothing but whether the service is healthy.
        assert served.json("/state.json")[0] == 401
        assert served.json("/state.json", Authorization="Bearer " + TOKEN[:-1])[0] == 401
        assert served.json("/match", "POST", tables[0])[0] == 401
        assert served.ask("/healthz")[0] in (200, 503)
        status, headers, _ = served.ask("/?token=" + TOKEN)
        assert (status, headers["Location"]) == (303, "/")
        assert "HttpOnly" in headers["Set-Cookie"]
        known = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
        assert served.ask("/", **known)[0] == 200
        assert served.ask("/state.json?token=" + TOKEN)[0] == 200

        # tensorrt-fp16 is not here, onnxruntime-cuda breaks after five runs, and the answers go on.
        state = served.until(lambda state: state["runner"] == "onnxruntime-cpu", **known)
        assert "out of memory" in state["runner_reason"]
        assert served.until(lambda state: state["match"], **known)["match"]["symbol"] == "dog"
        assert b"dobble_runtime_failures_total 2" in served.ask("/metrics", **known)[2]
        assert notified.recv(100) == b"READY=1"
        assert notified.recv(100) == b"WATCHDOG=1"

        # The camera is unplugged and plugged in again.
        (folder / "table.jpg").rename(tmp_path / "table.jpg")
        health = served.until(lambda values: not values["healthy"], "/healthz")
        assert served.ask("/healthz")[0] == 503
        assert "tables" in health["problem"]
        assert served.json("/match", "POST", tables[1], **known)[1]["symbol"] == "ghost"
        (tmp_path / "table.jpg").rename(folder / "table.jpg")
        served.until(lambda values: values["healthy"], "/healthz")
        assert served.until(lambda state: state["match"], **known)["match"]["symbol"] == "dog"
    finally:
        code, seconds, said = served.stop()
    assert code == 0, said
    assert seconds < 30  # systemd would wait for 90
    assert TOKEN not in said
    assert "tensorrt-fp16" in said
    assert "onnxruntime-cuda: out of memory" in said
    assert "Traceback" not in said


def refused(bundle, folder, arguments, **environment):
    """Return the lines that a server says before it gives up; the last one is an error."""
    done = subprocess.run(
        [sys.executable, "-m", "jetson", "serve", "--bundle", bundle, "--source", "none"] + arguments,
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=ROOT, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    return lines


@pytest.mark.parametrize(
    ("arguments", "token", "problem"),
    [
        (["--host", "0.0.0.0"], "", "--host 0.0.0.0: lets others in, who need a token"),
        (["--host", "0.0.0.0"], "short", "DOBBLE_DEVICE_TOKEN: is no token of 16"),
        (["--token-file", "missing"], "", "missing: cannot be read"),
        (["--viewers", "0"], "", "must be above 0"),
        (["--port", "70000"], "", "127.0.0.1:70000: cannot be listened at"),
        (["--bundle", "missing"], "", "does not exist: name the folder of an exported bundle"),
    ],
)
def test_what_cannot_be_served_is_one_line(grey_bundle, tmp_path, arguments, token, problem):
    said = refused(grey_bundle, tmp_path, arguments, DOBBLE_DEVICE_TOKEN=token)
    assert len(said) == 1
    assert problem in said[0]


def test_without_a_runtime_that_takes_the_model_there_is_no_service(grey_bundle, tmp_path):
    said = refused(grey_bundle, tmp_path, ["--port", "0"], DOBBLE_DEVICE_HOME=str(tmp_path))
    assert "ONNX Runtime" in said[-1]
