"""Photos through the PyTorch network, with the device's own preparation and decoding."""

from collections.abc import Iterator, Sequence

import torch

from dobble.detector.anchors import INPUT_SIZE
from dobble.detector.dataset import LabelledPhoto, read_photo
from dobble.detector.network import Deployed
from jetson.detect import Detections, decode, letterbox

LOWEST_SCORE = 0.01
"""COCO's average precision looks at the whole ranking: detections below the device's threshold count."""

_BATCH = 16


def detect_photos(
    network: Deployed, photos: Sequence[LabelledPhoto], nms_iou: float, device: torch.device
) -> Iterator[Detections]:
    """Detections above 0.01 of each photo, boxes in its pixels, in order; memory stays that of one batch.

    Raises:
        PhotoError: if a picture cannot be decoded.
    """
    for start in range(0, len(photos), _BATCH):
        prepared = [letterbox(read_photo(photo.path), INPUT_SIZE) for photo in photos[start : start + _BATCH]]
        images = torch.cat([torch.from_numpy(array) for array, _ in prepared]).to(device)
        with torch.inference_mode():
            scores, boxes = (out.cpu().numpy() for out in network(images))
        for row, (_, transform) in enumerate(prepared):
            yield decode(scores[row], boxes[row], transform, LOWEST_SCORE, nms_iou)
