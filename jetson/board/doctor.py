"""Turns what a device is and has into a list of findings, each with the command that mends it.

Every library is tried in a process of its own: one that crashes when it is imported is then a finding too.
Nothing here imports numpy, which is the first that may.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from typing import Any, List, Tuple

from jetson import home
from jetson.bench.choice import read_choice
from jetson.board import cures, hardware
from jetson.board.board import Board
from jetson.board.hardware import ABSENT, FAIL, OK, WARN, Finding
from jetson.children import child_environment
from jetson.errors import JetsonError
from jetson.play.bundle import load_bundle

SIGNS = {OK: "ok  ", ABSENT: " -  ", WARN: "warn", FAIL: "FAIL"}
PATIENCE = 60  # seconds for a library to be imported on a loaded board
OLDEST_NUMPY = (1, 16, 6)  # that ONNX Runtime takes
TRAP = "numpy 1.19.5 does this on a Nano: export OPENBLAS_CORETYPE=ARMV8"


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
    serve = "sudo systemctl restart dobble" if cures.installed() else cures.verb("serve")
    verdict = "This device can serve: " + serve if able else "This device cannot serve yet."
    sys.stdout.write("\n{}\n".format(verdict))
    return 0 if able else 1


def examine(root: str = "/") -> List[Finding]:
    """Look at everything that playing needs; `root` stands before the system's paths."""
    board = Board(root)
    is_jetson = board.l4t is not None
    findings = [hardware.board(board), hardware.jetpack(board), _python()]
    findings += [
        _numpy(),
        _opencv(is_jetson),
        _onnxruntime(is_jetson),
        _tensorrt(is_jetson),
        _cuda(is_jetson),
    ]
    findings += _together() + _runtimes()
    findings += [
        _jtop(board, is_jetson),
        hardware.power(root, is_jetson),
        hardware.power_mode(root),
        hardware.clocks(board),
    ]
    findings += [hardware.cameras(board), hardware.memory(board, is_jetson), hardware.disk()]
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


def _python() -> Finding:
    return Finding("Python", OK, "{}.{}.{}".format(*sys.version_info[:3]))


def _numpy() -> Finding:
    works, said = try_code("import numpy; print(numpy.__version__)")
    if not works:
        crashed = "SIGILL" in said
        cure = TRAP if crashed else cures.pip("install numpy (on a Nano numpy==1.19.5)")
        return Finding("numpy", FAIL, said, cure)
    if _version(said) < OLDEST_NUMPY:
        cure = cures.pip("install numpy==1.19.5")
        return Finding("numpy", WARN, "{}, too old for ONNX Runtime".format(said), cure)
    return Finding("numpy", OK, said)


def _opencv(is_jetson: bool) -> Finding:
    code = "import cv2; print(cv2.__version__); print(cv2.getBuildInformation())"
    works, said = try_code(code)
    if not works:
        cure = "sudo apt-get install python3-opencv (elsewhere: {})".format(
            cures.pip("install opencv-python-headless")
        )
        return Finding("OpenCV", FAIL, said, cure)
    lines = said.splitlines()
    gstreamer = any("GStreamer" in line and "YES" in line for line in lines)
    found = "{} {} GStreamer".format(lines[0], "with" if gstreamer else "without")
    if is_jetson and not gstreamer:
        cure = "CSI cameras need it: {}; sudo apt-get install python3-opencv".format(
            cures.pip("uninstall opencv-python")
        )
        return Finding("OpenCV", WARN, found, cure)
    return Finding("OpenCV", OK, found)


def _onnxruntime(is_jetson: bool) -> Finding:
    code = "import onnxruntime as o; print(o.__version__, *o.get_available_providers())"
    works, said = try_code(code)
    cure = "install the onnxruntime-gpu wheel of this JetPack (README, On the Nano)"
    if not works:
        return Finding("ONNX Runtime", WARN, said, cure if is_jetson else cures.pip("install onnxruntime"))
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


def _together() -> List[Finding]:
    """Import in one process and the order of serving what works alone: some libraries do not go together."""
    code = (
        "import importlib.util\n"
        "for name in ('numpy', 'cv2', 'onnxruntime', 'tensorrt'):\n"
        "    importlib.util.find_spec(name) and importlib.import_module(name)"
    )
    works, said = try_code(code)
    if works or "static TLS" not in said:  # any other failure is told above
        return []
    library = re.search(r"(\S+\.so\S*): cannot allocate memory in static TLS", said)
    what = library.group(1) if library else "the library's path"
    return [Finding("libraries", FAIL, said, "LD_PRELOAD={} before it (in /etc/default/dobble)".format(what))]


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
        cure = (
            "sudo env PIP_BREAK_SYSTEM_PACKAGES=1 /usr/bin/python3 -m pip install jetson-stats, then reboot"
        )
        return Finding("jtop", WARN if is_jetson else ABSENT, said, cure if is_jetson else None)
    if board.jtop_socket is None:
        found = "{}, its service does not run".format(said)
        cure = "sudo systemctl restart jtop"
        return Finding("jtop", WARN if is_jetson else ABSENT, found, cure if is_jetson else None)
    if not os.access(board.jtop_socket, os.R_OK | os.W_OK):
        cure = cures.join_group("jtop")
        return Finding("jtop", WARN, "{}, its service is not open to this user".format(said), cure)
    return Finding("jtop", OK, "{}, its service runs".format(said))


def _bundle_and_choice() -> List[Finding]:
    try:
        bundle = load_bundle(home.bundle_folder())
    except JetsonError as error:
        cure = cures.verb("fetch SERVER (an MLflow server, a bundle's folder or an archive)")
        return [Finding("bundle", FAIL, str(error), cure)]
    found = "{} symbols, model {}".format(len(bundle.labels), bundle.model_sha256[:12])
    findings = [Finding("bundle", OK, found)]
    choice, reason = read_choice(home.choice_file(), bundle)
    if choice is None:
        return findings + [Finding("choice", WARN, reason, cures.verb("benchmark"))]
    return findings + [Finding("choice", OK, "{}: {}".format(choice.winner, reason))]


def _version(text: str) -> Tuple[int, ...]:
    parts: List[Any] = text.split(".")[:3]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
