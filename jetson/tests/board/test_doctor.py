import json
import os
import subprocess
import sys

import pytest

from jetson.__main__ import main
from jetson.bench.choice import Choice, write_choice
from jetson.board import cures, doctor
from jetson.board.board import Board
from jetson.board.doctor import examine, try_code

NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.4, GCID: 33514132, BOARD: t210ref, EABI: aarch64",
    "proc/meminfo": "MemTotal:  4059192 kB\nMemAvailable:  2048000 kB",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 507396 0 5",
    "var/lib/nvpmodel/status": "pmode:0001",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >",
    "sys/class/devfreq/57000000.gpu/min_freq": "76800000",
    "sys/class/devfreq/57000000.gpu/max_freq": "921600000",
    "sys/class/video4linux/video0/name": "USB Camera",
    "sys/class/video4linux/video0/index": "0",
    "sys/class/video4linux/video1/name": "USB Camera",
    "sys/class/video4linux/video1/index": "1",
    "dev/video0": "",
    "dev/video1": "",
    "run/jtop.sock": "",
}
ORT = "__version__ = '{}'\ndef get_available_providers():\n    return ['{}ExecutionProvider']"
LIBRARIES = {
    "numpy": "__version__ = '1.19.5'",
    "cv2": "__version__ = '4.1.1'\ndef getBuildInformation():\n    return '  GStreamer:   YES (1.14.5)'",
    "onnxruntime": ORT.format("1.11.0", "CUDA"),
    "tensorrt": "__version__ = '8.2.1.9'",
    "jtop": "__version__ = '4.3.2'",
}


@pytest.fixture
def nano(tmp_path, monkeypatch):
    """Return a function that makes a Nano's files and libraries, with changes, and examines it by name."""

    def look(files=(), libraries=()):
        site, root = tmp_path / "site", tmp_path / "root"
        site.mkdir()
        for name, code in dict(LIBRARIES, **dict(libraries)).items():
            (site / (name + ".py")).write_text(code)
        for path, content in dict(NANO, **dict(files)).items():
            if content is not None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
        monkeypatch.setenv("PYTHONPATH", str(site))
        return {finding.name: finding for finding in examine(str(root))}

    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "home"))
    return look


def test_a_nano_is_told_with_what_would_better_it(nano, tmp_path):
    found = nano()
    camera = str(tmp_path / "root" / "dev" / "video0")
    expected = {
        "board": ("ok", "NVIDIA Jetson Nano Developer Kit", None),
        "JetPack": ("ok", "4.6.4 (L4T 32.7.4)", None),
        "numpy": ("ok", "1.19.5", None),
        "OpenCV": ("ok", "4.1.1 with GStreamer", None),
        "ONNX Runtime": ("ok", "1.11.0 on CUDA", None),
        "TensorRT": ("ok", "8.2.1.9", None),
        "jtop": ("ok", "4.3.2, its service runs", None),
        "power mode": ("warn", "5W: not the fastest", "sudo nvpmodel -m 0"),
        "jetson_clocks": ("warn", "off: times will vary", "sudo jetson_clocks"),
        "cameras": ("ok", "{} (USB Camera)".format(camera), None),
    }
    assert {name: tuple(found[name][1:]) for name in expected} == expected
    assert found["memory"].found == "3964 MiB, 2000 available; 0 MiB of swap on disk"
    assert "fallocate -l 4G /swapfile" in found["memory"].cure
    assert found["bundle"].state == "fail"


BOTH = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=MAXN_SUPER >"
XAVIER = "< POWER_MODEL ID=4 NAME=MAXN >\n< POWER_MODEL ID=0 NAME=10W >"
ORIN = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >"


@pytest.mark.parametrize(
    ("modes", "number", "state", "cure"),
    [
        (ORIN, 0, "warn", "sudo nvpmodel -m 2"),
        (ORIN, 2, "ok", None),
        (BOTH, 0, "warn", "sudo nvpmodel -m 3"),
        (XAVIER, 0, "warn", "sudo nvpmodel -m 4"),
        (XAVIER, 4, "ok", None),
        ("", 2, "warn", None),
    ],
)
def test_the_fastest_power_mode_is_found_by_its_name(nano, modes, number, state, cure):
    status = "pmode:{:04d}".format(number)
    found = nano(files={"etc/nvpmodel.conf": modes, "var/lib/nvpmodel/status": status})["power mode"]
    assert (found.state, found.cure) == (state, cure)


def test_a_nano_that_lacks_things_is_told_the_commands(nano):
    found = nano(
        files={
            "run/jtop.sock": None,
            "etc/nv_tegra_release": "# R99 (release), REVISION: 1.0",
            "proc/swaps": "Filename Type Size Used Priority\n/swapfile file 4194300 0 -2",
            "var/lib/nvpmodel/status": "pmode:0000",
            "sys/class/devfreq/57000000.gpu/min_freq": "921600000",
        },
        libraries={
            "numpy": "__version__ = '1.13.3'",
            "cv2": "__version__ = '4.5.4'\ndef getBuildInformation():\n    return '  GStreamer:   NO'",
            "onnxruntime": ORT.format("1.10.0", "CPU"),
            "tensorrt": "raise ImportError('libnvinfer.so.8: cannot open shared object file')",
        },
    )
    assert found["numpy"].cure == "python3 -m pip install numpy==1.19.5"
    assert (found["OpenCV"].state, found["OpenCV"].found) == ("warn", "4.5.4 without GStreamer")
    assert found["ONNX Runtime"].found == "1.10.0 on CPU, not on the GPU"
    assert found["TensorRT"].found.endswith("libnvinfer.so.8: cannot open shared object file")
    assert found["TensorRT"].cure == "sudo apt-get install tensorrt python3-libnvinfer"
    assert found["jtop"].cure == "sudo systemctl restart jtop"
    assert found["JetPack"].found == "L4T 99.1.0, not known here"
    assert [found[name].state for name in ("memory", "power mode", "jetson_clocks")] == ["ok", "ok", "ok"]


def test_a_numpy_that_crashes_is_named_with_its_cure(nano):
    crash = {"numpy": "import os, signal\nos.kill(os.getpid(), signal.SIGILL)"}
    found = nano(libraries=crash)
    assert (found["numpy"].state, found["numpy"].found) == ("fail", "crashes when imported (SIGILL)")
    assert "OPENBLAS_CORETYPE=ARMV8" in found["numpy"].cure
    assert found["runtimes"].state == "fail"


def test_libraries_that_do_not_go_together_are_a_finding(nano):
    tls = (
        "if 'onnxruntime' in sys.modules: raise ImportError('/usr/lib/libgomp.so.1: cannot allocate memory in"
    )
    found = nano(libraries={"tensorrt": "import sys\n" + tls + " static TLS block')\n__version__ = '8.2'"})
    assert found["TensorRT"].state == "ok"
    assert found["libraries"].state == "fail"
    assert found["libraries"].cure.startswith("LD_PRELOAD=/usr/lib/libgomp.so.1 ")


def test_cures_are_commands_of_the_layout_that_the_package_lies_in(monkeypatch):
    assert cures.verb("benchmark") == "python3 -m jetson benchmark"
    monkeypatch.setattr(cures, "FOLDER", "/opt/dobble")
    monkeypatch.setattr(sys, "prefix", "/opt/dobble/venv")
    monkeypatch.setattr(sys, "executable", "/opt/dobble/venv/bin/python")
    assert cures.verb("benchmark") == "sudo dobble-device benchmark"
    assert cures.pip("install numpy") == "sudo /opt/dobble/venv/bin/python -m pip install numpy"
    assert cures.join_group("jtop").endswith(", then sudo systemctl restart dobble")
    assert "$USER" not in cures.join_group("jtop")


def test_without_opencv_a_device_cannot_serve(nano):
    found = nano(libraries={"cv2": "raise ModuleNotFoundError(\"No module named 'cv2'\")"})
    assert (found["OpenCV"].state, found["OpenCV"].found) == ("fail", "not installed")
    assert "python3-opencv" in found["OpenCV"].cure


def test_a_library_that_hangs_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE", 0.5)
    assert try_code("import time; time.sleep(600)") == (False, "does not come back within 0.5 s")


@pytest.mark.parametrize(
    ("release", "l4t", "jetpack"),
    [
        ("# R32 (release), REVISION: 7.1, GCID: 1", "32.7.1", "4.6.1"),
        ("# R35 (release), REVISION: 6.4, GCID: 1", "35.6.4", "5.1.6"),
        ("# R36 (release), REVISION: 4.3, GCID: 1", "36.4.3", "6.2"),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "38.2.0", "7.0"),
        ("", None, None),
    ],
)
def test_jetpack_follows_from_l4t(release, l4t, jetpack, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text(release)
    board = Board(str(tmp_path))
    assert (board.l4t, board.jetpack) == (l4t, jetpack)


def test_the_exit_code_says_whether_this_device_can_serve(write_bundle, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "home"))
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [finding["name"] for finding in report["findings"] if finding["state"] == "fail"] == ["bundle"]
    assert (report["can_serve"], report["findings"][-1]["cure"][:22]) == (False, "python3 -m jetson fetc")

    (tmp_path / "home").mkdir()
    os.symlink(write_bundle(), str(tmp_path / "home" / "bundle"))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "ok   onnxruntime-cpu" in said
    assert "-> python3 -m jetson benchmark" in said
    assert said.endswith("This device can serve: python3 -m jetson serve\n")


def test_the_benchmark_s_choice_is_shown(write_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path))
    bundle = doctor.load_bundle(write_bundle())
    if bundle.folder != str(tmp_path / "bundle"):
        os.symlink(bundle.folder, str(tmp_path / "bundle"))
    choice = Choice(
        "onnxruntime-cpu",
        ["onnxruntime-cpu"],
        "it is the only one",
        "",
        bundle.model_sha256,
        "",
        {},
        False,
        [],
    )
    write_choice(str(tmp_path / "choice.json"), choice)
    assert doctor._bundle_and_choice()[-1].found == "onnxruntime-cpu: it is the only one"


def test_the_doctor_itself_needs_no_library():
    code = "import sys, jetson.board.doctor; print({'numpy', 'cv2', 'onnxruntime'} & set(sys.modules))"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root).strip() == b"set()"
