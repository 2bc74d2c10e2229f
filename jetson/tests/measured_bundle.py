"""A bundle with samples, and the verb that measures it on made-up runners."""

import hashlib
import json
import os
import subprocess
import sys

import cv2
import numpy as np

import jetson

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(jetson.__file__)))
TESTS = os.path.dirname(os.path.abspath(__file__))
# A photo has 64 pixels a side: the first symbol's box is its upper left quarter, the next lie 8 px apart.
BOXES = ([0, 0, 32, 32], [8, 0, 40, 32], [16, 0, 48, 32])
CARDS = {"dark.png": ("anchor", "bird", "cactus"), "bright.png": ("anchor", "dog", "eye")}


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
