"""Clients that are slow, silent, many or not known, beside one who asks whether the service is healthy."""

import socket
import threading
import time

import pytest
from grey_server import Served, grey_table, jpeg

TOKEN = "an-honest-token-for-the-tests"
BODY = b"POST /match HTTP/1.1\r\nContent-Length: 9999999\r\n"
MANY = 150  # slow clients: more than there are threads
SILENT = 450  # more than may wait


@pytest.fixture(scope="module")
def served(grey_bundle):
    server = Served(["--source", "none", "--bundle", grey_bundle], DOBBLE_DEVICE_TOKEN=TOKEN)
    server.until(lambda values: values["healthy"], "/healthz")
    yield server
    code, _, said = server.stop()
    assert code == 0, said
    assert "Traceback" not in said


@pytest.fixture
def slow(served):
    """Let many clients begin a request, send a byte now and then, and come again when they are cut off."""
    over, threads = threading.Event(), []

    def start(begin):
        def client():
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
                        connection.sendall(begin)
                        while not over.wait(0.2):
                            connection.sendall(b"x")
                except OSError:
                    continue

        for _ in range(MANY):
            threads.append(threading.Thread(target=client, daemon=True))
            threads[-1].start()
        time.sleep(1)  # all of them are there

    yield start
    over.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /healthz HTTP/1.1\r\nX: ",
        BODY + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n",
        BODY + b"\r\n",
    ],
    ids=["heads", "bodies", "bodies without a token"],
)
def test_health_is_answered_whatever_slow_clients_hold(served, slow, begin):
    slow(begin)
    for _ in range(20):
        assert served.json("/healthz") == (200, {"healthy": True, "problem": None})


def test_who_does_not_know_the_token_takes_no_place_of_those_who_do(served, slow):
    slow(BODY + b"\r\n")
    for _ in range(20):
        assert served.ask("/state.json", Authorization="Bearer " + TOKEN)[0] == 200


def test_of_silent_clients_the_oldest_makes_way(served):
    silent = []
    try:
        while len(silent) < SILENT:
            silent.append(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        assert served.json("/healthz")[0] == 200
        assert silent[0].recv(100).startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 408 "))
    finally:
        for connection in silent:
            connection.close()


def test_a_head_may_come_in_pieces_and_may_not_be_endless(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        for piece in (b"GET /healthz HT", b"TP/1.1\r\nHost: localhost\r", b"\n\r", b"\n"):
            connection.sendall(piece)
            time.sleep(0.05)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 70000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("path", "takes", "most"),  # bytes; without a bound they are millions of pictures and 40,000 of states
    [("/camera.mjpg", 1 << 16, 600000), ("/events", 1 << 11, 20000)],
)
def test_a_viewer_who_stalls_sees_nothing_old_afterwards(
    path, takes, most, grey_bundle, draw_table, tmp_path
):
    (tmp_path / "table.jpg").write_bytes(jpeg(grey_table(draw_table, 1, 5)))
    served = Served(["--source", str(tmp_path), "--bundle", grey_bundle])
    try:
        served.until(lambda state: state["match"])
        with socket.socket() as viewer:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
            viewer.settimeout(60)
            viewer.connect(("127.0.0.1", served.port))
            viewer.sendall("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n".format(path).encode())
            time.sleep(6)  # 24 pictures or 10 states a second, or what the machine can do
            viewer.setblocking(False)
            waiting = 0
            try:
                while waiting < 8 << 20:
                    waiting += len(viewer.recv(1 << 20)) or 8 << 20
            except BlockingIOError:
                pass
        assert 0 < waiting < most
    finally:
        served.stop()
