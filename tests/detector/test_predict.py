import cv2
import numpy as np
import pytest
import torch
from torch import nn

from dobble.detector.anchors import AnchorSpec
from dobble.detector.dataset import LabelledPhoto
from dobble.detector.network import Deployed, Detector
from dobble.detector.predict import PreparedPhotos, detect_photos
from dobble.errors import MissingInputError, PhotoError

CPU = torch.device("cpu")


class Sighted(nn.Module):
    """Sees one symbol of class 1, as sure as the picture's middle is bright, always at the same place."""

    def forward(self, images):
        bright = (images[:, 0, 160, 160] + 1) / 2
        scores = torch.zeros(len(images), 2, 3)
        scores[:, 0, 2] = bright
        boxes = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0, 0, 1, 1]]).expand(len(images), -1, -1)
        return scores, boxes


@pytest.fixture
def photos(tmp_path):
    """Take photos 640 x 320 of the given shades of grey."""

    def take(*shades):
        taken = []
        for number, grey in enumerate(shades):
            path = tmp_path / f"photo{number}.png"
            cv2.imwrite(str(path), np.full((320, 640, 3), grey, np.uint8))
            taken.append(
                LabelledPhoto(path.stem, path, 640, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
            )
        return taken

    return take


def test_boxes_are_in_pixels_of_the_photo(photos):
    (found,) = detect_photos(Sighted(), PreparedPhotos(photos(255)), 0.5, CPU)
    # Halved, the photo fills rows 80 to 240 of the input: [80, 160, 160, 240] there is this on the photo.
    np.testing.assert_allclose(found.boxes, [[160, 160, 320, 320]])
    assert found.scores.tolist() == [1]
    assert found.labels.tolist() == [1]


def test_photos_of_several_batches_come_in_their_order(photos):
    shades = list(range(20, 240, 10))
    found = list(detect_photos(Sighted(), PreparedPhotos(photos(*shades)), 0.5, CPU))
    assert len(found) == 22
    np.testing.assert_allclose([one.scores[0] for one in found], np.array(shades) / 255, rtol=1e-5)


def test_weak_detections_count_down_to_a_hundredth(photos):
    seen, unseen = detect_photos(Sighted(), PreparedPhotos(photos(3, 2)), 0.5, CPU)
    np.testing.assert_allclose(seen.scores, [3 / 255], rtol=1e-4)
    assert len(unseen.scores) == 0


def test_no_photos_give_no_detections():
    assert list(detect_photos(Sighted(), PreparedPhotos([]), 0.5, CPU)) == []


def test_photos_are_read_batch_by_batch(photos):
    taken = photos(*[255] * 17)
    taken[16].path.write_bytes(b"damaged")
    found = detect_photos(Sighted(), PreparedPhotos(taken), 0.5, CPU)
    for _ in range(16):
        next(found)
    with pytest.raises(PhotoError, match=r"photo16\.png: is no picture"):
        next(found)


def test_photo_gives_the_same_detections_alone_and_among_others(photos):
    torch.manual_seed(0)
    network = Deployed(Detector(3, AnchorSpec((0.2, 0.3), 1.5))).eval()
    taken = photos(10, 130, 250)
    among = list(detect_photos(network, PreparedPhotos(taken), 0.5, CPU))[1]
    (alone,) = detect_photos(network, PreparedPhotos(taken[1:2]), 0.5, CPU)
    assert len(alone.scores)
    np.testing.assert_array_equal(alone.labels, among.labels)
    np.testing.assert_allclose(alone.boxes, among.boxes, atol=1e-2)
    np.testing.assert_allclose(alone.scores, among.scores, atol=1e-5)


@pytest.mark.parametrize("shape", [(320, 320), (480, 640), (121, 333), (200, 90)])
def test_photo_is_decoded_once_and_kept_at_the_size_of_the_input(tmp_path, shape):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8))
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    photos = PreparedPhotos([LabelledPhoto("photo", path, max(shape), *nothing)])
    first = photos.load(0)
    path.unlink()
    assert photos.load(0) is first
    assert max(first.image.shape[:2]) == 320


def test_photos_are_decoded_again_where_there_is_no_room(photos):
    taken = photos(10, 20)
    prepared = PreparedPhotos(taken, cache_bytes=320 * 160 * 3)
    for index in (0, 1):
        prepared.load(index)
        taken[index].path.unlink()
    prepared.load(0)
    with pytest.raises(MissingInputError):
        prepared.load(1)
