import os
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from jetson.errors import BundleError, RunnerError
from jetson.play.bundle import load_bundle
from jetson.runners import open_runner

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model():
    """A network that answers 8 scores and 4 coordinates per anchor, all the mean of its input."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["input_0"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Expand", ["mean", "scores_shape"], ["scores"]),
        helper.make_node("Expand", ["mean", "boxes_shape"], ["boxes"]),
    ]
    constants = [
        helper.make_tensor("scores_shape", TensorProto.INT64, [3], [1, 4, 8]),
        helper.make_tensor("boxes_shape", TensorProto.INT64, [3], [1, 4, 4]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, [1, 3, 32, 32])],
        [  # boxes first: outputs must be told apart by name
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4, 8]),
        ],
        constants,
    )
    opset = [helper.make_opsetid("", 13)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=7)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def test_runner_returns_scores_and_boxes_by_name(write_bundle, model):
    with open_runner("onnxruntime-cpu", load_bundle(write_bundle(model)), threads=1) as runner:
        scores, boxes = runner.infer(np.full((1, 3, 32, 32), 0.25, np.float32))
        assert runner.name == "onnxruntime-cpu"
    np.testing.assert_allclose(scores, np.full((4, 8), 0.25))
    np.testing.assert_allclose(boxes, np.full((4, 4), 0.25))


def test_a_damaged_model_is_one_line_that_names_it(write_bundle):
    with pytest.raises(BundleError, match=r"^[^\n]*model\.onnx: ONNX Runtime refuses it [^\n]*$"):
        open_runner("onnxruntime-cpu", load_bundle(write_bundle(b"damaged")))


def test_a_model_of_another_manifest_is_refused(write_bundle, model):
    bundle = load_bundle(write_bundle(model))._replace(input_name="picture")
    with pytest.raises(BundleError, match=r"model\.onnx: has inputs \['input_0'\]"):
        open_runner("onnxruntime-cpu", bundle)


def test_cuda_is_never_replaced_by_the_processor(write_bundle):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(RunnerError, match="onnxruntime-cuda: this ONNX Runtime has no CUDAExecutionProvider"):
        open_runner("onnxruntime-cuda", load_bundle(write_bundle()))


def test_an_unknown_runner_is_answered_with_the_known_ones(write_bundle):
    with pytest.raises(
        RunnerError, match="runner abacus: is unknown: choose onnxruntime-cpu, onnxruntime-cuda"
    ):
        open_runner("abacus", load_bundle(write_bundle()))


def test_the_two_cards_of_a_game_are_read_side_by_side(write_bundle, model, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    with open_runner("onnxruntime-cpu", load_bundle(write_bundle(model))) as runner:
        meeting = threading.Barrier(2)

        def read(grey):
            meeting.wait(timeout=120)  # one after the other, nobody would ever come
            return float(runner.infer(np.full((1, 3, 32, 32), grey, np.float32))[0][0, 0])

        assert runner.each(read, [0.25, 0.75]) == [0.25, 0.75]


def test_on_one_core_cards_are_read_one_after_the_other(write_bundle, model, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with open_runner("onnxruntime-cpu", load_bundle(write_bundle(model))) as runner:
        threads = runner.each(lambda _: threading.current_thread(), [1, 2, 3])
        assert set(threads) == {threading.current_thread()}


def test_onnxruntime_s_tensorrt_caches_its_engines_by_model_and_version(write_bundle, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "home"))

    class Session:
        def __init__(self, model, options, providers):
            opened.append(providers)

        def get_providers(self):
            return [name for name, _ in opened[-1]]

        def get_inputs(self):
            return [SimpleNamespace(name="input_0")]

        def get_outputs(self):
            return [SimpleNamespace(name="scores"), SimpleNamespace(name="boxes")]

    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    runtime = SimpleNamespace(
        __version__="1.11.0",
        get_available_providers=lambda: names,
        SessionOptions=SimpleNamespace,
        InferenceSession=Session,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    bundle = load_bundle(write_bundle())
    for one in (bundle, bundle._replace(model_sha256="0" * 64)):
        with open_runner("onnxruntime-tensorrt", one) as runner:
            assert runner.name == "onnxruntime-tensorrt"
    assert [name for name, _ in opened[0]] == names
    options = [providers[0][1] for providers in opened]
    assert options[0]["trt_fp16_enable"] == options[0]["trt_engine_cache_enable"] == "True"
    folders = [option["trt_engine_cache_path"] for option in options]
    assert folders[0].startswith(
        str(tmp_path / "home/engines/onnxruntime-1.11.0_") + bundle.model_sha256[:16]
    )
    assert "1.11.0_0000000000000000_" in folders[1]
    assert all(os.path.isdir(folder) for folder in folders)
