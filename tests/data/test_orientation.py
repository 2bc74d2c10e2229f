"""Boxes drawn before EXIF turns a photo: turned by what tells, refused where nothing does."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dobble.data.annotations import LabelledBox, LabelledPhoto
from dobble.data.convert import convert
from dobble.data.orientation import read_turned, turn_back, turn_boxes
from dobble.data.photos import PhotoSize
from dobble.data.turned_photos import find_frames
from dobble.data.voc import read_annotation
from dobble.detector.dataset import read_photo
from dobble.errors import BadRowsError, PhotoError
from dobble.params import ConvertParams
from dobble.sources.import_export import import_export

ORIENTATIONS = range(1, 9)
CASES = Path(__file__).parents[3] / "shared/cases/01-exif"
REFUSE = ConvertParams(several_labels="refuse")
COLOURS = {"fox": (220, 30, 30), "bird": (30, 60, 220)}
BOXES = {"fox": (20, 30, 60, 50), "bird": (200, 120, 80, 70)}  # left, top, width, height as stored


def photograph(path, orientation, size, boxes=BOXES):
    """Save a plain photo with a rectangle of its colour in each box."""
    pixels = np.full((size[1], size[0], 3), 235, np.uint8)
    for name, (left, top, width, height) in boxes.items():
        pixels[top : top + height, left : left + width] = COLOURS[name]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def drawn(boxes):
    return [
        {
            "name": name,
            "value": name,
            "title": name,
            "annotation_kind": "ImageBoundingBox",
            "bounding_box": (place := dict(zip(("left", "top", "width", "height"), box, strict=True))),
            "bbox": place,
        }
        for name, box in boxes.items()
    ]


def v1(name, boxes=BOXES):
    return {"External ID": name, "DataRow ID": name, "Label": {"objects": drawn(boxes)}}


def v2(name, boxes=BOXES, **media):
    label = {"id": name, "annotations": {"objects": drawn(boxes)}}
    return {
        "data_row": {"id": name, "external_id": name},
        "media_attributes": media,
        "projects": {"p": {"labels": [label]}},
    }


def converted(folder, *rows):
    (folder / "export").write_text("\n".join(json.dumps(row) for row in rows))
    import_export(folder / "export", folder / "photos", folder / "data")
    convert(folder / "data", folder / "voc", REFUSE)
    return folder / "voc"


def assert_boxes_lie_on_their_colours(voc, photo):
    annotation = read_annotation(voc / "Annotations" / f"{photo}.xml")
    image = read_photo(voc / "JPEGImages" / annotation.filename)[..., ::-1]
    assert image.shape[:2] == (annotation.height, annotation.width)
    assert len(annotation.objects) == len(BOXES)
    for name, (x1, y1, x2, y2) in zip(annotation.names, annotation.boxes.astype(int), strict=True):
        inside = image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].reshape(-1, 3).astype(int)
        assert np.abs(inside - COLOURS[name]).max() < 40, (photo, name)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_turn_as_opencv_turns_the_photo(tmp_path, orientation):
    path = photograph(tmp_path / "a.jpg", orientation, (400, 300), {"fox": BOXES["fox"]})
    (box,) = turn_boxes([LabelledBox("fox", *BOXES["fox"])], orientation, (400, 300))
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    rows, columns = np.nonzero(np.abs(image - COLOURS["fox"]).max(2) < 60)
    assert box.left == pytest.approx(columns.min(), abs=1)
    assert box.top == pytest.approx(rows.min(), abs=1)
    assert box.left + box.width == pytest.approx(columns.max() + 1, abs=1)
    assert box.top + box.height == pytest.approx(rows.max() + 1, abs=1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_back_undoes_turning(orientation):
    box = LabelledBox("fox", 20, 30, 60, 50)
    size = (400, 300)
    turned = turn_boxes([box], orientation, size)
    after = size[::-1] if orientation >= 5 else size
    assert turn_boxes(turned, turn_back(orientation), after) == (box,)


def photo_of(size=(None, None), noted=None):
    return LabelledPhoto("a.jpg", *size, (LabelledBox("fox", 1, 2, 3, 4),), 1, exif_rotation=noted)


def size_of(orientation, stored=(40, 30)):
    return PhotoSize(stored, stored[::-1] if orientation >= 5 else stored, orientation, ".jpg")


@pytest.mark.parametrize(
    ("photo", "size", "frames"),
    [
        (photo_of(), size_of(1), (1,)),
        (photo_of(noted=1), size_of(1), (1,)),
        (photo_of((40, 30)), size_of(6), (6,)),
        (photo_of((30, 40)), size_of(6), (1,)),
        (photo_of((40, 30), noted=1), size_of(6), (6,)),
        (photo_of((30, 40), noted=6), size_of(6), (1,)),
        (photo_of((40, 30)), size_of(3), (3, 1)),
        (photo_of((40, 30), noted=3), size_of(3), (3,)),
        (photo_of(noted=8), size_of(8), (8,)),
        (photo_of(), size_of(6), (6, 1)),
        (photo_of((40, 40)), size_of(6, (40, 40)), (6, 1)),
        (photo_of((40, 40), noted=1), size_of(6, (40, 40)), (6, 1)),
        (photo_of((40, 30), noted=6), size_of(1), (1,)),
        (photo_of((30, 40), noted=6), size_of(1), (6,)),
        (photo_of((40, 30), noted=3), size_of(1), (1, 3)),
    ],
)
def test_sizes_decide_then_what_labelbox_has_noted(photo, size, frames):
    assert find_frames(photo, size) == frames


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (photo_of((41, 30)), "was labelled as 41 x 30 pixels, and has 40 x 30"),
        (photo_of((40, 30), noted=8), "was labelled with the EXIF orientation 8, and has 3"),
    ],
)
def test_another_photo_than_was_labelled_is_refused(photo, message):
    with pytest.raises(PhotoError, match=f"{message}: put the photo that was labelled there"):
        find_frames(photo, size_of(3))


SIZES = {"wide": (400, 300), "square": (400, 400)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_boxes_of_every_orientation_are_found_by_what_the_row_says_or_by_ink(tmp_path, size):
    rows = []
    for orientation in ORIENTATIONS:
        sizes = {"width": size[0], "height": size[1]}
        names = [f"{orientation}-{kind}.jpg" for kind in ("v1", "bare", "sized", "noted", "both")]
        for name in names:
            photograph(tmp_path / "photos" / name, orientation, size)
        noted = {"exif_rotation": str(orientation)}
        media = ({}, sizes, noted, sizes | noted)
        rows += [v1(names[0]), *(v2(name, **given) for name, given in zip(names[1:], media, strict=True))]
    voc = converted(tmp_path, *rows)
    for row in rows:
        name = row.get("External ID") or row["data_row"]["external_id"]
        assert_boxes_lie_on_their_colours(voc, Path(name).stem)
    assert read_turned(voc)["3-v1"] == 3
    assert "1-v1" not in read_turned(voc)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_boxes_of_an_upright_copy_are_found_by_ink_too(tmp_path, orientation):
    photograph(tmp_path / "photos" / "a.jpg", orientation, (400, 300))
    upright = turn_boxes([LabelledBox(name, *box) for name, box in BOXES.items()], orientation, (400, 300))
    boxes = {box.name: (box.left, box.top, box.width, box.height) for box in upright}
    voc = converted(tmp_path, v2("a.jpg", boxes, width=400, height=300))
    assert_boxes_lie_on_their_colours(voc, "a")
    assert read_turned(voc) == {}


def test_photo_that_says_nothing_by_itself_follows_the_others(tmp_path):
    for name in ("a", "b", "c"):
        photograph(tmp_path / "photos" / f"{name}.jpg", 3, (400, 300), BOXES if name != "c" else {})
    voc = converted(tmp_path, *(v1(f"{name}.jpg") for name in "abc"))
    assert set(read_turned(voc)) == {"a", "b", "c"}


def test_photos_are_refused_by_name_where_nothing_tells(tmp_path):
    photograph(tmp_path / "photos" / "turned.jpg", 3, (400, 300), {})
    photograph(tmp_path / "photos" / "plain.jpg", 1, (400, 300))
    with pytest.raises(BadRowsError) as caught:
        converted(tmp_path, v1("turned.jpg"), v1("plain.jpg"))
    ((row, photo, problem),) = caught.value.problems
    assert (row, photo) == (1, "turned.jpg")
    assert "EXIF turns it, and nothing tells whether its boxes are meant before or after that" in problem


def test_photo_that_says_otherwise_than_the_rest_is_refused_by_name(tmp_path):
    names = ["a.jpg", "b.jpg", "c.jpg", "odd.jpg"]
    for name in names:
        photograph(tmp_path / "photos" / name, 3, (400, 300))
    other = {
        name: (400 - left - width, 300 - top - height, width, height)
        for name, (left, top, width, height) in BOXES.items()
    }
    with pytest.raises(BadRowsError) as caught:
        converted(tmp_path, *(v1(name) for name in names[:3]), v1("odd.jpg", other))
    assert [photo for _, photo, _ in caught.value.problems] == ["odd.jpg"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
@pytest.mark.parametrize("case", ["a-turned180", "b-square-turned90", "d-v2-turned90", "e-v2-nosize"])
def test_shared_case_has_its_boxes_in_place(tmp_path, case):
    import_export(CASES / case / "export.json", CASES / case / "photos", tmp_path / "data")
    convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    annotation = read_annotation(tmp_path / "voc" / "Annotations" / "deck01_card01.xml")
    image = read_photo(tmp_path / "voc" / "JPEGImages" / annotation.filename)[..., ::-1].astype(int)
    colours = {"Red fox": (220, 30, 30), "Blue bird": (30, 60, 220)}
    for name, (x1, y1, x2, y2) in zip(annotation.names, annotation.boxes.astype(int), strict=True):
        assert np.abs(image[(y1 + y2) // 2, (x1 + x2) // 2] - colours[name]).max() < 40
