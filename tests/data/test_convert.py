"""Raw data to Pascal VOC, from the first pixel to a full disk."""

import json
import subprocess
import sys
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from PIL import Image

from dobble.data.annotations import LabelledBox, LabelledPhoto
from dobble.data.convert import convert
from dobble.data.photos import check_photo
from dobble.data.placement import voc_photo
from dobble.data.voc import VocObject, read_annotation, read_labels
from dobble.errors import BadRowsError, ExportError, MissingInputError, OutputError, PhotoError
from dobble.params import ConvertParams
from dobble.sources.import_export import import_export

REFUSE, FIRST = ConvertParams(several_labels="refuse"), ConvertParams(several_labels="first")
PHOTOS = {
    "deck00_card00.jpg": [("tree", 0, 0, 20, 10), ("anchor", 10.5, 5.25, 12, 8)],
    "deck00_card01.png": [("anchor", 3, 4, 5, 6)],
    "session/deck01_card00.webp": [("clock", 30, 20, 30, 30)],
    "deck01_card01.bmp": [],
}


def draw(path, size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def v2_row(name, boxes, size=(40, 30)):
    objects = [
        {
            "name": label,
            "annotation_kind": "ImageBoundingBox",
            "bounding_box": {"left": left, "top": top, "width": width, "height": height},
        }
        for label, left, top, width, height in boxes
    ]
    labels = [{"id": "l", "label_kind": "Default", "annotations": {"objects": objects}}] if boxes else []
    return {
        "data_row": {"id": name, "external_id": name},
        "media_attributes": {"width": size[0], "height": size[1]} if size else None,
        "projects": {"p": {"name": "Dobble", "labels": labels}},
    }


def v1_row(name, boxes):
    objects = [
        {"value": label, "title": label, "bbox": {"left": left, "top": top, "width": width, "height": height}}
        for label, left, top, width, height in boxes
    ]
    return {"External ID": name, "Project Name": "Dobble", "Label": {"objects": objects} if boxes else "Skip"}


def raw_data(folder, rows):
    """Write raw data by hand, as a user might who mends them."""
    folder.mkdir(exist_ok=True)
    (folder / "export.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return folder


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def raw(tmp_path):
    for name in PHOTOS:
        draw(tmp_path / "photos" / name)
    (tmp_path / "v2").write_text("".join(json.dumps(v2_row(*item)) + "\n" for item in PHOTOS.items()))
    import_export(tmp_path / "v2", tmp_path / "photos", tmp_path / "data")
    return tmp_path / "data"


def test_both_generations_of_an_export_give_the_same_voc(raw, tmp_path):
    (tmp_path / "v1").write_text(json.dumps([v1_row(*item) for item in PHOTOS.items()]))
    import_export(tmp_path / "v1", tmp_path / "photos", tmp_path / "data1")
    convert(raw, tmp_path / "voc2", REFUSE)
    convert(tmp_path / "data1", tmp_path / "voc1", REFUSE)
    assert snapshot(tmp_path / "voc1") == snapshot(tmp_path / "voc2")


def test_voc_has_the_photos_bytes_and_boxes_in_whole_pixels(raw, tmp_path):
    summary = convert(raw, tmp_path / "voc", REFUSE)
    files = snapshot(tmp_path / "voc")
    assert set(files) == {
        "JPEGImages/deck00_card00.jpg",
        "JPEGImages/deck00_card01.png",
        "JPEGImages/session--deck01_card00.webp",
        "Annotations/deck00_card00.xml",
        "Annotations/deck00_card01.xml",
        "Annotations/session--deck01_card00.xml",
        "labels.txt",
        "summary.json",
    }
    for name in list(PHOTOS)[:3]:
        copied = files[f"JPEGImages/{name.replace('/', '--')}"]
        assert copied == (tmp_path / "photos" / name).read_bytes()
    photo = read_annotation(tmp_path / "voc" / "Annotations" / "deck00_card00.xml")
    assert (photo.filename, photo.width, photo.height) == ("deck00_card00.jpg", 40, 30)
    assert photo.objects == (VocObject("tree", 1, 1, 20, 10), VocObject("anchor", 11, 6, 23, 14))
    clipped = read_annotation(tmp_path / "voc" / "Annotations" / "session--deck01_card00.xml")
    assert clipped.objects == (VocObject("clock", 31, 21, 40, 30, truncated=True),)
    assert read_labels(tmp_path / "voc" / "labels.txt") == ["anchor", "clock", "tree"]
    assert asdict(summary) == {
        "photos": 3,
        "negatives": 0,
        "boxes": 4,
        "clipped": 1,
        "left_out": 1,
        "classes": {"anchor": 2, "clock": 1, "tree": 1},
        "turned": {},
        "made_up": [],
    }
    assert json.loads(files["summary.json"]) == asdict(summary)


def test_second_conversion_gives_the_same_bytes(raw, tmp_path):
    convert(raw, tmp_path / "voc", REFUSE)
    first = snapshot(tmp_path / "voc")
    convert(raw, tmp_path / "voc", REFUSE)
    assert snapshot(tmp_path / "voc") == first


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 40, 30), (1, 1, 40, 30, False)),
        ((0.5, 0.5, 1, 1), (1, 1, 2, 2, False)),
        ((10, 10, 1, 1), (11, 11, 11, 11, False)),
        ((0.1, 0, 0.2 + 39.7, 30), (1, 1, 40, 30, False)),
        ((-2, -3, 10, 10), (1, 1, 8, 7, True)),
        ((35, 25, 10, 10), (36, 26, 40, 30, True)),
        ((-9, -9, 99, 99), (1, 1, 40, 30, True)),
    ],
)
def test_box_becomes_the_pixels_that_it_touches(box, expected):
    photo = LabelledPhoto("a.jpg", 40, 30, (LabelledBox("tree", *box),), 1)
    assert voc_photo(photo, "a.jpg", (40, 30)).objects == (VocObject("tree", *expected),)


@pytest.mark.parametrize(
    "box", [(40, 0, 10, 10), (-10, 0, 10, 10), (0, 31, 5, 5), (39.5, 0, 10, 10), (5, 5, 0.5, 9)]
)
def test_box_with_less_than_a_pixel_inside_is_refused(box):
    photo = LabelledPhoto("a.jpg", 40, 30, (LabelledBox("tree", *box),), 7)
    with pytest.raises(PhotoError, match=r"the box of 'tree', .* has less than a pixel inside 40 x 30"):
        voc_photo(photo, "a.jpg", (40, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_size_is_that_of_the_photo_as_opencv_shows_it(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = draw(tmp_path / f"a.{suffix}", exif=exif)
    height, width = cv2.imread(str(path)).shape[:2]
    assert check_photo(path).upright == (width, height)
    assert (width, height) == ((30, 40) if orientation >= 5 else (40, 30))


def test_turned_photo_keeps_its_bytes_and_has_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = draw(tmp_path / "data" / "images" / "a.jpg", exif=exif)
    raw_data(tmp_path / "data", [v2_row("a.jpg", [("tree", 0, 0, 30, 40)], (30, 40))])
    convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    photo = read_annotation(tmp_path / "voc" / "Annotations" / "a.xml")
    assert (photo.width, photo.height) == (30, 40)
    assert (tmp_path / "voc" / "JPEGImages" / "a.jpg").read_bytes() == path.read_bytes()


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(path, exif=exif)


def turned_by_xmp(path):
    orientation = b'<rdf:Description tiff:Orientation="6"/>'
    draw(path, xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>' + orientation + b"</rdf:RDF></x:xmpmeta>")


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def test_photo_labelled_as_empty_is_kept_without_objects(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        draw(tmp_path / "data" / "images" / name)
    empty, unlabelled = v2_row("b.jpg", [("tree", 0, 0, 9, 9)]), v2_row("c.jpg", [])
    empty["projects"]["p"]["labels"][0]["annotations"]["objects"] = []
    raw_data(tmp_path / "data", [v2_row("a.jpg", [("tree", 0, 0, 9, 9)]), empty, unlabelled])
    summary = convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    assert (summary.photos, summary.negatives, summary.left_out) == (2, 1, 1)
    assert read_annotation(tmp_path / "voc" / "Annotations" / "b.xml").objects == ()
    assert (tmp_path / "voc" / "JPEGImages" / "b.jpg").is_file()


def test_photo_named_without_a_suffix_gets_that_of_its_format(tmp_path):
    for name in ("deck01.card01", "deck01.card02"):
        draw(tmp_path / "data" / "images" / f"{name}.png").rename(tmp_path / "data" / "images" / name)
    raw_data(tmp_path / "data", [v2_row(f"deck01.card0{n}", [("tree", 0, 0, 9, 9)]) for n in (1, 2)])
    convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    files = sorted(path.name for path in (tmp_path / "voc" / "JPEGImages").iterdir())
    assert files == ["deck01.card01.png", "deck01.card02.png"]
    photo = read_annotation(tmp_path / "voc" / "Annotations" / "deck01.card01.xml")
    assert (photo.filename, photo.photo_id) == ("deck01.card01.png", "deck01.card01")


ALIKE = {
    "case": "red fox",
    "non-breaking space": "Red\u00a0fox",
    "zero-width space": "Red fox\u200b",
    "underscore": "Red_fox",
    "full width": "\uff32ed fox",
}


@pytest.mark.parametrize("twin", ALIKE.values(), ids=ALIKE.keys())
def test_labels_that_look_alike_are_told_or_merged(tmp_path, twin):
    names = ["Red fox", "Red fox", twin]
    rows = [v2_row(f"{n}.jpg", [(name, 0, 0, 9, 9)]) for n, name in enumerate(names)]
    for entry in rows:
        draw(tmp_path / "data" / "images" / entry["data_row"]["id"])
    raw_data(tmp_path / "data", rows)
    with pytest.raises(ExportError, match=r"set convert\.similar_labels to merge") as caught:
        convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    assert f"'Red fox' (2) and {twin!a} (1)" in str(caught.value)
    merged = ConvertParams(several_labels="refuse", similar_labels="merge")
    assert convert(tmp_path / "data", tmp_path / "voc", merged).classes == {"Red fox": 3}


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("a.webp", turned, "has an EXIF or XMP orientation that not all programs heed"),
        ("a.jpg", turned_by_xmp, "has an EXIF or XMP orientation that not all programs heed"),
        ("a.jpg", lambda path: draw(path, (41, 30)), "was labelled as 40 x 30 pixels, and has 41 x 30"),
        ("a.jpg", lambda path: path.unlink(), "is missing: put the photo there"),
        ("a.jpg", lambda path: path.write_bytes(b""), "is no JPEG, PNG, WebP, BMP or TIFF picture"),
        *[(f"a.{suffix}", cut, "is cut short or damaged") for suffix in ("jpg", "png", "webp", "bmp", "tif")],
    ],
)
def test_photo_that_is_not_what_was_labelled_is_refused_by_name(tmp_path, name, damage, message):
    path = draw(tmp_path / "data" / "images" / name)
    damage(path)
    raw_data(tmp_path / "data", [v2_row(name, [("tree", 0, 0, 9, 9)])])
    with pytest.raises(BadRowsError) as caught:
        convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    ((number, photo, problem),) = caught.value.problems
    assert (number, photo) == (1, name)
    assert message in problem
    assert not (tmp_path / "voc").exists()
    assert name in (tmp_path / "voc-problems.csv").read_text()


def test_several_labels_are_refused_or_the_first_counts(tmp_path):
    draw(tmp_path / "data" / "images" / "a.jpg")
    entry = v2_row("a.jpg", [("tree", 0, 0, 9, 9)])
    labels = entry["projects"]["p"]["labels"]
    labels.append(v2_row("", [("clock", 0, 0, 9, 9)])["projects"]["p"]["labels"][0])
    raw_data(tmp_path / "data", [entry])
    with pytest.raises(BadRowsError, match=r"a\.jpg +has 2 labels"):
        convert(tmp_path / "data", tmp_path / "voc", REFUSE)
    assert convert(tmp_path / "data", tmp_path / "voc", FIRST).classes == {"tree": 1}


def test_data_without_a_label_are_refused(tmp_path):
    raw_data(tmp_path / "data", [v2_row("a.jpg", [])])
    with pytest.raises(ExportError, match="none of the 1 photos has a box"):
        convert(tmp_path / "data", tmp_path / "voc", REFUSE)


def test_missing_data_name_the_cure(tmp_path):
    with pytest.raises(MissingInputError, match="pull the data"):
        convert(tmp_path / "data", tmp_path / "voc", REFUSE)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from dobble.data.convert import convert
from dobble.errors import OutputError
from dobble.params import ConvertParams
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    convert(Path(sys.argv[1]), Path(sys.argv[2]), ConvertParams(several_labels="refuse"))
except OutputError as error:
    print(error)
"""


def test_full_disk_is_one_line_and_earlier_output_stays_whole(raw, tmp_path):
    voc = tmp_path / "build" / "voc"
    convert(raw, voc, REFUSE)
    before = snapshot(tmp_path / "build")
    command = [sys.executable, "-c", FULL_DISK, str(raw), str(voc)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{voc} could not be written: File too large; what was there before is untouched\n"
    assert snapshot(tmp_path / "build") == before
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["voc"]


def test_place_that_cannot_be_written_is_named(raw, tmp_path):
    (tmp_path / "build").write_text("in the way")
    with pytest.raises(OutputError, match="voc could not be written"):
        convert(raw, tmp_path / "build" / "voc", REFUSE)
