"""Serves the live page and the HTTP API until it is told to stop."""

import argparse
import functools
import os
import re
import signal
import sys
import threading
from typing import Optional

from jetson import home, log
from jetson.board.monitor import Monitor
from jetson.errors import ServerError
from jetson.live.routes import Routes
from jetson.live.runtime import runtime_order
from jetson.live.server import Server
from jetson.live.service import Service
from jetson.live.state import measure
from jetson.live.systemd import is_watched, notify
from jetson.play.bundle import load_bundle
from jetson.turns import take_turn

SOURCES = (
    "0 or /dev/video0 (USB camera), csi or csi:1 (ribbon camera), a GStreamer pipeline, a video, a picture,"
    " a folder of pictures, or none, to answer POST /match only (0)"
)
LOCAL = ("127.0.0.1", "localhost", "::1")
VARIABLE = "DOBBLE_DEVICE_TOKEN"
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}$")
CURE = "python3 -c 'import secrets; print(secrets.token_urlsafe())' makes one"
TICK_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--source", default="0", help=SOURCES)
    parser.add_argument("--bundle", default=None, help="folder of the bundle (the one that was fetched last)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; any other needs a token")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, 0 for a free one (8000)")
    parser.add_argument("--token-file", default=None, help="file with the token (else {})".format(VARIABLE))
    parser.add_argument("--fps", type=float, default=30.0, help="asked of a camera, given by pictures (30)")
    parser.add_argument("--hold", type=float, default=6.0, help="seconds for which a picture is shown (6)")
    parser.add_argument("--viewers", type=int, default=6, help="how many may watch at a time (6)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if min(arguments.fps, arguments.hold, arguments.viewers) <= 0:
        raise ServerError("--fps, --hold, --viewers", "must be above 0")
    token = _token(arguments.token_file)
    if token is None and arguments.host not in LOCAL:
        problem = "lets others in, who need a token: set {} or --token-file ({})".format(VARIABLE, CURE)
        raise ServerError("--host " + arguments.host, problem)
    with take_turn(shared=True) as mine:
        if not mine:
            raise ServerError("serve", "a benchmark measures here: wait for it to end")
        return _serve(arguments, token, stop)


def _serve(arguments: argparse.Namespace, token: Optional[str], stop: threading.Event) -> int:
    bundle = load_bundle(arguments.bundle or home.bundle_folder())
    with Monitor() as monitor, _listen(arguments.host, arguments.port, token) as server:
        service = Service(
            bundle=bundle,
            order=runtime_order(bundle),
            source=arguments.source,
            fps=arguments.fps,
            hold=arguments.hold,
            viewers=arguments.viewers,
            monitor=monitor,
        )
        server.answer_with(functools.partial(Routes, service))
        threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True).start()
        log.write(sys.stdout, "serving http://{}:{}/".format(arguments.host, server.server_address[1]))
        _tick(service, stop)
        notify("STOPPING=1")
        server.shutdown()
        ended = service.close()
    log.close()
    if service.player.failure is not None and not stop.is_set():
        raise service.player.failure
    if not ended:  # a driver hangs, and its thread must not keep the process
        os._exit(0)
    return 0


def _tick(service: Service, stop: threading.Event) -> None:
    """Until the end, write down what the charts show and tell systemd that all is well.

    Where systemd does not end what hangs, this does: the restart policy of a container only sees the end.
    """
    waits = 0
    while not service.player.ready.wait(0.05):
        if stop.is_set():
            return
        waits += 1
        if waits % 100 == 0:
            notify("EXTEND_TIMEOUT_USEC=60000000")  # an engine is being built
    if service.player.failure is not None:
        return
    notify("READY=1")
    while not stop.wait(TICK_SECONDS):
        service.history.add(measure(service))
        if not service.hangs():
            notify("WATCHDOG=1")
        elif not is_watched():
            log.say("serve: a camera or a runtime hangs; this ends for whoever starts it again")
            log.close()
            os._exit(os.EX_SOFTWARE)


def _token(path: Optional[str]) -> Optional[str]:
    where, token = VARIABLE, os.environ.get(VARIABLE, "")
    if path is not None:
        where = path
        try:
            with open(path, encoding="ascii", errors="replace") as stream:
                token = stream.read()
        except OSError as error:
            raise ServerError(path, "cannot be read ({})".format(error.strerror)) from None
    token = token.strip()
    if not token and path is None:
        return None
    if not TOKEN.match(token):
        problem = "is no token of 16 or more of the characters A-Z a-z 0-9 _ -: {}".format(CURE)
        raise ServerError(where, problem)
    return token


def _listen(host: str, port: int, token: Optional[str]) -> Server:
    try:
        return Server((host, port), token)
    except (OSError, OverflowError) as error:
        where = "{}:{}".format(host, port)
        reason = getattr(error, "strerror", None) or error
        problem = "cannot be listened at ({}): choose another --port or --host".format(reason)
        raise ServerError(where, problem) from None
