import hashlib
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

import jetson
from jetson.bundle import load_bundle
from jetson.choice import read_choice

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(jetson.__file__)))
TESTS = os.path.dirname(os.path.abspath(__file__))
# A photo has 64 pixels a side: the first symbol's box is its upper left quarter, the next lie 8 px apart.
BOXES = ([0, 0, 32, 32], [8, 0, 40, 32], [16, 0, 48, 32])
CARDS = {"dark.png": ("anchor", "bird", "cactus"), "bright.png": ("anchor", "dog", "eye")}


@pytest.fixture
def bundle(write_bundle):
    """A bundle with two photos and a hand-made reference."""
    return add_samples(write_bundle())


def add_samples(folder):
    os.makedirs(os.path.join(folder, "samples"))
    for name, grey in (("dark.png", 60), ("bright.png", 220)):
        cv2.imwrite(os.path.join(folder, "samples", name), np.full((64, 64, 3), grey, np.uint8))
    reference = {
        "photos": [
            {
                "file": name,
                "detections": [
                    {"label": label, "score": 0.9, "box": box}
                    for label, box in zip(CARDS[name], BOXES)  # noqa: B905
                ],
            }
            for name in sorted(CARDS)
        ],
        "matches": [{"first": "dark.png", "second": "bright.png", "symbol": "anchor", "probability": 1.0}],
        "tables": [],
    }
    with open(os.path.join(folder, "samples", "reference.json"), "w", encoding="utf-8") as stream:
        json.dump(reference, stream)
    path = os.path.join(folder, "manifest.json")
    with open(path, encoding="utf-8") as stream:
        manifest = json.load(stream)
    for name in os.listdir(os.path.join(folder, "samples")):
        with open(os.path.join(folder, "samples", name), "rb") as stream:
            content = stream.read()
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["files"]["samples/" + name] = facts
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)
    return folder


def benchmark(folder, home, only=None, *options):
    """Run the verb in a process whose runners are the made-up ones (or only some of them)."""
    site = os.path.join(str(home), "site")
    os.makedirs(site, exist_ok=True)
    with open(os.path.join(site, "sitecustomize.py"), "w", encoding="utf-8") as stream:
        stream.write("from made_up_runners import RUNNERS, install\ninstall()\n")
        if only is not None:
            stream.write("for name in set(RUNNERS) - set({!r}):\n    del RUNNERS[name]\n".format(only))
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join([site, TESTS, ROOT]),
        DOBBLE_DEVICE_HOME=str(home),
    )
    command = [sys.executable, "-m", "jetson", "benchmark", "--bundle", folder, "--quick"]
    return subprocess.run(
        command + list(options),
        env=environment,
        cwd=str(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=900,
    )


def test_the_fastest_right_runtime_wins_and_every_other_way_to_end_is_told(bundle, tmp_path):
    done = benchmark(bundle, tmp_path, None, "--limit", "8")
    assert done.returncode == 0, done.stderr
    choice, reason = read_choice(str(tmp_path / "choice.json"), load_bundle(bundle))
    assert (choice.winner, choice.order, choice.quick) == ("fast", ["fast", "slow"], True)
    assert reason.startswith("fast needs ")
    assert reason.endswith(" less time than slow and is faster in 4 of 4 pairs of blocks")
    told = {candidate.name: candidate for candidate in choice.candidates}
    agrees = "agrees with the reference in 6 symbols and 1 matches (lowest IoU 1.000, scores within 0.000)"
    assert (told["fast"].eligible, told["fast"].reason) == (True, agrees)
    assert 2.0 <= told["fast"].p50_ms < told["slow"].p50_ms
    assert told["slow"].p50_ms >= 8.0
    assert told["fast"].frame_p50_ms > 2 * 2.0
    assert told["fast"].memory_mb > 10
    assert told["fast"].energy_mj is None  # a quick run is too short for it
    failures = {name: told[name].reason for name in told if not told[name].eligible}
    assert failures.pop("wrong").startswith("disagrees with the reference: bright.png: anchor not found and ")
    assert failures == {
        "crashing": "exit code -9: killed by SIGKILL (as a rule because memory ran out)",
        "failing": "exit code 1: ValueError: cuDNN failed to start",
        "hanging": "did not end within 8 s",
        "missing": "there is no GPU here: buy a board",
    }
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    for text in list(failures.values()) + [agrees, reason]:
        assert text in page
        assert text in done.stdout or text == agrees
    assert "<script" not in page


def test_without_a_right_runtime_the_earlier_verdict_is_kept(bundle, tmp_path):
    (tmp_path / "choice.json").write_text("as it was")
    done = benchmark(bundle, tmp_path, ("wrong", "missing"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: {}: no runtime may serve it here: wrong: disagrees with".format(bundle))
    assert last.endswith("; missing: there is no GPU here: buy a board")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "choice.json").read_text() == "as it was"
    assert not (tmp_path / "benchmark.html").exists()


def test_a_bundle_without_samples_is_one_clear_line(write_bundle, tmp_path):
    done = benchmark(write_bundle(), tmp_path, ("fast",))
    assert done.returncode == 1
    assert "reference.json: cannot be read" in done.stderr.splitlines()[-1]
    assert "a benchmark needs a bundle with samples" in done.stderr.splitlines()[-1]


def test_two_benchmarks_never_measure_each_other(bundle, tmp_path):
    import fcntl

    with open(str(tmp_path / ".benchmark.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = benchmark(bundle, tmp_path, ("fast",))
    assert done.returncode == 1
    assert "another benchmark is at work here" in done.stderr


def test_a_version_must_be_known_before_anything_is_measured(bundle, tmp_path):
    done = benchmark(bundle, tmp_path, ("fast",), "--mlflow", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "which version on the MLflow server is this? name its --version"
    )
    assert "checking" not in done.stderr
