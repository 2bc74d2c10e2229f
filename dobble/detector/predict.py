"""Photos through the PyTorch network, with the device's own preparation and decoding."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dobble.detector.anchors import INPUT_SIZE
from dobble.detector.dataset import LabelledPhoto, read_photo
from dobble.detector.network import Deployed
from jetson.detect import MIDDLE, Detections, Transform, decode, letterbox

LOWEST_SCORE = 0.01
"""COCO's average precision looks at the whole ranking: detections below the device's threshold count."""

CACHE_BYTES = 2**30

_BATCH = 16


class PreparedPhotos:
    """Photos as the network's input, decoded once while they fit into 1 GB of memory (4,600 of 4:3)."""

    def __init__(self, photos: Sequence[LabelledPhoto], cache_bytes: int = CACHE_BYTES) -> None:
        self.photos = photos
        self._room = cache_bytes
        self._cache: dict[int, tuple[NDArray[np.uint8], Transform]] = {}

    def __len__(self) -> int:
        return len(self.photos)

    def load(self, index: int) -> tuple[NDArray[np.float32], Transform]:
        """Input float32 [1, 3, S, S] as the device prepares it, and where the photo lies in it.

        Raises:
            PhotoError: if the picture cannot be decoded.
        """
        if index in self._cache:
            small, transform = self._cache[index]
            return letterbox(small, INPUT_SIZE)[0], transform
        batch, transform = letterbox(read_photo(self.photos[index].path), INPUT_SIZE)
        small = _picture(batch, transform)
        if small.nbytes <= self._room:
            self._room -= small.nbytes
            self._cache[index] = small, transform
        return batch, transform


def detect_photos(
    network: Deployed, photos: PreparedPhotos, nms_iou: float, device: torch.device
) -> Iterator[Detections]:
    """Detections above 0.01 of each photo, boxes in its pixels, in order.

    Raises:
        PhotoError: if a picture cannot be decoded.
    """
    for start in range(0, len(photos), _BATCH):
        prepared = [photos.load(index) for index in range(start, min(start + _BATCH, len(photos)))]
        images = torch.cat([torch.from_numpy(array) for array, _ in prepared]).to(device)
        with torch.inference_mode():
            scores, boxes = (out.cpu().numpy() for out in network(images))
        for row, (_, transform) in enumerate(prepared):
            yield decode(scores[row], boxes[row], transform, LOWEST_SCORE, nms_iou)


def _picture(batch: NDArray[np.float32], transform: Transform) -> NDArray[np.uint8]:
    """The shrunk photo of an input as uint8 [H, W, 3] BGR, which takes a quarter of the bytes."""
    width, height = (
        round(side * scale)
        for side, scale in ((transform.width, transform.scale_x), (transform.height, transform.scale_y))
    )
    rows, columns = (
        slice(transform.top, transform.top + height),
        slice(transform.left, transform.left + width),
    )
    values = batch[0, ::-1, rows, columns] * MIDDLE + MIDDLE
    return np.ascontiguousarray(values.round().astype(np.uint8).transpose(1, 2, 0))
