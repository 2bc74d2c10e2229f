import json
import os

import pytest

from jetson.bench.choice import Candidate, Choice, read_choice, write_choice
from jetson.board.board import Board
from jetson.errors import ChoiceError
from jetson.play.bundle import load_bundle


@pytest.fixture
def bundle(write_bundle):
    return load_bundle(write_bundle())


@pytest.fixture
def choice(bundle):
    return Choice(
        winner="tensorrt-fp16",
        order=["tensorrt-fp16", "onnxruntime-cpu"],
        reason="37 % faster than onnxruntime-cpu",
        date="2026-01-02T03:04:05Z",
        model_sha256=bundle.model_sha256,
        board=Board().model or Board().processor,
        versions={"python": "3.6.9", "tensorrt": "8.2.1"},
        quick=False,
        candidates=[
            Candidate("tensorrt-fp16", True, "agrees", 21.5, 22.0, 25.1, 70.2, 150.0, 90.0, 1100.5, False),
            Candidate("tensorrt-fp32", False, "exit code -9 (killed)"),
            Candidate("onnxruntime-cpu", True, "agrees", 210.0, 214.0, 230.0),
        ],
    )


def test_a_choice_is_read_as_it_was_written(tmp_path, bundle, choice):
    path = str(tmp_path / "not" / "yet" / "choice.json")
    write_choice(path, choice)
    assert read_choice(path, bundle) == (choice, "37 % faster than onnxruntime-cpu")
    assert os.listdir(os.path.dirname(path)) == ["choice.json"]


def test_a_link_in_the_place_of_the_choice_stays(tmp_path, bundle, choice):
    (tmp_path / "choice.json").symlink_to("kept.json")
    write_choice(str(tmp_path / "choice.json"), choice)
    assert (tmp_path / "choice.json").is_symlink()
    assert read_choice(str(tmp_path / "kept.json"), bundle)[0] == choice


def test_without_a_benchmark_there_is_no_choice(tmp_path, bundle):
    reason = "this device has not been benchmarked"
    assert read_choice(str(tmp_path / "choice.json"), bundle) == (None, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_sha256": "0" * 64}, "the benchmark was of another model"),
        ({"bundle": "0" * 64}, "the benchmark was of another bundle of this model"),
        ({"board": "NVIDIA Jetson TX2"}, "the benchmark was on another board (NVIDIA Jetson TX2)"),
        ({"versions": {"l4t": "99.1.0"}}, "the benchmark was with L4T 99.1.0, and none is here"),
    ],
)
def test_a_choice_about_something_else_does_not_count(tmp_path, bundle, choice, change, reason):
    path = str(tmp_path / "choice.json")
    write_choice(path, choice._replace(**change))
    assert read_choice(path, bundle) == (None, reason)


def test_other_thresholds_make_another_bundle_of_a_model(tmp_path, bundle, choice, write_bundle):
    path = str(tmp_path / "choice.json")
    write_choice(path, choice._replace(bundle=bundle.fingerprint()))
    assert read_choice(path, bundle)[0] is not None
    other = load_bundle(write_bundle(thresholds={"score": 0.4, "nms_iou": 0.5, "match_probability": 0.5}))
    assert read_choice(path, other) == (None, "the benchmark was of another bundle of this model")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 2}, "is of another version"),
        ({"winner": None}, "is damaged"),
        ({"order": []}, "is damaged"),
        ({"order": "tensorrt-fp16"}, "is damaged"),
        ({"candidates": [{}]}, "is damaged"),
        ({"candidates": 3}, "is damaged"),
    ],
)
def test_a_damaged_choice_is_none_and_says_so(tmp_path, bundle, choice, change, reason):
    path = str(tmp_path / "choice.json")
    write_choice(path, choice)
    with open(path, encoding="utf-8") as stream:
        values = json.load(stream)
    values.update(change)
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(values, stream)
    found, why = read_choice(path, bundle)
    assert found is None
    assert reason in why


def test_half_a_file_is_none_and_says_so(tmp_path, bundle):
    path = tmp_path / "choice.json"
    path.write_text('{"schema_version": 1, "win')
    found, why = read_choice(str(path), bundle)
    assert found is None
    assert "cannot be read" in why


def test_a_choice_that_cannot_be_written_leaves_the_old_one(tmp_path, choice):
    occupied = tmp_path / "file"
    occupied.write_text("no folder")
    with pytest.raises(ChoiceError, match=r"choice\.json: cannot be written"):
        write_choice(str(occupied / "choice.json"), choice)
