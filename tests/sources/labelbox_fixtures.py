"""Small photos, a stand-in for Labelbox, and settings that do not make a test wait."""

import io

import numpy as np
from labelbox_standin import KEY
from PIL import Image

from dobble.sources.http_retries import Patience
from dobble.sources.labelbox import LabelboxSettings

QUICK = Patience(tries=3, pause=0.01, longest_pause=0.02, timeout=60.0)


def picture(seed, size=(40, 30)):
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def quick(standin, patience=QUICK, key=KEY, task_timeout=120.0):
    return LabelboxSettings(key, standin.endpoint, 4, poll=0.01, task_timeout=task_timeout, patience=patience)


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
