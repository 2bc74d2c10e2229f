"""The device's benchmark on an exported bundle: from the registry, by ONNX Runtime, and back into it."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from mlflow import MlflowClient
from mlflow_server import Line
from pipelines import ROOT
from tracked_project import Project

from dobble.registry.versions import promote, register
from dobble.tracking.runs import log_run
from jetson.bench.choice import read_choice
from jetson.play.bundle import load_bundle

pytest_plugins = ["tracked_fixtures"]


def device(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the device's command line."""
    environment = {**os.environ, "DOBBLE_DEVICE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "jetson", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "device"
    folder.mkdir()
    return folder


def test_a_fetched_champion_is_benchmarked_and_its_version_told(
    project: Project, line: Line, home: Path
) -> None:
    version = register(log_run(project.root), project.root).version
    promote(version, project.root)
    fetched = device(home, "fetch", line.address)
    assert fetched.returncode == 0, fetched.stderr
    done = device(home, "benchmark", "--quick", "--mlflow", line.address)
    assert done.returncode == 0, done.stderr
    choice, _ = read_choice(str(home / "choice.json"), load_bundle(str(home / "bundle")))
    assert choice is not None
    assert (choice.winner, choice.quick) == ("onnxruntime-cpu", True)
    measured = {candidate.name: candidate for candidate in choice.candidates}["onnxruntime-cpu"]
    assert measured.p50_ms is not None
    assert measured.frame_p50_ms is not None
    assert 0 < measured.p50_ms < measured.frame_p50_ms
    assert "onnxruntime-cuda" in {candidate.name for candidate in choice.candidates if not candidate.eligible}

    found = MlflowClient(line.address).get_model_version("dobble", version)
    told = {
        key.rpartition("benchmark.")[2]: value for key, value in found.tags.items() if "benchmark." in key
    }
    board = next(key for key in told if key.endswith(".winner")).rpartition(".")[0]
    assert told[f"{board}.winner"] == "onnxruntime-cpu"
    assert float(told[f"{board}.onnxruntime-cpu.p50_ms"]) == pytest.approx(measured.p50_ms, rel=1e-4)
    query = urlencode({"run_uuid": found.run_id, "path": told[f"{board}.page"]})
    with urllib.request.urlopen(f"{line.address}/get-artifact?{query}") as answer:
        assert answer.read() == (home / "benchmark.html").read_bytes()


def test_a_bundle_that_no_longer_fits_its_reference_is_not_served(project: Project, home: Path) -> None:
    """The reference of another model: every runtime disagrees, and the device keeps what it had."""
    bundle = project.root / "build/bundle"
    path = bundle / "samples/reference.json"
    reference = json.loads(path.read_text(encoding="utf-8"))
    for photo in reference["photos"]:
        for detection in photo["detections"]:
            detection["score"] = 0.99 if detection["score"] < 0.9 else 0.6
    path.unlink()
    path.write_text(json.dumps(reference), encoding="utf-8")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"]["samples/reference.json"]
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    done = device(home, "benchmark", "--quick", "--bundle", str(bundle))
    assert done.returncode == 1
    assert "onnxruntime-cpu: disagrees with the reference" in done.stderr
    assert not (home / "choice.json").exists()
