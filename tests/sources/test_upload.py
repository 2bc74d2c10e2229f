"""Folders of photos, by the real SDK over HTTP, to projects; the server at the other end is a stand-in."""

import hashlib
import io
import json

import numpy as np
import pytest
from labelbox_fixtures import picture, quick
from labelbox_standin import BUSY, LOST, Fault, LabelboxStandIn
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dobble.data.annotations import read_photos
from dobble.errors import AnnotationError, MissingInputError, ParameterError, PhotoError
from dobble.sources.errors import ApiKeyError, LabelboxError, UnreachableError
from dobble.sources.fetch import fetch
from dobble.sources.upload import upload
from jetson.errors import BundleError

LABELS = ["anchor", "bird"]
PHOTOS = ["deck00_card00.jpg", "deck00_card01.jpg", "night/deck01_card00.jpg"]


@pytest.fixture
def standin():
    with LabelboxStandIn() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """Photos of 40 x 30 pixels, and files that are none."""
    root = tmp_path / "photos"
    for number, name in enumerate(PHOTOS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(number))
    (root / "notes.txt").write_text("no photo")
    (root / "._deck00_card00.jpg").write_bytes(b"what another system hides")
    return root


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "symbols.txt"
    path.write_text("anchor\nbird\n\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A model that sees, on whatever picture, an anchor in one quarter of its input and a bird in another.

    The input is a square of 32 pixels; a photo of 40 x 30 fills its width, and its height from 4 to 28.
    """
    scores, boxes = np.zeros((1, 3, 3), np.float32), np.zeros((1, 3, 4), np.float32)
    scores[0] = [[0.1, 0.9, 0.0], [0.2, 0.0, 0.8], [0.6, 0.0, 0.4]]
    boxes[0, :2] = [[0.0, 0.125, 0.5, 0.5], [0.5, 0.5, 1.0, 0.875]]
    nodes = [
        helper.make_node("ReduceSum", ["input_0"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "seen"], ["scores"]),
        helper.make_node("Add", ["nothing", "places"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "seer",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, [1, 3, 32, 32])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 3]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, 4]),
        ],
        [
            numpy_helper.from_array(scores, "seen"),
            numpy_helper.from_array(boxes, "places"),
            numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return write_bundle(tmp_path_factory.mktemp("bundle"), model.SerializeToString())


def write_bundle(folder, model):
    files = {"model.onnx": model, "labels.txt": "\n".join(["BACKGROUND", *LABELS]).encode() + b"\n"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = {
        "schema_version": 1,
        "name": "dobble",
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
        "input": {
            "name": "input_0",
            "shape": [1, 3, 32, 32],
            "dtype": "float32",
            "colour": "RGB",
            "mean": 127.5,
            "scale": 127.5,
            "resize": "letterbox",
            "padding": 127.5,
        },
        "outputs": {"scores": {"shape": [1, 3, 3]}, "boxes": {"shape": [1, 3, 4]}},
        "labels": LABELS,
        "deck": None,
        "thresholds": {"score": 0.5, "nms_iou": 0.5, "match_probability": 0.5},
        "calibration": {"joint": 1.0, "deck": 1.0},
        "git_revision": None,
        "data_md5": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def rows_of(standin, project="project1"):
    return sorted(standin.rows[key]["external_id"] for key in standin.projects[project]["rows"])


def test_a_folder_becomes_a_project_with_a_box_tool_for_each_symbol(standin, folder, labels):
    done = upload(folder, "new deck", labels, settings=quick(standin))
    assert (done.project, done.photos, done.uploaded, done.suggested) == ("project1", 3, 3, 0)
    assert done.address.endswith("/projects/project1/overview")
    project = standin.projects["project1"]
    tools = standin.ontologies[project["ontology"]]["normalized"]["tools"]
    assert [(tool["tool"], tool["name"]) for tool in tools] == [
        ("rectangle", "anchor"),
        ("rectangle", "bird"),
    ]
    assert len({tool["color"] for tool in tools}) == 2
    assert [data["name"] for data in standin.datasets.values()] == ["new deck"]
    assert rows_of(standin) == PHOTOS
    stored = {row["external_id"]: standin._content(row["row_data"]) for row in standin.rows.values()}
    assert stored == {name: picture(number) for number, name in enumerate(PHOTOS)}


def test_detections_are_suggested_where_the_model_sees_them(standin, folder, bundle):
    assert upload(folder, "new deck", bundle=bundle, settings=quick(standin)).suggested == 6
    (sent,) = standin.projects["project1"]["imports"].values()
    first = [line for line in sent["lines"] if line["dataRow"]["globalKey"] == "new deck/deck00_card00.jpg"]
    boxes = [(line["name"], line["bbox"]) for line in first]
    assert boxes == [
        ("anchor", {"left": 0.0, "top": 0.0, "width": 20.0, "height": 15.0}),
        ("bird", {"left": 20.0, "top": 15.0, "width": 20.0, "height": 15.0}),
    ]
    assert len({line["uuid"] for line in sent["lines"]}) == 6


def test_boxes_are_suggested_in_the_pixels_that_labelbox_shows_of_a_photo_that_exif_turns(
    standin, tmp_path, bundle
):
    exif = Image.Exif()
    exif[0x0112] = 3
    (tmp_path / "photos").mkdir()
    Image.open(io.BytesIO(picture(0))).save(tmp_path / "photos" / "a.jpg", exif=exif)
    upload(tmp_path / "photos", "new deck", bundle=bundle, settings=quick(standin))
    (sent,) = standin.projects["project1"]["imports"].values()
    # The model reads the photo upright: upper left for it is lower right where EXIF is not heeded.
    assert [(line["name"], line["bbox"]) for line in sent["lines"]] == [
        ("anchor", {"left": 20.0, "top": 15.0, "width": 20.0, "height": 15.0}),
        ("bird", {"left": 0.0, "top": 0.0, "width": 20.0, "height": 15.0}),
    ]


def test_suggestions_that_a_person_accepts_come_back_as_labels(standin, folder, bundle, tmp_path):
    done = upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    before = fetch(done.project, tmp_path / "data", quick(standin))
    assert (before.photos, before.boxes) == (3, 0)
    standin.accept(done.project)
    assert fetch(done.project, tmp_path / "data", quick(standin), replace=True).boxes == 6
    photos = {photo.external_id: photo.boxes for photo in read_photos(tmp_path / "data/export.ndjson")}
    assert list(photos) == PHOTOS
    assert [(box.name, box.left, box.top) for box in photos[PHOTOS[2]]] == [
        ("anchor", 0, 0),
        ("bird", 20, 15),
    ]


def test_run_again_it_sends_only_what_is_new(standin, folder, bundle):
    upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    standin.counts.clear()
    again = upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    assert (again.project, again.uploaded, again.suggested) == ("project1", 0, 0)
    assert not {"UploadFile", "createBatchV2", "CreateProject", "CreateDataset"} & set(standin.counts)
    (folder / "deck00_card02.jpg").write_bytes(picture(9))
    for name in PHOTOS:
        standin.label("project1", name, [("anchor", 1.0, 1.0, 5.0, 5.0)])
    more = upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    assert (more.project, more.uploaded, more.suggested) == ("project1", 1, 2)
    assert rows_of(standin) == sorted([*PHOTOS, "deck00_card02.jpg"])
    assert len(standin.datasets) == len(standin.projects) == 1


@pytest.mark.parametrize("where", ["UploadFile", "UpsertDataRows", "createBatchV2", "ConnectOntology"])
def test_broken_off_anywhere_it_goes_on_when_run_again(standin, folder, bundle, where):
    standin.fail(where, Fault(status=500), times=12)
    with pytest.raises(UnreachableError, match="500 Internal Server Error"):
        upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    standin._faults.clear()
    assert upload(folder, "new deck", bundle=bundle, settings=quick(standin)).suggested == 6
    assert rows_of(standin) == PHOTOS
    assert len(standin.rows) == 3
    assert len(standin.datasets) == len(standin.projects) == 1


@pytest.mark.parametrize(
    ("where", "fault"), [("UploadFile", LOST), ("UploadFile", BUSY), ("CreateProject", BUSY)]
)
def test_what_passes_is_tried_again(standin, folder, labels, where, fault):
    standin.fail(where, fault)
    assert upload(folder, "new deck", labels, settings=quick(standin)).uploaded == 3
    assert len(standin.projects) == 1


def test_a_project_whose_answer_was_lost_is_not_made_twice(standin, folder, labels):
    standin.fail("CreateProject", LOST)
    with pytest.raises(UnreachableError, match="connection lost, once"):
        upload(folder, "new deck", labels, settings=quick(standin))
    assert standin.counts["CreateProject"] == 1


def test_a_project_without_a_tool_for_a_symbol_is_named(standin, folder, labels):
    upload(folder, "new deck", labels, settings=quick(standin))
    labels.write_text("anchor\ncactus\n")
    with pytest.raises(LabelboxError, match="project 'new deck' has no box tool for 'cactus': add it"):
        upload(folder, "new deck", labels, settings=quick(standin))


def test_two_projects_of_one_name_are_refused(standin, folder, labels):
    standin.add_project("new deck", {})
    standin.add_project("new deck", {})
    with pytest.raises(LabelboxError, match="2 projects are called 'new deck': rename"):
        upload(folder, "new deck", labels, settings=quick(standin))


def test_refused_photos_and_boxes_are_named(standin, folder, bundle):
    refusal = {"uuid": "u", "status": "FAILURE", "errors": [{"name": "e", "message": "box outside"}]}
    standin.import_errors = [refusal]
    with pytest.raises(LabelboxError, match=r"refuses 1 of 6 suggested boxes \(box outside\)"):
        upload(folder, "new deck", bundle=bundle, settings=quick(standin))
    standin.ends_as = "FAILED"
    with pytest.raises(
        LabelboxError, match=r"could not take 3 photos \(the task ended as FAILED\): run again"
    ):
        upload(folder, "other deck", bundle=bundle, settings=quick(standin))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"anchor\nanchor\n", "names 'anchor' twice"),
        (b"anchor\nred fox\nRed_fox\n", "names 'Red_fox' and 'red fox', which looks like it"),
        (b"\n \n", "names no symbol"),
        (b"anch\xe9\n", "cannot be read as UTF-8 text"),
        (b"anchor\nBackground\n", "is what no symbol is called"),
    ],
)
def test_symbols_that_cannot_be_used_are_named(standin, folder, labels, text, message):
    labels.write_bytes(text)
    with pytest.raises(AnnotationError, match=rf"symbols\.txt: [^\n]*{message}"):
        upload(folder, "new deck", labels, settings=quick(standin))


def test_symbols_must_be_known_and_include_those_of_the_model(standin, folder, labels, bundle, tmp_path):
    with pytest.raises(ParameterError, match="give --labels, or --bundle"):
        upload(folder, "new deck", settings=quick(standin))
    with pytest.raises(ParameterError, match="name is empty"):
        upload(folder, " ", labels, settings=quick(standin))
    with pytest.raises(MissingInputError, match=r"none\.txt does not exist"):
        upload(folder, "new deck", tmp_path / "none.txt", settings=quick(standin))
    labels.write_text("anchor\n")
    with pytest.raises(AnnotationError, match=r"lacks symbols that the bundle suggests \(bird\)"):
        upload(folder, "new deck", labels, bundle, quick(standin))
    with pytest.raises(BundleError, match=r"none[^\n]*: "):
        upload(folder, "new deck", bundle=tmp_path / "none", settings=quick(standin))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.jpg", b"no picture", r"broken\.jpg: is no JPEG"),
        ("Deck00_card00.JPG", picture(5), r"cannot be told from .*rename one$"),
        ("a .jpg", picture(5), r"a \.jpg: .*has a space or dot .*: rename the photo$"),
    ],
)
def test_photos_that_cannot_be_used_are_named_before_anything_is_made(
    standin, folder, labels, name, content, message
):
    (folder / name).write_bytes(content)
    with pytest.raises(PhotoError, match=message):
        upload(folder, "new deck", labels, settings=quick(standin))
    assert standin.counts["any"] == 0


@pytest.mark.parametrize(
    ("name", "content"), [("IMG_1.HEIC", b""), ("raw/a.dng", b""), ("noname", b"\0\0\0\x18ftypheic")]
)
def test_pictures_that_cannot_be_used_are_named_before_anything_is_sent(
    standin, folder, labels, name, content
):
    (folder / name).parent.mkdir(exist_ok=True)
    for number in range(2):
        (folder / name).with_stem(f"{(folder / name).stem}{number}").write_bytes(content)
    with pytest.raises(PhotoError, match=r"0.*: cannot be used here, nor can 1 more \(.*\): save them"):
        upload(folder, "deck", labels, settings=quick(standin))
    assert standin.counts["any"] == 0


def test_photos_behind_a_link_to_a_folder_are_sent_once(standin, folder, labels, tmp_path):
    (folder / "night").rename(tmp_path / "elsewhere")
    (folder / "night").symlink_to("../elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(folder)
    done = upload(folder, "deck", labels, settings=quick(standin))
    assert (done.photos, done.uploaded, done.others) == (3, 3, 1)


def test_only_the_photos_of_a_list_are_sent(standin, folder, labels, tmp_path):
    listed = tmp_path / "labels.unsure.txt"
    listed.write_text(f"{PHOTOS[2]}\n{PHOTOS[0]}\n", encoding="utf-8")
    done = upload(folder, "deck", labels, only=listed, settings=quick(standin))
    assert (done.photos, done.uploaded) == (2, 2)
    assert rows_of(standin) == [PHOTOS[0], PHOTOS[2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [("gone.jpg\n", r"gone\.jpg: is not there: .*list\.txt names it"), ("\n", r"list\.txt: names no photo")],
)
def test_a_list_that_cannot_be_followed_is_named(standin, folder, labels, tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(PhotoError, match=message):
        upload(folder, "deck", labels, only=tmp_path / "list.txt", settings=quick(standin))
    assert standin.counts["any"] == 0


def test_a_folder_that_is_none_or_empty_is_named(standin, labels, tmp_path):
    with pytest.raises(MissingInputError, match="name a folder of photos"):
        upload(tmp_path / "nowhere", "new deck", labels, settings=quick(standin))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match=r"has no photos \(\.bmp"):
        upload(tmp_path / "empty", "new deck", labels, settings=quick(standin))


def test_a_bad_key_is_named(standin, folder, labels):
    with pytest.raises(ApiKeyError, match="refuses the key"):
        upload(folder, "new deck", labels, settings=quick(standin, key="another"))
