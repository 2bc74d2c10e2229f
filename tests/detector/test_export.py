"""A checkpoint to the bundle that a device runs."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from pipelines import SYMBOLS, Pipeline, files_of, full_disk

from dobble.data.voc import read_image_set, write_lines
from dobble.detector.checkpoint import load_checkpoint, restore
from dobble.detector.dataset import read_photo
from dobble.detector.export import TABLE_SIZE, compose_table, export
from dobble.detector.network import Deployed
from dobble.errors import CheckpointError, DobbleError, MissingInputError, OutputError, PhotoError
from dobble.params import ExportParams
from jetson.play.bundle import Bundle, load_bundle
from jetson.play.cards import find_cards
from jetson.play.detect import Detector, letterbox
from jetson.play.game import play
from jetson.play.table import play_table
from jetson.runners import open_runner

pytest_plugins = ["pipeline_fixtures"]

# What this network needs of the operators that TensorRT 8.2 takes (onnx-tensorrt, branch 8.2-GA,
# docs/operators.md). Not among them on purpose: what that list calls experimental or takes for initializers
# only (NonMaxSuppression, TopK, NonZero, If, Loop).
TENSORRT_8_2 = {
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Exp",
    "Flatten", "Gather", "Gemm", "GlobalAveragePool", "HardSigmoid", "Identity", "LeakyRelu", "MatMul", "Max",
    "MaxPool", "Min", "Mul", "Pad", "ReduceMean", "Relu", "Reshape", "Shape", "Sigmoid", "Slice", "Softmax",
    "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(pipeline: Pipeline) -> Bundle:
    return load_bundle(str(pipeline.bundle), verify=True)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> onnx.ModelProto:
    loaded = onnx.load(bundle.model)
    onnx.checker.check_model(loaded, full_check=True)
    return loaded


@pytest.fixture
def own(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy to change."""
    shutil.copytree(pipeline.root, tmp_path / "own")
    return Pipeline(tmp_path / "own", pipeline.params)


def run(made: Pipeline, out: Path, params: ExportParams | None = None) -> Path:
    export(made.checkpoint, made.voc, made.splits, out, params or made.params.export)
    return out


def test_the_bundle_holds_exactly_the_files_of_the_contract(pipeline: Pipeline) -> None:
    photos = [path.stem for path in (pipeline.bundle / "samples").glob("deck*.jpg")]
    assert set(files_of(pipeline.bundle)) == {
        "manifest.json",
        "model.onnx",
        "labels.txt",
        "samples/reference.json",
        "samples/table.jpg",
        *(f"samples/{name}.jpg" for name in photos),
    }
    assert len(photos) == pipeline.params.export.samples
    assert set(photos) <= set(read_image_set(pipeline.splits / "test.txt"))


def test_sample_photos_are_the_photographers_own_bytes(pipeline: Pipeline) -> None:
    for sample in (pipeline.bundle / "samples").glob("deck*.jpg"):
        assert sample.read_bytes() == (pipeline.data / "images" / sample.name).read_bytes()


def test_the_manifest_describes_every_file_by_hash_and_size(pipeline: Pipeline, bundle: Bundle) -> None:
    files = files_of(pipeline.bundle)
    del files["manifest.json"]
    assert bundle.manifest["files"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }


def test_the_manifest_has_the_keys_of_the_contract_and_the_parameters(
    pipeline: Pipeline, bundle: Bundle
) -> None:
    assert set(bundle.manifest) == {
        "schema_version", "name", "files", "input", "outputs", "labels", "deck", "deck_source", "thresholds",
        "calibration", "git_revision", "data_md5",
    }  # fmt: skip
    assert bundle.manifest["input"] == {
        "name": "input_0",
        "shape": [1, 3, 320, 320],
        "tone": 0.37,
        "dtype": "float32",
        "colour": "RGB",
        "mean": 127.5,
        "scale": 127.5,
        "resize": "letterbox",
        "padding": 127.5,
    }
    given = pipeline.params.export
    assert bundle.thresholds == (given.score_threshold, given.nms_iou, given.match_probability)


def test_labels_begin_with_the_background(pipeline: Pipeline, bundle: Bundle) -> None:
    lines = (pipeline.bundle / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["BACKGROUND", *SYMBOLS]
    assert bundle.labels == SYMBOLS


def test_the_deck_is_the_one_that_was_photographed(pipeline: Pipeline, bundle: Bundle) -> None:
    rows = (pipeline.data / "export.ndjson").read_text(encoding="utf-8").splitlines()
    photographed = set()
    for row in map(json.loads, rows):
        (project,) = row["projects"].values()
        photographed.add(frozenset(one["name"] for one in project["labels"][0]["annotations"]["objects"]))
    assert len(photographed) == 7
    assert {frozenset(card) for card in bundle.manifest["deck"]} == photographed


def mislabel(own: Pipeline, split: str) -> None:
    annotation = own.voc / f"Annotations/{read_image_set(own.splits / f'{split}.txt')[0]}.xml"
    text = annotation.read_text(encoding="utf-8")
    wrong = next(name for name in SYMBOLS if f"<name>{name}</name>" not in text)
    before, _, after = text.partition("<name>")
    annotation.unlink()  # the copy may share its bytes with the original
    annotation.write_text(f"{before}<name>{wrong}<{after.partition('<')[2]}", encoding="utf-8")


def test_a_wrong_label_leaves_the_deck_unknown(own: Pipeline) -> None:
    mislabel(own, "train")
    assert load_bundle(str(run(own, own.root / "again"))).deck is None


def test_the_bundle_says_that_a_rendered_deck_is_made_up_and_takes_the_real_cards_from_a_file(
    own: Pipeline, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundle.manifest["deck_source"] == "made up"
    assert bundle.deck is not None
    turned = [[(symbol + 1) % 7 for symbol in card] for card in bundle.deck]
    lines = [",".join(bundle.labels[symbol] for symbol in card) for card in turned]
    (own.root / "decks").mkdir()
    (own.root / "decks/real.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(own.root)
    params = own.params.export.model_copy(update={"deck": "decks/real.csv"})
    export(own.checkpoint, own.voc, own.splits, own.root / "again", params)
    real = load_bundle(str(own.root / "again"))
    assert real.manifest["deck_source"] == "file"
    assert real.deck is not None
    assert set(real.deck) == {tuple(sorted(card)) for card in turned}


def test_labels_of_test_photos_say_nothing_about_the_deck(own: Pipeline, bundle: Bundle) -> None:
    mislabel(own, "test")
    assert load_bundle(str(run(own, own.root / "again"))).deck == bundle.deck


def test_cards_that_are_held_out_follow_from_the_rest(own: Pipeline, bundle: Bundle) -> None:
    for split, cards in (("train", (0, 3, 5)), ("val", (6,)), ("test", (1, 2, 4))):
        names = [own.photo(deck, card).stem for deck in range(4) for card in cards]
        write_lines(own.splits / f"{split}.txt", names)
    assert load_bundle(str(run(own, own.root / "again"))).deck == bundle.deck


def test_calibrations_are_positive_and_bounded(bundle: Bundle) -> None:
    assert 0.05 <= bundle.calibration.joint <= 4
    assert 0.05 <= bundle.calibration.deck <= 1


def test_the_graph_is_of_a_version_that_the_nano_reads(model: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version <= 8


def test_the_graph_has_the_inputs_and_outputs_of_the_contract(model: onnx.ModelProto, bundle: Bundle) -> None:
    def described(entry: onnx.ValueInfoProto) -> tuple[str, int, list[int]]:
        tensor = entry.type.tensor_type
        return entry.name, tensor.elem_type, [side.dim_value for side in tensor.shape.dim]

    float32 = onnx.TensorProto.FLOAT
    assert list(map(described, model.graph.input)) == [("input_0", float32, [1, 3, 320, 320])]
    assert list(map(described, model.graph.output)) == [
        ("scores", float32, [1, bundle.anchors, 8]),
        ("boxes", float32, [1, bundle.anchors, 4]),
    ]


def test_tensorrt_8_2_takes_every_operator(model: onnx.ModelProto) -> None:
    assert {node.op_type for node in model.graph.node} <= TENSORRT_8_2
    assert all(node.domain == "" for node in model.graph.node)


def test_the_model_needs_no_second_file(model: onnx.ModelProto) -> None:
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_onnx_runtime_and_torch_agree_even_on_steep_weights(pipeline: Pipeline, bundle: Bundle) -> None:
    network = Deployed(restore(load_checkpoint(pipeline.checkpoint), pipeline.checkpoint)).eval()
    with open_runner("onnxruntime-cpu", bundle, threads=1) as runner:
        for card in range(3):
            batch, _ = letterbox(read_photo(pipeline.photo(deck=0, card=card)), bundle.input_size)
            ours = runner.infer(batch)
            with torch.inference_mode():
                theirs = network(torch.from_numpy(batch))
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other[0].numpy(), rtol=0, atol=1e-4)
            np.testing.assert_allclose(ours[0].sum(axis=1), 1, atol=1e-5)
            assert ours[1].min() >= 0
            assert ours[1].max() <= 1


def test_the_reference_says_what_reading_the_samples_again_says(pipeline: Pipeline, bundle: Bundle) -> None:
    samples = pipeline.bundle / "samples"
    reference = json.loads((samples / "reference.json").read_text(encoding="utf-8"))
    assert reference["labels"] == list(bundle.labels)
    with open_runner("onnxruntime-cpu", bundle, threads=1) as runner:
        detector = Detector(bundle, runner)
        readings = {}
        for entry in reference["photos"]:
            reading = readings[entry["file"]] = detector.read(read_photo(samples / entry["file"]))
            found = reading.detections
            assert [one["label"] for one in entry["detections"]] == [
                bundle.labels[id_] for id_ in found.labels
            ]
            scores = [one["score"] for one in entry["detections"]]
            np.testing.assert_allclose(scores, found.scores, atol=1e-4)
            boxes = np.array([one["box"] for one in entry["detections"]]).reshape(-1, 4)
            np.testing.assert_allclose(boxes, found.boxes, atol=0.1)
        for entry in reference["matches"]:
            match = play(bundle, readings[entry["first"]], readings[entry["second"]])
            assert entry["symbol"] == (None if match.no_answer else bundle.labels[match.symbol])
            assert entry["probability"] == pytest.approx(match.probability, abs=1e-4)
        (entry,) = reference["tables"]
        table = play_table(detector, read_photo(samples / entry["file"]))
        assert entry["cards"] == [list(card.box) for card in table.cards]
        best = table.rounds[0].match
        assert entry["symbol"] == (None if best.no_answer else bundle.labels[best.symbol])
    assert any(entry["detections"] for entry in reference["photos"])
    assert len(reference["matches"]) == len(reference["photos"]) - 1


def test_the_same_checkpoint_gives_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    assert files_of(run(pipeline, tmp_path / "again")) == files_of(pipeline.bundle)


def test_thresholds_are_those_of_the_parameters(pipeline: Pipeline, tmp_path: Path) -> None:
    params = ExportParams(score_threshold=0.25, nms_iou=0.4, match_probability=0.7, deck="labels", samples=2)
    made = load_bundle(str(run(pipeline, tmp_path / "again", params)))
    assert made.thresholds == (0.25, 0.4, 0.7)
    assert sum(name.startswith("samples/deck") for name in made.manifest["files"]) == 2


def cut_checkpoint_short(made: Pipeline) -> None:
    made.checkpoint.write_bytes(made.checkpoint.read_bytes()[:5000])


def rename_a_class(made: Pipeline) -> None:
    path = made.voc / "labels.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("corners9", "nonagon"), encoding="utf-8")


def remove_splits(made: Pipeline) -> None:
    shutil.rmtree(made.splits)


def spoil_a_photo(made: Pipeline) -> None:
    name = read_image_set(made.splits / "val.txt")[0]
    path = made.voc / f"JPEGImages/{name}.jpg"
    path.unlink()
    path.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (cut_checkpoint_short, CheckpointError, r"checkpoint\.pt: is damaged .*train again"),
        (rename_a_class, CheckpointError, r"other labels than .*labels\.txt; train again"),
        (remove_splits, MissingInputError, r"train\.txt does not exist"),
        (spoil_a_photo, PhotoError, r"\.jpg: is no picture"),
    ],
)
def test_bad_input_is_one_line_and_the_earlier_bundle_stays_whole(
    own: Pipeline, spoil: Callable[[Pipeline], None], error: type[DobbleError], message: str
) -> None:
    earlier = files_of(own.bundle)
    spoil(own)
    with pytest.raises(error, match=message) as raised:
        run(own, own.bundle)
    assert "\n" not in str(raised.value)
    assert files_of(own.bundle) == earlier
    assert not list(own.bundle.parent.glob(".bundle*"))


def test_a_full_disk_leaves_the_earlier_bundle_whole(own: Pipeline) -> None:
    earlier = files_of(own.bundle)
    with full_disk(1_000_000), pytest.raises(OutputError, match=r"bundle could not be .* too large"):
        run(own, own.bundle)
    assert files_of(own.bundle) == earlier
    assert not list(own.bundle.parent.glob(".bundle*"))


def test_two_cards_of_two_photos_lie_on_a_composed_table(pipeline: Pipeline) -> None:
    photos = [read_photo(path) for path in sorted((pipeline.data / "images").glob("*.jpg"))]
    alone = [photo for photo in photos if len(find_cards(photo)) == 1]
    assert len(alone) >= 2
    table = compose_table(alone[0], alone[1])
    assert table is not None
    assert table.shape == (TABLE_SIZE[1], TABLE_SIZE[0], 3)
    left, right = sorted(find_cards(table), key=lambda card: card.centre)
    assert left.centre == pytest.approx((320, 360), abs=25)
    assert right.centre == pytest.approx((960, 360), abs=25)


def test_a_photo_without_a_card_makes_no_table(pipeline: Pipeline) -> None:
    card = read_photo(pipeline.photo(deck=0, card=0))
    assert compose_table(np.full((240, 240, 3), 90, np.uint8), card) is None


def test_the_table_is_written_as_a_picture(pipeline: Pipeline) -> None:
    assert cv2.imread(str(pipeline.bundle / "samples/table.jpg")).shape == (720, 1280, 3)
