import json
import os

import pytest

from jetson.errors import BundleError
from jetson.play.bundle import load_bundle


def rewrite(folder, change):
    path = os.path.join(folder, "manifest.json")
    with open(path, encoding="utf-8") as stream:
        manifest = json.load(stream)
    change(manifest)
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)


def test_a_whole_bundle_is_read(write_bundle, labels, fano):
    folder = write_bundle()
    bundle = load_bundle(folder)
    assert bundle.model == os.path.join(folder, "model.onnx")
    assert bundle.labels == labels
    assert bundle.deck == fano
    assert (bundle.input_name, bundle.input_size, bundle.anchors) == ("input_0", 32, 4)
    assert bundle.thresholds == (0.5, 0.5, 0.5)
    assert bundle.calibration == (1.0, 1.0)
    assert bundle.manifest["name"] == "dobble"
    assert bundle.model_sha256 == bundle.manifest["files"]["model.onnx"]["sha256"]


def test_cards_are_brought_to_the_tone_that_the_bundle_asks_for_and_those_of_before_ask_for_none(
    write_bundle,
):
    folder = write_bundle()
    assert load_bundle(folder).tone is None
    rewrite(folder, lambda manifest: manifest["input"].update(tone=0.4))
    assert load_bundle(folder).tone == 0.4


def test_an_unknown_deck_is_none(write_bundle):
    assert load_bundle(write_bundle(deck=None)).deck is None


def test_a_newer_schema_asks_for_an_update(write_bundle):
    with pytest.raises(BundleError, match=r"manifest\.json: schema version 3 is newer than 2.*update"):
        load_bundle(write_bundle(schema_version=3))


def test_a_folder_without_manifest_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json: does not exist"):
        load_bundle(str(tmp_path))


@pytest.mark.parametrize("content", [b'{"schema_version": 1', b"\xff\xfe", b"[1]", b""])
def test_a_corrupt_manifest_is_one_line_that_names_it(write_bundle, content):
    folder = write_bundle()
    with open(os.path.join(folder, "manifest.json"), "wb") as stream:
        stream.write(content)
    with pytest.raises(BundleError, match=r"^[^\n]*manifest\.json: [^\n]*copy the bundle again$"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("key", "inner"),
    [
        ("schema_version", None),
        ("files", "model.onnx"),
        ("files", "labels.txt"),
        ("input", "shape"),
        ("input", "mean"),
        ("outputs", "boxes"),
        ("labels", None),
        ("deck", None),
        ("thresholds", "nms_iou"),
        ("calibration", "deck"),
    ],
)
def test_a_missing_key_is_named(write_bundle, key, inner):
    folder = write_bundle()
    rewrite(folder, lambda manifest: manifest.pop(key) if inner is None else manifest[key].pop(inner))
    name = key if inner is None else key + r"\." + inner
    with pytest.raises(BundleError, match=r"manifest\.json: has no {}".format(name)):
        load_bundle(folder)


def test_a_missing_file_is_named(write_bundle):
    folder = write_bundle()
    os.remove(os.path.join(folder, "model.onnx"))
    with pytest.raises(BundleError, match=r"model\.onnx: is missing"):
        load_bundle(folder)


def test_a_file_cut_short_is_found_without_hashing(write_bundle):
    folder = write_bundle(model=b"12345")
    with open(os.path.join(folder, "model.onnx"), "wb") as stream:
        stream.write(b"1234")
    with pytest.raises(BundleError, match=r"model\.onnx: has 4 bytes, the manifest says 5"):
        load_bundle(folder, verify=False)


def test_a_changed_file_of_the_same_size_is_found_by_its_hash(write_bundle):
    folder = write_bundle(model=b"12345")
    with open(os.path.join(folder, "model.onnx"), "wb") as stream:
        stream.write(b"12346")
    with pytest.raises(BundleError, match=r"model\.onnx: is not the file the manifest describes"):
        load_bundle(folder)
    assert load_bundle(folder, verify=False).labels


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "samples/../../secret", "a\\b", "c:x", "a//b", "."]
)
def test_a_file_name_that_leads_out_of_the_bundle_is_refused(write_bundle, name):
    folder = write_bundle()
    rewrite(folder, lambda manifest: manifest["files"].update({name: {"sha256": "0", "bytes": 1}}))
    with pytest.raises(BundleError, match="leads out of the bundle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["anchor", "bird", "cactus", "dog", "eye", "ghost", "fire"]}, r"labels\.txt: must hold"),
        ({"labels": ["anchor", "anchor"]}, "labels must differ"),
        ({"labels": ["BACKGROUND", "anchor"]}, "leave out the background"),
        ({"labels": ["anchor"]}, "two names or more"),
        ({"labels": ["anchor", 3]}, "two names or more"),
        (
            {"deck": [["anchor", "whale"], ["anchor", "bird"]]},
            "card 0 of the deck has a symbol that is no label",
        ),
        ({"deck": [["anchor", "bird"], ["anchor", "bird"]]}, "cards 0 and 1 of the deck share 2 symbols"),
        ({"deck": [["anchor", "bird"], ["cactus", "dog"]]}, "cards 0 and 1 of the deck share 0 symbols"),
        ({"deck": []}, "fewer than two cards"),
        ({"thresholds": {"score": 2, "nms_iou": 0.5, "match_probability": 0.5}}, r"thresholds\.score is 2"),
        ({"calibration": {"joint": 0, "deck": 1}}, r"calibration\.joint is 0"),
        ({"calibration": {"joint": "1", "deck": 1}}, r"calibration\.joint is of the wrong type"),
        (
            {"outputs": {"scores": {"shape": [1, 4, 7]}, "boxes": {"shape": [1, 4, 4]}}},
            r"output shapes \[1, 4, 7\] and \[1, 4, 4\] do not fit 7 labels",
        ),
        ({"files": []}, "files is of the wrong type"),
        ({"schema_version": True}, "schema_version is of the wrong type"),
    ],
)
def test_a_contradiction_is_named(write_bundle, changes, message):
    with pytest.raises(BundleError, match=message):
        load_bundle(write_bundle(**changes))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("resize", "stretch", r"input\.resize is 'stretch', this version prepares 'letterbox'"),
        ("mean", 0, r"input\.mean is 0, this version prepares 127\.5"),
        ("tone", 1.5, r"input\.tone is 1\.5, not between 0 and 1"),
        ("tone", "dark", r"input\.tone is of the wrong type"),
        ("shape", [1, 3, 32, 64], r"input\.shape \[1, 3, 32, 64\] is not \[1, 3, S, S\]"),
    ],
)
def test_an_input_that_this_version_cannot_prepare_is_refused(write_bundle, key, value, message):
    folder = write_bundle()
    rewrite(folder, lambda manifest: manifest["input"].update({key: value}))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)
