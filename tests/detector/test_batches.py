import threading

import numpy as np
import pytest
import torch
from augmentation import STILL

from dobble.detector.batches import epoch_batches, steps_per_epoch
from dobble.detector.dataset import TrainingPhotos, load_split
from dobble.errors import PhotoError


@pytest.fixture
def photos(squares):
    return TrainingPhotos(load_split(*squares, "train"))


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


def sizes(photos, batches):
    """Which photos the batches show: the sizes of a photo's squares are its fingerprint."""
    known = {fingerprint(photo.boxes): photo.name for photo in photos.photos}
    assert len(known) == len(photos)
    shown = [box * 160 for batch in batches for box in batch.boxes.numpy()]
    return [known[fingerprint(boxes)] for boxes in shown]


def fingerprint(boxes):
    return tuple(np.round(boxes[:, 2] - boxes[:, 0]).astype(int))


@pytest.fixture
def whole(train_params):
    """Parameters whose views show all squares uncut."""
    return train_params.model_copy(update={"window": 320, "augmentation": STILL})


def test_batch_holds_windows_boxes_and_labels(photos, train_params):
    batches = list(epoch_batches(photos, train_params, 0))
    assert len(batches) == 2 == steps_per_epoch(10, 4)
    for batch in batches:
        assert (batch.images.shape, batch.images.dtype) == ((4, 96, 96, 3), torch.uint8)
        assert (batch.boxes.shape, batch.boxes.dtype) == ((4, 3, 4), torch.float32)
        assert batch.labels.tolist() == [[1, 2, 3]] * 4  # 0 is the background


def test_epoch_shows_no_photo_twice_and_every_epoch_others_first(photos, whole):
    orders = [tuple(sizes(photos, epoch_batches(photos, whole, epoch))) for epoch in range(6)]
    for order in orders:
        assert len(order) == len(set(order)) == 8
    assert len(set(orders)) == 6
    assert {name for order in orders for name in order} == {photo.name for photo in photos.photos}


def test_all_photos_come_when_the_batch_divides_them(photos, whole):
    params = whole.model_copy(update={"batch_size": 5})
    shown = sizes(photos, epoch_batches(photos, params, 0))
    assert sorted(shown) == [photo.name for photo in photos.photos]


def test_batch_is_no_larger_than_the_photos_are_many(photos, train_params):
    params = train_params.model_copy(update={"batch_size": 64})
    batches = list(epoch_batches(photos, params, 0))
    assert [len(batch.images) for batch in batches] == [10]
    assert steps_per_epoch(10, 64) == 1


def test_batches_depend_on_the_seed_and_the_epoch_alone(squares, train_params):
    def batches(seed, epoch):
        photos = TrainingPhotos(load_split(*squares, "train"))
        found = list(epoch_batches(photos, train_params.model_copy(update={"seed": seed}), epoch))
        return b"".join(part.numpy().tobytes() for batch in found for part in batch)

    np.random.default_rng().random()
    assert batches(0, 1) == batches(0, 1)
    assert len({batches(0, 0), batches(0, 1), batches(1, 0)}) == 3


def test_photo_is_seen_another_way_in_every_epoch(photos, train_params):
    photos.photos[:] = photos.photos[:1]
    views = [next(epoch_batches(photos, train_params, epoch)).images for epoch in range(3)]
    assert not any(torch.equal(views[first], views[second]) for first, second in ((0, 1), (0, 2), (1, 2)))


def test_view_of_a_photo_that_is_in_memory_is_the_same(photos, train_params):
    first = list(epoch_batches(photos, train_params, 3))
    again = list(epoch_batches(photos, train_params, 3))
    assert all(torch.equal(one.images, other.images) for one, other in zip(first, again, strict=True))


def test_photos_with_fewer_symbols_are_padded_with_zeros(photos, whole):
    few = photos.photos[0]
    photos.photos[0] = few._replace(boxes=few.boxes[:1], labels=few.labels[:1])
    params = whole.model_copy(update={"batch_size": 10})
    (batch,) = epoch_batches(photos, params, 0)
    row = int((batch.labels > 0).sum(1).argmin())
    assert batch.labels[row].tolist() == [1, 0, 0]
    assert not batch.boxes[row, 1:].any()
    assert (batch.labels > 0).sum() == 9 * 3 + 1


def test_photos_without_any_symbol_make_a_batch(photos, train_params):
    photos.photos[:] = [
        photo._replace(boxes=photo.boxes[:0], labels=photo.labels[:0]) for photo in photos.photos
    ]
    batch = next(epoch_batches(photos, train_params, 0))
    assert batch.boxes.tolist() == [[[0, 0, 0, 0]]] * 4
    assert batch.labels.tolist() == [[0]] * 4


def test_damaged_photo_stops_the_epoch_and_is_named(own_squares, train_params):
    photos = TrainingPhotos(load_split(*own_squares, "train"))
    (own_squares[0] / "JPEGImages/photo04.png").write_bytes(b"damaged")
    params = train_params.model_copy(update={"batch_size": 10})
    with pytest.raises(PhotoError, match=r"photo04\.png: is no picture"):
        list(epoch_batches(photos, params, 0))
    assert not workers()


def test_training_that_stops_early_leaves_no_thread(photos, train_params):
    photos.photos *= 4
    batches = epoch_batches(photos, train_params.model_copy(update={"batch_size": 2}), 0)
    next(batches)
    assert workers()
    closing = threading.Thread(target=batches.close, daemon=True)
    closing.start()
    closing.join(120)
    assert not workers()


def test_batches_that_nobody_asks_for_start_no_thread(photos, train_params):
    epoch_batches(photos, train_params, 0).close()
    assert not workers()
