"""An exported bundle on the device's Python 3.6, and the device's own tests there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pipelines import ROOT, Pipeline

from dobble.detector.dataset import read_photo
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector
from jetson.runners import open_runner

pytest_plugins = ["pipeline_fixtures"]

PACKAGES = (
    "numpy==1.19.5",
    "onnxruntime==1.10.0",
    "opencv-python-headless==4.5.4.60",
    "pytest==7.0.1",
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dobble-edge/python36"

READ = """
import json, os, sys
import cv2
from jetson.play.bundle import load_bundle
from jetson.play.detect import Detector
from jetson.runners import open_runner

bundle = load_bundle(sys.argv[1])
found = {}
with open_runner("onnxruntime-cpu", bundle, 1) as runner:
    detector = Detector(bundle, runner)
    samples = os.path.join(bundle.folder, "samples")
    for name in sorted(name for name in os.listdir(samples) if name.endswith(".jpg")):
        seen = detector.read(cv2.imread(os.path.join(samples, name))).detections
        found[name] = [part.tolist() for part in seen]
print(json.dumps({"python": sys.version_info[:2], "found": found}))
"""


@pytest.fixture(scope="module")
def python36() -> Path:
    """The interpreter of an environment like a Nano's, kept for the next run."""
    python = CACHE / "bin/python"
    ready = CACHE / "ready.txt"
    if ready.is_file() and ready.read_text(encoding="utf-8").split() == list(PACKAGES):
        return python
    base = find_python36()
    if base is None:
        pytest.skip("not tried on Python 3.6: there is none (on PATH as python3.6, or from pyenv)")
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [str(base), "-m", "venv", str(CACHE)],
        [*install, "pip==21.3.1"],
        [*install, "--only-binary", ":all:", *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            pytest.skip(f"no environment for Python 3.6 ({' '.join(command[1:4])}: {''.join(last)})")
    ready.write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def test_the_device_s_tests_pass(python36: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "jetson", tmp_path / "jetson", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(python36, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "jetson/tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_device_sees_on_the_samples_what_is_seen_here(
    python36: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    done = run(python36, tmp_path, "-c", READ, str(pipeline.bundle))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["python"] == [3, 6]
    bundle = load_bundle(str(pipeline.bundle))
    with open_runner("onnxruntime-cpu", bundle, threads=1) as runner:
        detector = Detector(bundle, runner)
        for name, (boxes, scores, labels) in answer["found"].items():
            here = detector.read(read_photo(pipeline.bundle / "samples" / name)).detections
            assert labels == here.labels.tolist(), name
            np.testing.assert_allclose(scores, here.scores, rtol=0, atol=1e-4)
            np.testing.assert_allclose(np.reshape(boxes, (-1, 4)), here.boxes, rtol=0, atol=0.1)
    assert len(answer["found"]) == pipeline.params.export.samples + 1
    assert any(scores for _, scores, _ in answer["found"].values())


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python 3.6 in a folder; it finds the working tree's `jetson`, unless the folder has one."""
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def find_python36() -> Path | None:
    """Give the newest Python 3.6 of pyenv, or the one on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(pyenv.glob("versions/3.6.*/bin/python3.6"))
    if found:
        return found[-1]
    on_path = shutil.which("python3.6")
    return None if on_path is None else Path(on_path)
