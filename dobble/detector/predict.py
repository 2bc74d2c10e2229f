"""Photos through the PyTorch network, with the device's own preparation and decoding."""

from collections.abc import Iterator, Sequence

import torch

from dobble.detector.anchors import INPUT_SIZE
from dobble.detector.dataset import LabelledPhoto, read_photo
from dobble.detector.network import Deployed
from jetson.play.cards import Crop, frame_card
from jetson.play.detect import Detections, decode, fit, letterbox
from jetson.play.tone import even_tone

LOWEST_SCORE = 0.01
"""COCO's average precision looks at the whole ranking: detections below the device's threshold count."""

TONE = 0.37
"""Median brightness of a card's print to that of its paper, to which every card is brought before it is read.

Not in training: a network that saw cards of all brightnesses and sizes, and reads cards of one, takes fewer
symbols for others than one that was trained on cards of one (docs/real-cards.md).
"""

CACHE_BYTES = 2**30

_BATCH = 16


class PreparedPhotos:
    """Cards of photos as the network sees them, decoded once while they fit into 1 GB of memory (3,400)."""

    def __init__(self, photos: Sequence[LabelledPhoto], cache_bytes: int = CACHE_BYTES) -> None:
        self.photos = photos
        self._room = cache_bytes
        self._cache: dict[int, Crop] = {}

    def __len__(self) -> int:
        return len(self.photos)

    def load(self, index: int) -> Crop:
        """The card of a photo, uint8 at the size of the network's input, or all of the photo.

        Raises:
            PhotoError: if the picture cannot be decoded.
        """
        if index in self._cache:
            return self._cache[index]
        crop = frame_card(read_photo(self.photos[index].path))
        crop = crop.resized(fit(even_tone(crop.image, TONE), INPUT_SIZE))
        if crop.image.nbytes <= self._room:
            self._room -= crop.image.nbytes
            self._cache[index] = crop
        return crop


def detect_photos(
    network: Deployed, photos: PreparedPhotos, nms_iou: float, device: torch.device
) -> Iterator[Detections]:
    """Detections above 0.01 of each photo, boxes in its pixels, in order.

    Raises:
        PhotoError: if a picture cannot be decoded.
    """
    for start in range(0, len(photos), _BATCH):
        crops = [photos.load(index) for index in range(start, min(start + _BATCH, len(photos)))]
        prepared = [letterbox(crop.image, INPUT_SIZE) for crop in crops]
        images = torch.cat([torch.from_numpy(array) for array, _ in prepared]).to(device)
        with torch.inference_mode():
            scores, boxes = (out.cpu().numpy() for out in network(images))
        for row, (crop, (_, transform)) in enumerate(zip(crops, prepared, strict=True)):
            found = decode(scores[row], boxes[row], transform, LOWEST_SCORE, nms_iou)
            yield found._replace(boxes=crop.to_picture(found.boxes))
