"""Both generations of Labelbox exports: what is read, and what is refused by name."""

import copy
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from dobble.data.annotations import LabelledBox, LabelledPhoto, read_photos
from dobble.errors import ExportError, MissingInputError


def v2_object(name="anchor", **changes):
    box = {"left": 10.5, "top": 20, "width": 30.25, "height": 40}
    return {"name": name, "value": "v", "annotation_kind": "ImageBoundingBox", "bounding_box": box, **changes}


def v2_label(*objects, **changes):
    return {"id": "label", "label_kind": "Default", "annotations": {"objects": list(objects)}, **changes}


def v2_row(name="a.jpg", labels=None, **changes):
    labels = [v2_label(v2_object())] if labels is None else labels
    return {
        "data_row": {"id": f"id of {name}", "external_id": name},
        "media_attributes": {"width": 480, "height": 320},
        "projects": {"p1": {"name": "Dobble", "labels": labels}},
        **changes,
    }


def v1_object(**changes):
    box = {"left": 10.5, "top": 20, "width": 30.25, "height": 40}
    return {"featureId": "f", "schemaId": "s", "title": "anchor", "value": "slug", "bbox": box, **changes}


def v1_row(name="a.jpg", **changes):
    return {
        "ID": "l",
        "DataRow ID": "d",
        "Labeled Data": "https://example.org/a.jpg?sig=1",
        "External ID": name,
        "Project Name": "Dobble",
        "Label": {"objects": [v1_object()], "classifications": []},
        **changes,
    }


def ndjson(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def array(*rows):
    return json.dumps(rows, indent=1).encode()


def read(tmp_path, content, **arguments):
    export = tmp_path / "export"
    export.write_bytes(content)
    return list(read_photos(export, **arguments))


def box_of(**changes):
    return v2_row(labels=[v2_label(v2_object(bounding_box={**v2_object()["bounding_box"], **changes}))])


BOX = LabelledBox("anchor", 10.5, 20.0, 30.25, 40.0)
PHOTO = LabelledPhoto("a.jpg", 480, 320, (BOX,), 1, project="p1")
OTHER = v2_row("b.jpg")
TWO_LABELS = [
    v2_label(v2_object("late"), id="1", label_details={"created_at": "2024-02-02"}),
    v2_label(v2_object("early"), id="2", label_details={"created_at": "2024-01-01"}),
]


def test_v2_row_is_read_with_its_sizes_and_floats(tmp_path):
    assert read(tmp_path, ndjson(v2_row())) == [PHOTO]


def test_v1_row_says_the_same_but_for_the_size_that_it_does_not_know(tmp_path):
    (photo,) = read(tmp_path, array(v1_row()))
    assert photo == replace(PHOTO, width=None, height=None, project=photo.project)
    assert photo.project is not None


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"\xef\xbb\xbf" + ndjson(v2_row(), OTHER), [1, 2]),
        (ndjson(v2_row(), OTHER).replace(b"\n", b"\r\n") + b"\r\n", [1, 2]),
        (b"\n  \n" + ndjson(v2_row(), OTHER).replace(b"\n", b"\n\n\n"), [3, 6]),
        (b"\xef\xbb\xbf\n\n" + array(v2_row(), OTHER), [1, 2]),
        (array(v1_row(), v1_row("b.jpg")), [1, 2]),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "v2 in an array", "v1"],
)
def test_generation_and_rows_are_found_by_content(tmp_path, content, rows):
    photos = read(tmp_path, content)
    assert [(photo.external_id, photo.row) for photo in photos] == list(
        zip(["a.jpg", "b.jpg"], rows, strict=True)
    )


@pytest.mark.parametrize(
    "row",
    [
        v2_row(labels=[]),
        v2_row(projects={}),
        v2_row(labels=[v2_label(v2_object(), performance_details={"skipped": True})]),
        v1_row(Label={}),
        v1_row(Label="Skip"),
        v1_row(Label=None),
        v1_row(Skipped=True),
        v1_row(Label={"classifications": []}),
    ],
    ids=[
        "no label",
        "no project",
        "skipped",
        "v1 empty",
        "v1 Skip",
        "v1 null",
        "v1 Skipped",
        "v1 only classified",
    ],
)
def test_row_without_a_label_has_no_boxes_and_is_no_negative(tmp_path, row):
    (photo,) = read(tmp_path, ndjson(row))
    assert (photo.boxes, photo.labelled) == ((), False)


@pytest.mark.parametrize(
    "row",
    [v2_row(labels=[v2_label()]), v1_row(Label={"objects": [], "classifications": []})],
    ids=["v2", "v1"],
)
def test_label_without_boxes_says_that_the_photo_shows_no_symbol(tmp_path, row):
    (photo,) = read(tmp_path, ndjson(row))
    assert (photo.boxes, photo.labelled) == ((), True)


def reviewed(*scores):
    return {"created_at": "2024-01-01", "reviews": [{"score": score} for score in scores]}


REWORK = {"p1": {"project_details": {"workflow_status": "IN_REWORK"}, "labels": [v2_label(v2_object())]}}


@pytest.mark.parametrize(
    ("row", "rejected"),
    [
        (v2_row(labels=[v2_label(v2_object(), label_details=reviewed(-1))]), 1),
        (v2_row(labels=[v2_label(v2_object(), label_details=reviewed(1, -1))]), 0),
        (v2_row(labels=[v2_label(v2_object(), label_details=reviewed(1))]), 0),
        (v2_row(labels=[v2_label(v2_object(), label_details=reviewed())]), 0),
        (v2_row(projects=REWORK), 1),
        (v1_row(Reviews=[{"score": -1, "createdAt": "2020"}]), 1),
        (v1_row(Reviews=[{"score": 1, "createdAt": "2020"}]), 0),
    ],
    ids=[
        "rejected",
        "one for, one against",
        "approved",
        "not reviewed",
        "rework",
        "v1 rejected",
        "v1 approved",
    ],
)
def test_label_that_a_reviewer_has_rejected_does_not_count(tmp_path, row, rejected):
    (photo,) = read(tmp_path, ndjson(row))
    assert (photo.labelled, len(photo.boxes), photo.rejected) == (not rejected, 1 - rejected, rejected)


def test_of_two_labels_the_one_that_is_not_rejected_counts(tmp_path):
    labels = [
        v2_label(v2_object("wrong"), label_details=reviewed(-1)),
        v2_label(v2_object("right"), label_details=reviewed(1)),
    ]
    (photo,) = read(tmp_path, ndjson(v2_row(labels=labels)))
    assert [box.name for box in photo.boxes] == ["right"]


@pytest.mark.parametrize(
    ("given", "orientation"),
    [("6", 6), (3, 3), ("1", 1), ("90", None), (None, None), (True, None), ("", None)],
)
def test_exif_orientation_is_read_where_labelbox_has_noted_it(tmp_path, given, orientation):
    (photo,) = read(tmp_path, ndjson(v2_row(media_attributes={"exif_rotation": given})))
    assert photo.exif_rotation == orientation


def test_names_without_a_suffix_are_names_of_photos(tmp_path):
    names = ["IMG_0042", "deck01.card01", "deck01.card02"]
    assert [photo.external_id for photo in read(tmp_path, ndjson(*map(v2_row, names)))] == names


def test_all_rows_that_cannot_be_used_are_reported_and_the_others_read(tmp_path):
    rows = [v2_row(), box_of(width=0), v2_row("c.jpg"), v2_row("../d.jpg"), v2_row("a.jpg"), v2_row("e.jpg")]
    export = tmp_path / "export"
    export.write_bytes(ndjson(*rows) + b'\n{"data_row": \n')
    errors = []
    photos = list(read_photos(export, report=errors.append))
    assert [photo.external_id for photo in photos] == ["a.jpg", "c.jpg", "e.jpg"]
    assert [error.row for error in errors] == [2, 4, 5, 7]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (v2_object("  anchor\n"), "anchor"),
        (v2_object(name=None, value="tree"), "tree"),
        (v2_object("cafe\u0301"), "caf\u00e9"),
    ],
    ids=["white space", "falls back on value", "composed"],
)
def test_class_name_is_found_and_tidied(tmp_path, entry, name):
    (photo,) = read(tmp_path, ndjson(v2_row(labels=[v2_label(entry)])))
    assert photo.boxes[0].name == name


@pytest.mark.parametrize(
    ("title", "name"), [("Blue bird!", "Blue bird!"), ("", "blue_bird"), (None, "blue_bird")]
)
def test_v1_class_is_the_title_as_in_v2_and_the_slug_only_where_there_is_none(tmp_path, title, name):
    entry = v1_object(title=title, value="blue_bird")
    (photo,) = read(tmp_path, array(v1_row(Label={"objects": [entry]})))
    assert photo.boxes[0].name == name


def test_two_v1_titles_of_one_slug_stay_two_classes(tmp_path):
    objects = [v1_object(title=title, value="bird") for title in ("Bird", "Bird!")]
    (photo,) = read(tmp_path, array(v1_row(Label={"objects": objects})))
    assert [box.name for box in photo.boxes] == ["Bird", "Bird!"]


def test_missing_sizes_and_external_id_have_fallbacks(tmp_path):
    row = v2_row(media_attributes=None, data_row={"id": "x", "global_key": "deck/key.png"})
    (photo,) = read(tmp_path, ndjson(row))
    assert (photo.external_id, photo.width, photo.height) == ("deck/key.png", None, None)


def test_size_given_as_float_is_a_size(tmp_path):
    (photo,) = read(tmp_path, ndjson(v2_row(media_attributes={"width": 480.0, "height": 320.0})))
    assert (photo.width, photo.height) == (480, 320)


def test_first_of_several_labels_is_the_oldest(tmp_path):
    (photo,) = read(tmp_path, ndjson(v2_row(labels=TWO_LABELS)), several_labels="first")
    assert [box.name for box in photo.boxes] == ["early"]


def test_first_of_several_labels_is_the_reference_of_a_benchmark(tmp_path):
    labels = copy.deepcopy(TWO_LABELS)
    labels[0]["label_details"]["is_benchmark_reference"] = True
    (photo,) = read(tmp_path, ndjson(v2_row(labels=labels)), several_labels="first")
    assert [box.name for box in photo.boxes] == ["late"]


def test_chosen_project_counts_where_a_row_is_labelled_in_two(tmp_path):
    projects = {key: {"labels": [v2_label(v2_object(key))]} for key in ("p1", "p2")}
    (photo,) = read(tmp_path, ndjson(v2_row(projects=projects)), project="p2")
    assert [box.name for box in photo.boxes] == ["p2"]


def test_second_project_without_labels_is_no_matter(tmp_path):
    projects = {**v2_row()["projects"], "p2": {"labels": []}}
    assert read(tmp_path, ndjson(v2_row(projects=projects))) == [PHOTO]


def test_ndjson_needs_the_memory_of_a_row(tmp_path):
    export = tmp_path / "export.ndjson"
    padding = "x" * 10_000
    with export.open("w") as stream:
        stream.writelines(json.dumps(v2_row(f"{n}.jpg", attachments=padding)) + "\n" for n in range(500))
    tracemalloc.start()
    assert sum(1 for _ in read_photos(export)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < export.stat().st_size / 5


LINE = ndjson(v2_row())

REFUSED = {
    "empty file": (b"", "has no rows"),
    "empty array": (b"[]", "has no rows"),
    "only blank lines": (b"\n\r\n", "has no rows"),
    "cut short line": (LINE + b"\n" + ndjson(OTHER)[:-20], "row 2: is cut short or no JSON"),
    "cut short array": (array(v1_row())[:-3], "is cut short or no JSON"),
    "Latin-1": (LINE + b'\n{"data_row": "\xe9"}', "row 2: is not UTF-8"),
    "nested beyond reason": (b"[" * 100_000, "is no usable JSON"),
    "other JSON": (b'{"images": [], "annotations": []}', "row 1: is neither a v1 nor a v2 row"),
    "other array": (b"[1, 2]", "row 1: is neither a v1 nor a v2 row"),
    "no JSON": (b"name,left,top\n", "row 1: is cut short or no JSON"),
    "no external id": (ndjson(v2_row(data_row={"id": "x"})), "row 1: has neither external_id nor global_key"),
    "v1 without external id": (array(v1_row(**{"External ID": None})), "row 1: has neither external_id"),
    "external id is a number": (ndjson(v2_row(data_row={"external_id": 7})), "external_id 7 is no text"),
    "same external id": (
        ndjson(v2_row(), OTHER, v2_row()),
        "row 3: photo 'a.jpg': has the external id of row 1",
    ),
    "ids that differ in case": (
        ndjson(v2_row(), v2_row("A.JPG")),
        "row 2: photo 'A.JPG': cannot be told from 'a.jpg' of row 1",
    ),
    "ids that differ in suffix": (
        ndjson(v2_row(), v2_row("a.png")),
        "photo 'a.png': cannot be told from 'a.jpg' of row 1",
    ),
    "ids that differ in folders": (
        ndjson(v2_row("a/b.jpg"), v2_row("a--b.jpg")),
        "photo 'a--b.jpg': cannot be told from 'a/b.jpg' of row 1",
    ),
    "several labels": (
        ndjson(v2_row(labels=TWO_LABELS)),
        "photo 'a.jpg': has 2 labels: keep one in Labelbox",
    ),
    "several projects": (
        ndjson(v2_row(projects={key: v2_row()["projects"]["p1"] for key in ("p1", "p2")})),
        "photo 'a.jpg': is labelled in the projects p1, p2",
    ),
    "predictions of a model run": (
        ndjson({**v2_row(), "projects": {}, "experiments": {"e1": {"runs": {}}}}),
        "photo 'a.jpg': has predictions of a model run only: export the project",
    ),
    "polygon": (
        ndjson(v2_row(labels=[v2_label({"name": "tree", "annotation_kind": "ImagePolygon", "polygon": []})])),
        "photo 'a.jpg': object 'tree' is an annotation of kind 'ImagePolygon'",
    ),
    "v1 polygon": (
        array(v1_row(Label={"objects": [{"value": "tree", "polygon": []}]})),
        "object 'tree' is an annotation of kind 'ImagePolygon'",
    ),
    "v1 from before objects": (
        array(v1_row(Label={"tree": [{"geometry": []}]})),
        "row 1: Label is {'tree': [{'geometry': []}]}, in which no objects can be found",
    ),
    "video": (ndjson(v2_row(labels=[v2_label(label_kind="Video")])), "has a label of kind 'Video'"),
    "no box": (
        ndjson(v2_row(labels=[v2_label(v2_object(bounding_box=None))])),
        "object 'anchor' has no bounding_box",
    ),
    "NaN": (ndjson(box_of(left=float("nan"))), "photo 'a.jpg': object 'anchor' has the left nan"),
    "infinite": (ndjson(box_of(width=float("inf"))), "object 'anchor' has the width inf"),
    "text for a number": (ndjson(box_of(top="20")), "object 'anchor' has the top '20', which is no number"),
    "missing number": (ndjson(box_of(top=None)), "object 'anchor' has the top None, which is no number"),
    "truth for a number": (ndjson(box_of(top=True)), "object 'anchor' has the top True, which is no number"),
    "negative width": (ndjson(box_of(width=-5)), "object 'anchor' has a box of -5 x 40 pixels"),
    "no height": (ndjson(box_of(height=0)), "object 'anchor' has a box of 30.25 x 0 pixels"),
    "empty class": (
        ndjson(v2_row(labels=[v2_label(v2_object(" ", value=""))])),
        "photo 'a.jpg': an object has no class name",
    ),
    "class of two lines": (ndjson(v2_row(labels=[v2_label(v2_object("a\nb"))])), "has control characters"),
    "class is a number": (ndjson(v2_row(labels=[v2_label(v2_object(3))])), "the class name 3 is no text"),
    "background": (
        ndjson(v2_row(labels=[v2_label(v2_object("Background"))])),
        "'Background' is what no symbol",
    ),
    "negative size": (ndjson(v2_row(media_attributes={"width": -1})), "media_attributes.width is -1"),
    "half a pixel": (ndjson(v2_row(media_attributes={"height": 9.5})), "media_attributes.height is 9.5"),
    "labels of another form": (ndjson(v2_row(labels={"a": 1})), "labels is {'a': 1}, which is not a list"),
    "objects of another form": (
        ndjson(v2_row(labels=[v2_label(3)])),
        "objects holds something that is no object",
    ),
    "label of another form": (ndjson(v2_row(labels=["x"])), "labels holds something that is no label"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_export_that_cannot_be_used_is_refused_by_name(tmp_path, content, message):
    with pytest.raises(ExportError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "export"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../a.jpg", "leaves its folder"),
        ("a/../../b.jpg", "leaves its folder"),
        ("./a.jpg", "leaves its folder"),
        ("/etc/a.jpg", "is an absolute path"),
        ("C:a.jpg", "is an absolute path"),
        ("c:/a.jpg", "is an absolute path"),
        ("a\\b.jpg", "has a backslash"),
        ("a\x00.jpg", "has control characters"),
        ("a\nb.jpg", "has control characters"),
        ("a\ud800.jpg", "has control characters"),
        ("a//b.jpg", "has an empty part"),
        ("a/", "has an empty part"),
        ("https://example.org/a.jpg", "has an empty part"),
        ("a./b.jpg", "has a space or dot at the end"),
        ("a .jpg", "has a space or dot at the end"),
        (" a.jpg", "has a space or dot at the end"),
        ("a.jpg.", "has a space or dot at the end"),
        (".jpg", "has nothing before its suffix"),
        ("deck/.PNG", "has nothing before its suffix"),
        ("a.jpg/b.jpg", "has a folder that is named like a photo"),
        (f"{'a' * 200}.jpg", "is longer than 200 bytes"),
    ],
)
def test_external_id_that_is_no_safe_name_is_refused(tmp_path, name, problem):
    with pytest.raises(ExportError, match="rename the photo") as caught:
        read(tmp_path, ndjson(v2_row(name)))
    assert problem in str(caught.value)
    assert "row 1: external id" in str(caught.value)


@pytest.mark.parametrize("name", ["deck/01/a b.jpg", "a.b.JPG", "Ünïcode ♠.webp", "-a..b.png"])
def test_plain_names_and_folders_are_fine(tmp_path, name):
    assert [photo.external_id for photo in read(tmp_path, ndjson(v2_row(name)))] == [name]


def test_missing_export_names_the_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.ndjson does not exist"):
        list(read_photos(Path(tmp_path / "none.ndjson")))
