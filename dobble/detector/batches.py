"""Training photos to augmented batches, made by one background thread while the network computes."""

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from dobble.detector.anchors import INPUT_SIZE
from dobble.detector.augment import augment
from dobble.detector.dataset import TrainingPhotos
from dobble.params import TrainParams

_AHEAD = 6


class Batch(NamedTuple):
    """One training step's input.

    Attributes:
        images: uint8 [B, W, W, 3] RGB, windows of the input.
        boxes: float32 [B, G, 4], xyxy as shares of the input's side; zeros are padding.
        labels: int64 [B, G], from 1 to C; 0 is padding.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor


def epoch_batches(
    photos: TrainingPhotos, params: TrainParams, epoch: int, share: slice = slice(None)
) -> Iterator[Batch]:
    """All photos once, in an order and with views that depend on the seed and the epoch alone.

    Photos that fill no whole batch wait for another epoch's order. An error in the thread is raised here.

    Args:
        photos: the photos.
        params: the recipe.
        epoch: which pass over the photos this is.
        share: the part of each batch to make, where other processes make the rest.
    """
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        cv2.setNumThreads(1)
        try:
            order = np.random.default_rng([params.seed, epoch]).permutation(len(photos))
            size = min(params.batch_size, len(order))
            for start in range(0, len(order) - size + 1, size):
                chosen = order[start : start + size][share]
                if not put(_assemble(photos, chosen, params, epoch)):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the training thread must hear of it
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def steps_per_epoch(photos: int, batch_size: int) -> int:
    """How many batches `epoch_batches` yields."""
    return photos // min(batch_size, photos)


def _assemble(
    photos: TrainingPhotos,
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]],
    params: TrainParams,
    epoch: int,
) -> Batch:
    most = max(1, *(len(photos.photos[index].labels) for index in chosen))
    images = np.empty((len(chosen), params.window, params.window, 3), np.uint8)
    boxes = np.zeros((len(chosen), most, 4), np.float32)
    labels = np.zeros((len(chosen), most), np.int64)
    for row, index in enumerate(chosen):
        rng = np.random.default_rng([params.seed, epoch, int(index)])
        image, original, ids = photos.load(int(index))
        images[row], moved = augment(image, original, INPUT_SIZE, params.window, params.augmentation, rng)
        boxes[row, : len(moved)] = moved
        labels[row, : len(ids)] = ids + 1
    return Batch(torch.from_numpy(images), torch.from_numpy(boxes), torch.from_numpy(labels))
