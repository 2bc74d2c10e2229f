"""Builds small bundles, readings and tables with cards for the tests."""

import hashlib
import json
import os

import cv2
import numpy as np
import pytest

FANO = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))
LABELS = ("anchor", "bird", "cactus", "dog", "eye", "fire", "ghost")


@pytest.fixture
def labels():
    """Seven symbols, the points of the Fano plane."""
    return LABELS


@pytest.fixture
def fano():
    """Its seven cards of three symbols; any two share exactly one."""
    return FANO


@pytest.fixture
def write_bundle(tmp_path):
    """Return a function that writes a bundle's folder, with changes to the manifest, and returns its path."""
    return _writer(tmp_path)


@pytest.fixture(scope="session")
def grey_bundle(tmp_path_factory):
    """The folder of a bundle for the network of `grey_server`."""
    return _writer(tmp_path_factory.mktemp("grey"))()


def _writer(parent):
    def write(model=b"no real model", **changes):
        folder = str(parent / "bundle")
        os.makedirs(folder, exist_ok=True)
        contents = {
            "model.onnx": model,
            "labels.txt": "\n".join(("BACKGROUND",) + LABELS).encode() + b"\n",
        }
        files = {}
        for name, content in contents.items():
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(content)
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest = {
            "schema_version": 1,
            "name": "dobble",
            "files": files,
            "input": {
                "name": "input_0",
                "shape": [1, 3, 32, 32],
                "dtype": "float32",
                "colour": "RGB",
                "mean": 127.5,
                "scale": 127.5,
                "resize": "letterbox",
                "padding": 127.5,
            },
            "outputs": {
                "scores": {"shape": [1, 4, 8]},
                "boxes": {"shape": [1, 4, 4], "format": "xyxy", "range": [0, 1]},
            },
            "labels": list(LABELS),
            "deck": [[LABELS[symbol] for symbol in card] for card in FANO],
            "thresholds": {"score": 0.5, "nms_iou": 0.5, "match_probability": 0.5},
            "calibration": {"joint": 1.0, "deck": 1.0},
            "git_revision": None,
            "data_md5": None,
        }
        manifest.update(changes)
        with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as stream:
            json.dump(manifest, stream)
        return folder

    return write


@pytest.fixture(scope="session")
def draw_table():
    """Return a function that draws cards, given as (x, y, long axis, short axis, angle), on a table."""

    def draw(cards, colour=(70, 110, 150), width=1280, height=720, seed=0):
        random = np.random.RandomState(seed)
        grain = cv2.resize(
            random.randint(-25, 26, (height // 8, width // 40)).astype(np.float32), (width, height)
        )
        table = np.array(colour, np.float32) + grain[:, :, None] + random.normal(0, 4, (height, width, 1))
        picture = np.clip(table, 0, 255).astype(np.uint8)
        for x, y, long, short, angle in cards:
            cv2.ellipse(picture, ((x, y), (long, short), angle), (236, 240, 243), -1, cv2.LINE_AA)
            for turn in range(8):
                radius = 0.0 if turn == 0 else 0.3
                place = (
                    int(x + radius * short * np.cos(turn * 0.9)),
                    int(y + radius * short * np.sin(turn * 0.9)),
                )
                blob = tuple(int(value) for value in random.randint(0, 200, 3))
                cv2.circle(picture, place, int(0.09 * short), blob, -1, cv2.LINE_AA)
        return picture

    return draw
