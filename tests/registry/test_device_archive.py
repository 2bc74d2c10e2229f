"""The archive for a device, its installer on a board's Python, and the recipes for service and containers."""

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from pipelines import ROOT, Pipeline
from test_bundle_on_python36 import find_python36

from dobble.errors import OutputError
from dobble.registry.device_archive import TOP, pack_device
from jetson.errors import BundleError
from jetson.play.bundle import load_bundle

pytest_plugins = ["pipeline_fixtures"]

DEPLOY = ROOT / "jetson/deploy"
BOARDS = {"32.7.1": "4", "32.7.6": "4", "35.6.0": "5", "36.4.3": "6", "38.2.0": "7", "39.2.0": "7"}


@pytest.fixture(scope="module")
def unpacked(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive of a small bundle."""
    folder = tmp_path_factory.mktemp("device")
    pack_device(pipeline.bundle, folder / "device.tar.gz")
    with tarfile.open(folder / "device.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / TOP


def test_equal_inputs_give_equal_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    copied = shutil.copytree(pipeline.bundle, tmp_path / "copied", copy_function=shutil.copyfile)
    os.utime(copied / "model.onnx", (1, 1))
    first = pack_device(pipeline.bundle, tmp_path / "first.tar.gz")
    second = pack_device(copied, tmp_path / "second.tar.gz")
    assert first == second
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()


def test_archive_holds_all_that_runs_and_no_test(unpacked: Path) -> None:
    assert load_bundle(str(unpacked / "bundle")).labels
    assert os.access(unpacked / "install.sh", os.X_OK)
    packed = {path.relative_to(unpacked / "jetson") for path in unpacked.glob("jetson/**/*.py")}
    modules = {path.relative_to(ROOT / "jetson") for path in (ROOT / "jetson").glob("**/*.py")}
    assert packed == {path for path in modules if path.parts[0] != "tests"}


def test_a_damaged_bundle_is_not_packed(pipeline: Pipeline, tmp_path: Path) -> None:
    damaged = shutil.copytree(pipeline.bundle, tmp_path / "damaged")
    (damaged / "labels.txt").write_text("BACKGROUND\n", encoding="utf-8")
    with pytest.raises(BundleError, match=r"labels\.txt: has 11 bytes"):
        pack_device(damaged, tmp_path / "device.tar.gz")
    with pytest.raises(OutputError):
        pack_device(pipeline.bundle, Path("/proc/device.tar.gz"))
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize("l4t", BOARDS)
def test_installer_says_what_it_would_do_on_each_board(unpacked: Path, tmp_path: Path, l4t: str) -> None:
    root = board(tmp_path, l4t)
    done = install(unpacked, "--dry-run", "--root", str(root))
    assert done.returncode == 0, done.stderr
    assert f"JetPack {BOARDS[l4t]} (L4T {l4t})" in done.stdout
    assert "nothing was changed" in done.stdout
    assert sorted(path.name for path in root.rglob("*")) == ["etc", "nv_tegra_release"]
    if BOARDS[l4t] == "4":  # 1.10 is the last runtime for 3.6
        assert "pip==21.3.1" in done.stdout
        assert "numpy==1.19.5 onnxruntime==1.10.0" in done.stdout
    assert "opencv-python" not in done.stdout


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (None, "this is no Jetson"),
        ("# R28 (release), REVISION: 2.1, GCID: 1", "L4T 28.2.1 is not known here"),
        ("garbage", "L4T of unknown release is not known here"),
    ],
)
def test_installer_names_what_it_cannot_install_on(
    unpacked: Path, tmp_path: Path, release: str | None, message: str
) -> None:
    if release is not None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/nv_tegra_release").write_text(release + "\n", encoding="utf-8")
    done = install(unpacked, "--root", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(f"error: .*{message}.*\n", done.stderr)


def test_installer_names_a_wheel_that_is_not_there(unpacked: Path, tmp_path: Path) -> None:
    done = install(unpacked, "--root", str(board(tmp_path, "32.7.1")), "--onnxruntime", "nowhere.whl")
    assert (done.returncode, done.stderr) == (1, "error: nowhere.whl: no such file\n")


def test_installing_twice_on_python36_is_installing_once(unpacked: Path, tmp_path: Path) -> None:
    python = find_python36()
    if python is None:
        pytest.skip("the installer was not tried on Python 3.6: there is none")
    root, wheel = board(tmp_path, "32.7.1"), small_wheel(tmp_path)
    for given in (["--onnxruntime", str(wheel)], []):
        done = install(unpacked, "--root", str(root), *given, python=python.parent)
        if done.returncode != 0 and "pip" in done.stdout.splitlines()[-1]:
            pytest.skip(f"no packages for Python 3.6 can be had ({done.stderr.splitlines()[-1]})")
        assert done.returncode == 0, done.stderr
        (root / "etc/default/dobble").write_text("DOBBLE_SERVE=--source csi\n", encoding="utf-8")
    assert (root / "etc/default/dobble").read_text(encoding="utf-8") == "DOBBLE_SERVE=--source csi\n"
    assert len(list((root / "var/lib/dobble/bundles").iterdir())) == 1
    assert sorted(path.name for path in (root / "opt/dobble").iterdir()) == ["jetson", "venv"]
    assert "onnxruntime-gpu is here and stays" in done.stdout
    sources = list((root / "opt/dobble/jetson").rglob("*.py"))
    compiled = list((root / "opt/dobble/jetson").rglob("*.pyc"))
    assert len(sources) == len(compiled) > 20
    command = [str(root / "opt/dobble/venv/bin/python"), "-c", ASK]
    environment = {"PYTHONPATH": str(root / "opt/dobble"), "DOBBLE_DEVICE_HOME": str(root / "var/lib/dobble")}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1.19.5", "wheel", str(root / "var/lib/dobble/bundle")]


def test_service_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "dobble.service").read_text(encoding="utf-8")
    assert {"Type=notify", "WatchdogSec=30", "Restart=always"} <= set(text.splitlines())
    assert "OPENBLAS_CORETYPE=ARMV8" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "dobble.service"
    # The account and the program are the installer's; the rest is judged as it is.
    text = re.sub(r"(?m)^User=.*$", "User=root", re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    unit.write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_compose_builds_from_what_is_in_the_archive(unpacked: Path) -> None:
    compose = yaml.safe_load((unpacked / "compose.yaml").read_text(encoding="utf-8"))
    assert sorted(compose["services"]) == ["jetpack4", "jetpack6"]
    for service in compose["services"].values():
        recipe = (unpacked / service["build"]["dockerfile"]).read_text(encoding="utf-8")
        copied = re.findall(r"(?m)^COPY (\S+) ", recipe)
        assert copied == ["jetson", "bundle"]
        assert "ln -s /host/run/jtop.sock /run/jtop.sock" in recipe
        assert all((unpacked / name).is_dir() for name in copied)


ASK = """
import numpy, onnxruntime
from jetson.play.bundle import load_bundle
from jetson.home import bundle_folder
print(numpy.__version__, onnxruntime.SOURCE, load_bundle(bundle_folder()).folder)
"""


def install(unpacked: Path, *arguments: str, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installer; `python` is the folder of the interpreter that it should find."""
    path = os.environ["PATH"] if python is None else f"{python}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(unpacked / "install.sh"), *arguments],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def board(folder: Path, l4t: str) -> Path:
    """Write what tells a board's release below a folder of its own."""
    root = folder / "root"
    (root / "etc").mkdir(parents=True)
    major, minor = l4t.split(".", 1)
    line = f"# R{major} (release), REVISION: {minor}, GCID: 1, BOARD: t210ref, EABI: aarch64, DATE: today\n"
    (root / "etc/nv_tegra_release").write_text(line, encoding="utf-8")
    return root


def small_wheel(folder: Path) -> Path:
    """Write a wheel in the place of JetPack's, which is for another processor."""
    path = folder / "onnxruntime_gpu-1.11.0-py3-none-any.whl"
    info = "onnxruntime_gpu-1.11.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("onnxruntime/__init__.py", "SOURCE = 'wheel'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.11.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path
