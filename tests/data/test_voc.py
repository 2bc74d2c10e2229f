"""Pascal VOC files: what is written, and what is read back."""

from xml.etree.ElementTree import parse

import numpy as np
import pytest

from dobble.data.voc import (
    VocObject,
    VocPhoto,
    read_annotation,
    read_image_set,
    read_labels,
    write_annotation,
    write_lines,
)
from dobble.errors import AnnotationError, MissingInputError

PHOTO = VocPhoto(
    "deck00_card17.jpg",
    480,
    320,
    (VocObject("anchor", 1, 2, 480, 320, truncated=True), VocObject("cat & <dog>", 7, 8, 7, 8)),
)


def test_annotation_has_the_layout_of_the_development_kit(tmp_path):
    write_annotation(tmp_path / "a.xml", PHOTO)
    root = parse(tmp_path / "a.xml").getroot()
    assert [child.tag for child in root] == [
        "folder",
        "filename",
        "source",
        "size",
        "segmented",
        "object",
        "object",
    ]
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height", "depth")] == ["480", "320", "3"]
    entry = root.find("object")
    assert [child.tag for child in entry] == ["name", "pose", "truncated", "difficult", "bndbox"]
    assert [(child.tag, child.text) for child in entry.find("bndbox")] == [
        ("xmin", "1"),
        ("ymin", "2"),
        ("xmax", "480"),
        ("ymax", "320"),
    ]
    assert [entry.findtext(tag) for tag in ("truncated", "difficult")] == ["1", "0"]


def test_annotation_comes_back_as_it_was_written(tmp_path):
    write_annotation(tmp_path / "a.xml", PHOTO)
    assert read_annotation(tmp_path / "a.xml") == PHOTO


def test_same_photo_gives_the_same_bytes(tmp_path):
    for name in ("a.xml", "b.xml"):
        write_annotation(tmp_path / name, PHOTO)
    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()


def test_boxes_count_from_the_border_of_the_photo():
    assert PHOTO.boxes.dtype == np.float32
    assert PHOTO.boxes.tolist() == [[0, 1, 480, 320], [6, 7, 7, 8]]
    assert PHOTO.names == ["anchor", "cat & <dog>"]


def test_photo_without_symbols_has_no_boxes():
    assert VocPhoto("a.jpg", 4, 4, ()).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("</annotation>", ""), "is cut short or no XML"),
        (("annotation>", "other>"), "is <other>, not <annotation>"),
        (("<width>480</width>", ""), "has no <size/width>"),
        (("<width>480</width>", "<width>0x1</width>"), "<size/width> is '0x1', not a whole number"),
        (("<name>anchor</name>", "<name> </name>"), "<object> has no <name>"),
        (("<xmin>1</xmin>", "<xmin>0</xmin>"), "'anchor' has the box 0 2 480 320, not inside 480 x 320"),
        (("<xmax>480</xmax>", "<xmax>481</xmax>"), "not inside 480 x 320"),
        (("<xmin>7</xmin>", "<xmin>8</xmin>"), "has the box 8 8 7 8, not inside"),
        (("<ymin>2</ymin>", "<ymin>2.5</ymin>"), "<bndbox/ymin> is '2.5', not a whole number"),
        (("<xmin>1</xmin>", ""), "has no <bndbox/xmin>"),
        (("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>'), "is cut short or no XML"),
    ],
)
def test_annotation_that_cannot_be_used_names_its_file(tmp_path, change, message):
    path = tmp_path / "a.xml"
    write_annotation(path, PHOTO)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(AnnotationError) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_lists_come_back_as_they_were_written(tmp_path):
    write_lines(tmp_path / "labels.txt", ["anchor", "ice cube"])
    assert (tmp_path / "labels.txt").read_bytes() == b"anchor\nice cube\n"
    assert read_labels(tmp_path / "labels.txt") == ["anchor", "ice cube"]
    assert read_image_set(tmp_path / "labels.txt") == ["anchor", "ice cube"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "names no class"),
        (b"a\nb\na\n", "names the class 'a' twice"),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_list_that_cannot_be_used_names_its_file(tmp_path, content, message):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize("read", [read_annotation, read_labels, read_image_set])
def test_missing_file_is_named(tmp_path, read):
    with pytest.raises(MissingInputError, match="none does not exist"):
        read(tmp_path / "none")
