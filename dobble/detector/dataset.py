"""Pascal VOC photos of one split as arrays that training and evaluation share."""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.data.voc import read_annotation, read_image_set, read_labels
from dobble.errors import AnnotationError, MissingInputError, PhotoError

TRAINING_SIDE = 480
CACHE_BYTES = 4 * 2**30


class LabelledPhoto(NamedTuple):
    """Ground truth of one photo.

    Attributes:
        name: photo id.
        path: the picture's file.
        longer_side: of the photo, in pixels.
        boxes: float32 [N, 4], xyxy in pixels of the photo.
        labels: int64 [N], class ids without the background.
    """

    name: str
    path: Path
    longer_side: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


class TrainingPhotos:
    """Photos shrunk to at most 480 pixels a side, decoded once while they fit into 4 GB of memory."""

    def __init__(self, photos: list[LabelledPhoto], cache_bytes: int = CACHE_BYTES) -> None:
        self.photos = photos
        self._room = cache_bytes
        self._cache: OrderedDict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.photos)

    def load(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        """Picture uint8 [H, W, 3] RGB, boxes float32 [N, 4] in its pixels, class ids int64 [N].

        Raises:
            PhotoError: if the picture cannot be decoded.
        """
        photo = self.photos[index]
        if index not in self._cache:
            rgb = np.ascontiguousarray(read_photo(photo.path)[..., ::-1])
            image, boxes = _shrink(rgb, photo.boxes)
            if image.nbytes > self._room:
                return image, boxes, photo.labels
            self._room -= image.nbytes
            self._cache[index] = image, boxes
        image, boxes = self._cache[index]
        return image, boxes, photo.labels


def load_split(voc: Path, splits: Path, split: str) -> list[LabelledPhoto]:
    """Read the ground truth of `train`, `val` or `test`; the pictures stay on disk.

    Raises:
        MissingInputError: if an earlier stage has not run.
        AnnotationError: if an annotation is damaged or names a class that `labels.txt` lacks.
    """
    labels = read_labels(voc / "labels.txt")
    return [_load(voc, name, labels) for name in read_image_set(splits / f"{split}.txt")]


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Decode a picture to uint8 [H, W, 3] BGR, upright by its EXIF orientation.

    Raises:
        MissingInputError: if there is no such file.
        PhotoError: if it is no picture.
    """
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingInputError(path, "check the name") from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise PhotoError(path, "is no picture that OpenCV can decode")
    return np.asarray(image, np.uint8)


def box_shares(photos: list[LabelledPhoto]) -> NDArray[np.float32]:
    """Width and height of every box, float32 [N, 2], as shares of the longer side of its photo."""
    return np.concatenate([(photo.boxes[:, 2:] - photo.boxes[:, :2]) / photo.longer_side for photo in photos])


def _load(voc: Path, name: str, labels: list[str]) -> LabelledPhoto:
    source = voc / "Annotations" / f"{name}.xml"
    annotation = read_annotation(source)
    unknown = sorted(set(annotation.names) - set(labels))
    if unknown:
        raise AnnotationError(
            source, f"names {unknown[0]!r}, which labels.txt lacks; run `dvc repro convert`"
        )
    return LabelledPhoto(
        name,
        voc / "JPEGImages" / annotation.filename,
        max(annotation.width, annotation.height),
        annotation.boxes,
        np.array([labels.index(entry) for entry in annotation.names], np.int64),
    )


def _shrink(
    image: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    height, width = image.shape[:2]
    scale = TRAINING_SIDE / max(height, width)
    if scale >= 1:
        return image, boxes
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    factor = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    return small, boxes * factor
