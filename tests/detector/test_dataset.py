import cv2
import numpy as np
import pytest
from PIL import Image

from dobble.data.voc import VocObject, VocPhoto, write_annotation
from dobble.detector.dataset import LabelledPhoto, TrainingPhotos, box_shares, load_split, read_photo
from dobble.errors import AnnotationError, MissingInputError, PhotoError

ORIENTATION = 0x0112


def photo_of(path, boxes=(), longer_side=100):
    return LabelledPhoto(
        path.stem,
        path,
        longer_side,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(len(boxes), np.int64),
    )


def test_split_has_its_photos_with_class_ids_by_the_order_of_the_labels(squares):
    voc, splits = squares
    photos = load_split(voc, splits, "val")
    assert [photo.name for photo in photos] == ["photo10", "photo11", "photo12"]
    for photo in photos:
        assert photo.path == voc / "JPEGImages" / f"{photo.name}.png"
        assert photo.longer_side == 160
        assert (photo.boxes.shape, photo.boxes.dtype) == ((3, 4), np.float32)
        assert photo.labels.tolist() == [0, 1, 2]  # blue, green, red, as they were written


def test_boxes_lie_on_their_squares(squares):
    photo = load_split(*squares, "train")[0]
    image = read_photo(photo.path)
    x1, y1, x2, y2 = photo.boxes[2].astype(int)
    np.testing.assert_array_equal(image[y1:y2, x1:x2], np.full((y2 - y1, x2 - x1, 3), (50, 40, 210)))
    assert (image[y1 - 1, x1:x2] < 120).all()
    assert (image[y2, x1:x2] < 120).all()


def test_class_that_the_labels_lack_is_named(own_squares):
    voc, splits = own_squares
    (voc / "labels.txt").write_text("blue\ngreen\n")
    with pytest.raises(
        AnnotationError, match=r"photo00\.xml: names 'red', which labels\.txt lacks; run `dvc"
    ):
        load_split(voc, splits, "train")


@pytest.mark.parametrize("missing", ["labels.txt", "Annotations/photo03.xml"])
def test_stage_that_has_not_run_is_seen(own_squares, missing):
    voc, splits = own_squares
    (voc / missing).unlink()
    with pytest.raises(MissingInputError, match=f"{missing} does not exist"):
        load_split(voc, splits, "train")


def test_missing_split_is_named(squares):
    with pytest.raises(MissingInputError, match=r"train2\.txt does not exist"):
        load_split(*squares, "train2")


def test_box_shares_are_of_the_longer_side(tmp_path):
    photos = [
        photo_of(tmp_path / "a.png", [[0, 0, 50, 25], [10, 10, 20, 60]], 100),
        photo_of(tmp_path / "b.png", [[0, 0, 50, 25]], 200),
    ]
    np.testing.assert_allclose(box_shares(photos), [[0.5, 0.25], [0.1, 0.5], [0.25, 0.125]])


def test_photo_is_read_in_opencv_s_order_of_colours(tmp_path):
    Image.new("RGB", (6, 4), (200, 100, 50)).save(tmp_path / "photo.png")
    image = read_photo(tmp_path / "photo.png")
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)
    assert image[0, 0].tolist() == [50, 100, 200]


@pytest.mark.parametrize(
    ("orientation", "shape", "corner"),
    [
        (1, (20, 40), "top left"),
        (3, (20, 40), "bottom right"),  # turned by half
        (6, (40, 20), "top right"),  # to be turned clockwise
        (8, (40, 20), "bottom left"),
    ],
)
def test_photo_stands_upright_whatever_way_the_camera_was_held(tmp_path, orientation, shape, corner):
    picture = Image.new("RGB", (40, 20))
    picture.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    image = read_photo(tmp_path / "photo.jpg")
    assert image.shape[:2] == shape
    corners = {"top left": (2, 2), "top right": (2, -3), "bottom left": (-3, 2), "bottom right": (-3, -3)}
    assert {name: int(image[place].min()) > 200 for name, place in corners.items()} == {
        name: name == corner for name in corners
    }


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_file_that_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(PhotoError, match=r"photo\.jpg: is no picture that OpenCV can decode$"):
        read_photo(tmp_path / "photo.jpg")


def test_missing_photo_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"photo\.jpg does not exist: check the name"):
        read_photo(tmp_path / "photo.jpg")
    with pytest.raises(MissingInputError):
        read_photo(tmp_path)


def test_training_sees_red_green_and_blue_in_this_order(tmp_path):
    Image.new("RGB", (6, 4), (200, 100, 50)).save(tmp_path / "photo.png")
    image, boxes, labels = TrainingPhotos([photo_of(tmp_path / "photo.png", [[1, 1, 3, 3]])]).load(0)
    assert image[0, 0].tolist() == [200, 100, 50]
    assert boxes.tolist() == [[1, 1, 3, 3]]
    assert labels.tolist() == [0]


@pytest.mark.parametrize(("width", "height", "small"), [(960, 640, (480, 320)), (500, 1200, (200, 480))])
def test_boxes_of_a_photo_that_is_shrunk_stay_on_their_symbols(tmp_path, width, height, small):
    image = np.zeros((height, width, 3), np.uint8)
    image[300:420, 120:360] = 255
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    photos = TrainingPhotos([photo_of(tmp_path / "photo.png", [[120, 300, 360, 420]], max(width, height))])
    shrunk, boxes, _ = photos.load(0)
    assert shrunk.shape == (small[1], small[0], 3)
    factor = 480 / max(width, height)
    np.testing.assert_allclose(boxes, np.array([[120, 300, 360, 420]]) * factor, rtol=1e-6)
    rows, columns = np.nonzero(shrunk[..., 0] > 127)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == boxes[0].tolist()


def test_photo_of_480_pixels_is_not_touched(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (480, 320, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    loaded, _, _ = TrainingPhotos([photo_of(tmp_path / "photo.png")]).load(0)
    np.testing.assert_array_equal(loaded, image[..., ::-1])


def test_photos_are_decoded_once_while_there_is_room(tmp_path):
    for name in "ab":
        Image.new("RGB", (10, 10), (9, 9, 9)).save(tmp_path / f"{name}.png")
    photos = TrainingPhotos([photo_of(tmp_path / "a.png"), photo_of(tmp_path / "b.png")], cache_bytes=300)
    assert len(photos) == 2
    first = photos.load(0)[0]
    photos.load(1)
    for name in "ab":
        (tmp_path / f"{name}.png").unlink()
    assert photos.load(0)[0] is first  # 300 bytes: the memory is full
    with pytest.raises(MissingInputError):
        photos.load(1)


def test_annotation_of_a_photo_without_symbols_gives_an_empty_array(own_squares):
    voc, splits = own_squares
    write_annotation(voc / "Annotations/photo00.xml", VocPhoto("photo00.png", 160, 160, ()))
    photo = load_split(voc, splits, "train")[0]
    assert photo.boxes.shape == (0, 4)
    assert photo.labels.shape == (0,)


def test_photo_that_is_wider_than_high_counts_by_its_width(own_squares):
    voc, splits = own_squares
    entry = VocObject("red", 1, 1, 50, 40)
    write_annotation(voc / "Annotations/photo00.xml", VocPhoto("photo00.png", 640, 480, (entry,)))
    photo = load_split(voc, splits, "train")[0]
    assert photo.longer_side == 640
    assert photo.boxes.tolist() == [[0, 0, 50, 40]]
