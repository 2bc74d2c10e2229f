"""Turns what a device is and has into a list of findings, each with the command that mends it.

Every library is tried in a process of its own: one that crashes when it is imported is then a finding too.
Nothing here imports numpy, which is the first that may.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from typing import Any, List, NamedTuple, Optional, Tuple

from jetson import home
from jetson.board import Board
from jetson.bundle import load_bundle
from jetson.children import child_environment
from jetson.choice import read_choice
from jetson.errors import JetsonError
from jetson.sensors import Sensors

OK, ABSENT, WARN, FAIL = "ok", "absent", "warn", "fail"
SIGNS = {OK: "ok  ", ABSENT: " -  ", WARN: "warn", FAIL: "FAIL"}
PATIENCE = 60  # seconds for a library to be imported on a loaded board
LOW_DISK_MB = 1024
SMALL_MB = 6144  # memory below which engines are built with the help of swap
SWAP_MB = 3072
OLDEST_NUMPY = (1, 16, 6)  # that ONNX Runtime takes
TRAP = "numpy 1.19.5 does this on a Nano: export OPENBLAS_CORETYPE=ARMV8"


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        name: what was looked at.
        state: "ok", "absent" (and need not be there), "warn" (plays, but worse) or "fail" (cannot play).
        found: what was seen.
        cure: the command or step that mends it, or None.
    """

    name: str
    state: str
    found: str
    cure: Optional[str] = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; the exit code is 1 if this device cannot serve."""
    findings = examine()
    able = all(finding.state != FAIL for finding in findings)
    if arguments.json:
        report = {"can_serve": able, "findings": [dict(finding._asdict()) for finding in findings]}
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return 0 if able else 1
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sys.stdout.write("{} {:<{}} {}\n".format(SIGNS[finding.state], finding.name, width, finding.found))
        if finding.cure is not None:
            sys.stdout.write("     {:<{}} -> {}\n".format("", width, finding.cure))
    verdict = "This device can serve: python3 -m jetson serve" if able else "This device cannot serve yet."
    sys.stdout.write("\n{}\n".format(verdict))
    return 0 if able else 1


def examine(root: str = "/") -> List[Finding]:
    """Look at everything that playing needs; `root` stands before the system's paths."""
    board = Board(root)
    is_jetson = board.l4t is not None
    findings = [_board(board), _jetpack(board), _python()]
    findings += [
        _numpy(),
        _opencv(is_jetson),
        _onnxruntime(is_jetson),
        _tensorrt(is_jetson),
        _cuda(is_jetson),
    ]
    findings += _runtimes()
    findings += [_jtop(board, is_jetson), _power(root, is_jetson), _power_mode(root), _clocks(board)]
    findings += [_cameras(board), _memory(board, is_jetson), _disk()]
    return findings + _bundle_and_choice()


def try_code(code: str) -> Tuple[bool, str]:
    """Run code in a process of its own; return whether it ended well, and what it said or why not."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", code],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, "does not come back within {} s".format(PATIENCE)
    if done.returncode == 0:
        return True, done.stdout.strip()
    if done.returncode < 0:
        return False, "crashes when imported ({})".format(signal.Signals(-done.returncode).name)
    last = (done.stderr.strip().splitlines() or ["exit code {}".format(done.returncode)])[-1]
    return False, "not installed" if last.startswith("ModuleNotFoundError") else last


def _board(board: Board) -> Finding:
    if board.model is not None:
        return Finding("board", OK, board.model)
    return Finding("board", ABSENT, "not a Jetson: {}".format(board.processor))


def _jetpack(board: Board) -> Finding:
    if board.l4t is None:
        return Finding("JetPack", ABSENT, "none")
    if board.jetpack is None:
        return Finding("JetPack", WARN, "L4T {}, not known here".format(board.l4t), "apt list nvidia-jetpack")
    return Finding("JetPack", OK, "{} (L4T {})".format(board.jetpack, board.l4t))


def _python() -> Finding:
    return Finding("Python", OK, "{}.{}.{}".format(*sys.version_info[:3]))


def _numpy() -> Finding:
    works, said = try_code("import numpy; print(numpy.__version__)")
    if not works:
        crashed = "SIGILL" in said
        cure = TRAP if crashed else "python3 -m pip install numpy (on a Nano numpy==1.19.5)"
        return Finding("numpy", FAIL, said, cure)
    if _version(said) < OLDEST_NUMPY:
        cure = "python3 -m pip install numpy==1.19.5"
        return Finding("numpy", WARN, "{}, too old for ONNX Runtime".format(said), cure)
    return Finding("numpy", OK, said)


def _opencv(is_jetson: bool) -> Finding:
    code = "import cv2; print(cv2.__version__); print(cv2.getBuildInformation())"
    works, said = try_code(code)
    if not works:
        cure = (
            "sudo apt-get install python3-opencv (elsewhere: python3 -m pip install opencv-python-headless)"
        )
        return Finding("OpenCV", FAIL, said, cure)
    lines = said.splitlines()
    gstreamer = any("GStreamer" in line and "YES" in line for line in lines)
    found = "{} {} GStreamer".format(lines[0], "with" if gstreamer else "without")
    if is_jetson and not gstreamer:
        cure = (
            "CSI cameras need it: python3 -m pip uninstall opencv-python; sudo apt-get install python3-opencv"
        )
        return Finding("OpenCV", WARN, found, cure)
    return Finding("OpenCV", OK, found)


def _onnxruntime(is_jetson: bool) -> Finding:
    code = "import onnxruntime as o; print(o.__version__, *o.get_available_providers())"
    works, said = try_code(code)
    cure = "install the onnxruntime-gpu wheel of this JetPack (README, On the Nano)"
    if not works:
        return Finding(
            "ONNX Runtime", WARN, said, cure if is_jetson else "python3 -m pip install onnxruntime"
        )
    version, providers = said.split()[0], [name.replace("ExecutionProvider", "") for name in said.split()[1:]]
    found = "{} on {}".format(version, ", ".join(providers))
    if is_jetson and "CUDA" not in providers:
        return Finding("ONNX Runtime", WARN, found + ", not on the GPU", cure)
    return Finding("ONNX Runtime", OK, found)


def _tensorrt(is_jetson: bool) -> Finding:
    works, said = try_code("import tensorrt; print(tensorrt.__version__)")
    if works:
        return Finding("TensorRT", OK, said)
    if is_jetson:
        return Finding("TensorRT", WARN, said, "sudo apt-get install tensorrt python3-libnvinfer")
    return Finding("TensorRT", ABSENT, said)


def _cuda(is_jetson: bool) -> Finding:
    code = (
        "from jetson.runners.cuda import Cuda; cuda = Cuda(); cuda.device_count(); "
        "print(cuda.version(), cuda.capability())"
    )
    works, said = try_code(code)
    if works:
        return Finding("CUDA", OK, "{}, compute capability {}".format(*said.split()))
    problem = said.split("CudaError: ")[-1]
    if is_jetson:
        return Finding("CUDA", WARN, problem, "sudo apt-get install nvidia-cuda (or nvidia-jetpack)")
    return Finding("CUDA", ABSENT, problem)


def _runtimes() -> List[Finding]:
    code = (
        "import json; from jetson.runners import RUNNERS, unavailable; "
        "print(json.dumps([[name, unavailable(name)] for name in RUNNERS]))"
    )
    works, said = try_code(code)
    if not works:
        return [Finding("runtimes", FAIL, said, "mend what is marked above")]
    runners = json.loads(said.splitlines()[-1])
    findings = [
        Finding(name, OK, "can run") if reason is None else Finding(name, ABSENT, reason)
        for name, reason in runners
    ]
    if all(finding.state != OK for finding in findings):
        findings.append(Finding("runtimes", FAIL, "none", "install ONNX Runtime or TensorRT"))
    return findings


def _jtop(board: Board, is_jetson: bool) -> Finding:
    works, said = try_code("import jtop; print(jtop.__version__)")
    if not works:
        cure = "sudo -H python3 -m pip install jetson-stats, then reboot"
        return Finding("jtop", WARN if is_jetson else ABSENT, said, cure if is_jetson else None)
    if board.jtop_socket is None:
        found = "{}, its service does not run".format(said)
        cure = "sudo systemctl restart jtop"
        return Finding("jtop", WARN if is_jetson else ABSENT, found, cure if is_jetson else None)
    if not os.access(board.jtop_socket, os.R_OK | os.W_OK):
        cure = "sudo usermod -aG jtop $USER, then log in again"
        return Finding("jtop", WARN, "{}, its service is not open to this user".format(said), cure)
    return Finding("jtop", OK, "{}, its service runs".format(said))


def _power(root: str, is_jetson: bool) -> Finding:
    power = Sensors(root).power()
    if power is not None:
        return Finding("power sensor", OK, "{:.1f} W now".format(power / 1000.0))
    found = "no INA3221 that this user can read"
    if is_jetson:
        return Finding(
            "power sensor", WARN, found, "jtop reads it for us; an AGX board has no rail of the whole"
        )
    return Finding("power sensor", ABSENT, found)


def _power_mode(root: str) -> Finding:
    mode = Sensors(root).read().nvpmodel
    if mode is None:
        return Finding("power mode", ABSENT, "no nvpmodel")
    if mode.upper().startswith("MAXN"):
        return Finding("power mode", OK, mode)
    return Finding("power mode", WARN, "{}: not the fastest".format(mode), "sudo nvpmodel -m 0")


def _clocks(board: Board) -> Finding:
    if board.clocks_held is None:
        return Finding("jetson_clocks", ABSENT, "no GPU clock to hold")
    if board.clocks_held:
        return Finding("jetson_clocks", OK, "on")
    return Finding("jetson_clocks", WARN, "off: times will vary", "sudo jetson_clocks")


def _cameras(board: Board) -> Finding:
    if not board.cameras:
        return Finding("cameras", ABSENT, "none; pictures, folders and videos can be played")
    found = ", ".join("{} ({})".format(camera.path, camera.name) for camera in board.cameras)
    if not any(camera.allowed for camera in board.cameras):
        cure = "sudo usermod -aG video $USER, then log in again"
        return Finding("cameras", WARN, "{}, not open to this user".format(found), cure)
    return Finding("cameras", OK, found)


def _memory(board: Board, is_jetson: bool) -> Finding:
    memory = board.memory
    if memory is None:
        return Finding("memory", WARN, "unknown")
    found = "{} MiB, {} available; {} MiB of swap on disk".format(*memory)
    if is_jetson and memory.total_mb < SMALL_MB and memory.swap_mb < SWAP_MB:
        cure = (
            "engines may not build: sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && "
            "sudo mkswap /swapfile && sudo swapon /swapfile"
        )
        return Finding("memory", WARN, found, cure)
    return Finding("memory", OK, found)


def _disk() -> Finding:
    folder = os.path.abspath(home.home())
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize >> 20
    found = "{} MiB free for {}".format(free, home.home())
    if free < LOW_DISK_MB:
        return Finding("disk", WARN, found, "sudo apt-get clean, or point {} elsewhere".format(home.VARIABLE))
    return Finding("disk", OK, found)


def _bundle_and_choice() -> List[Finding]:
    try:
        bundle = load_bundle(home.bundle_folder())
    except JetsonError as error:
        cure = "python3 -m jetson fetch SERVER (an MLflow server, a bundle's folder or an archive)"
        return [Finding("bundle", FAIL, str(error), cure)]
    found = "{} symbols, model {}".format(len(bundle.labels), bundle.model_sha256[:12])
    findings = [Finding("bundle", OK, found)]
    choice, reason = read_choice(home.choice_file(), bundle)
    if choice is None:
        return findings + [Finding("choice", WARN, reason, "python3 -m jetson benchmark")]
    return findings + [Finding("choice", OK, "{}: {}".format(choice.winner, reason))]


def _version(text: str) -> Tuple[int, ...]:
    parts: List[Any] = text.split(".")[:3]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
