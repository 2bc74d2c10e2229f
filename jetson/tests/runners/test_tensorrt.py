import ctypes
import gc
import os
import subprocess
import sys

import fake_tensorrt
import numpy as np
import pytest
from fake_tensorrt import RELEASES, TENSORS, FakeTensorRt

from jetson.board.board import Board
from jetson.errors import BundleError, CudaError, EngineError, RunnerError, RuntimeMissingError
from jetson.play.bundle import load_bundle
from jetson.runners import RUNNERS, cuda, engine, open_runner, surroundings, unavailable
from jetson.runners.cuda import Cuda
from jetson.runners.engine import build_plan, engine_path

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GREY = np.full((1, 3, 32, 32), 0.5, np.float32)


def memory(library):
    """Return free and total bytes of the device."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    library._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


@pytest.fixture(scope="session")
def cudart(tmp_path_factory):
    """The compiled CUDA runtime without a device."""
    path = str(tmp_path_factory.mktemp("cuda") / "libcudart.so")
    source = os.path.join(TESTS, "fake_cudart.c")
    try:
        subprocess.check_call(["gcc", "-shared", "-fPIC", "-std=gnu99", "-o", path, source])
    except OSError:
        pytest.skip("there is no gcc")
    return path


@pytest.fixture
def device(cudart, tmp_path, monkeypatch):
    """A device with CUDA and, once called with a release, TensorRT: here, and in the builder's process."""
    monkeypatch.setattr(cuda, "LIBRARIES", (cudart,))
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "home"))

    def install(release, **behaviour):
        trt = FakeTensorRt(release, **behaviour)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        folder = tmp_path / "site-packages"
        folder.mkdir(exist_ok=True)
        lines = "import sys\nsys.path.insert(0, {!r})\nimport fake_tensorrt\n".format(TESTS)
        lines += "sys.modules[__name__] = fake_tensorrt.FakeTensorRt({!r})\n".format(release)
        (folder / "tensorrt.py").write_text(lines)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return trt

    return install


@pytest.fixture
def bundle(write_bundle):
    return load_bundle(write_bundle(b"a network"))


def engines(tmp_path):
    return sorted(os.listdir(str(tmp_path / "home" / "engines")))


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_builds_and_runs_a_network_with_its_own_names_only(release, device, bundle):
    device(release)
    with open_runner("tensorrt-fp32", bundle) as runner:
        scores, boxes = runner.infer(GREY)
    np.testing.assert_array_equal(scores, np.full((4, 8), 0.5, np.float32))
    np.testing.assert_array_equal(boxes, np.full((4, 4), 0.25, np.float32))


@pytest.mark.parametrize("release", RELEASES)
def test_the_builder_is_told_precision_workspace_and_mode_as_its_release_wants_it(release):
    trt = FakeTensorRt(release)
    build_plan(trt, b"a network", "fp32", 256)
    # float32 is not rounded to TF32, on any release.
    assert ("clear_flag", trt.BuilderFlag.TF32) in trt.calls
    workspace = "max_workspace_size" if release == "8.2" else "set_memory_pool_limit"
    assert (workspace, 256 << 20) in trt.calls
    created = dict(trt.calls)["create_network"]
    if release == "11.4":
        assert created == 0
        with pytest.raises(
            EngineError, match=r"tensorrt-fp16: TensorRT 11\.4\.0\.106 takes precision from the"
        ):
            build_plan(trt, b"a network", "fp16", 256)
    else:
        assert created == 1 << trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH
        build_plan(trt, b"a network", "fp16", 256)
        assert ("set_flag", trt.BuilderFlag.FP16) in trt.calls


def test_the_fakes_lack_what_the_releases_lack():
    trt = FakeTensorRt("8.2")
    with pytest.raises(AttributeError, match="IBuilderConfig has no set_memory_pool_limit"):
        trt.Builder(None).create_builder_config().set_memory_pool_limit(0, 1)
    with pytest.raises(AttributeError, match="has no TensorIOMode"):
        trt.TensorIOMode  # noqa: B018
    with pytest.raises(AttributeError, match="IBuilderConfig has no max_workspace_size"):
        FakeTensorRt("10.3").Builder(None).create_builder_config().max_workspace_size = 1
    with pytest.raises(AttributeError, match="ICudaEngine has no num_bindings"):
        FakeTensorRt("10.0")._made["ICudaEngine"]().num_bindings  # noqa: B018
    assert not hasattr(FakeTensorRt("11.4").BuilderFlag, "FP16")


def test_the_record_says_where_every_release_was_read():
    assert RELEASES == ["8.2", "8.6", "10.0", "10.3", "10.13", "11.4"]
    assert all(fake_tensorrt.NAMES[release]["source"] for release in RELEASES)


def test_tensorrt_11_says_why_it_has_no_fp16(device, bundle):
    device("11.4")
    with pytest.raises(
        RunnerError, match=r"^runner tensorrt-fp16: .*this model is float32: use tensorrt-fp32$"
    ):
        open_runner("tensorrt-fp16", bundle)
    assert "takes precision from the model alone" in unavailable("tensorrt-fp16")
    assert unavailable("tensorrt-fp32") is None


def test_an_engine_is_built_once_for_model_precision_tensorrt_and_gpu(device, bundle, tmp_path, monkeypatch):
    device("8.2")
    open_runner("tensorrt-fp16", bundle).close()
    (name,) = engines(tmp_path)
    assert name.startswith(bundle.model_sha256[:16] + "_fp16_tensorrt-8.2.1.9_sm53")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_run_builder", lambda command: pytest.fail("built again"))
        open_runner("tensorrt-fp16", bundle).close()
    open_runner("tensorrt-fp32", bundle).close()
    device("8.6")
    open_runner("tensorrt-fp32", bundle).close()
    open_runner("tensorrt-fp32", bundle._replace(model_sha256="0" * 64)).close()
    assert len(engines(tmp_path)) == 4
    assert all(name.endswith(".engine") for name in engines(tmp_path))


def test_an_engine_of_other_code_workspace_or_jetpack_is_built_again(device, bundle, tmp_path, monkeypatch):
    device("8.2")
    known = {engine_path(bundle, "fp16")}
    with monkeypatch.context() as patch:
        patch.setenv("DOBBLE_ENGINE_WORKSPACE_MB", "64")
        known.add(engine_path(bundle, "fp16"))
    with monkeypatch.context() as patch:
        copied = tmp_path / "engine.py"
        copied.write_text("builds otherwise")
        patch.setattr(engine, "__file__", str(copied))
        known.add(engine_path(bundle, "fp16"))
    with monkeypatch.context() as patch:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "nv_tegra_release").write_text("# R32 (release), REVISION: 7.1, GCID: 1")
        patch.setattr(surroundings, "Board", lambda: Board(str(tmp_path)))
        known.add(engine_path(bundle, "fp16"))
    known.add(engine_path(bundle._replace(model_sha256=bundle.model_sha256[:16] + 48 * "0"), "fp16"))
    assert len(known) == 5
    assert engine_path(bundle, "fp16") in known


def test_what_a_killed_build_has_left_goes_with_the_next(device, bundle, tmp_path):
    device("8.2")
    path = engine.engine_path(bundle, "fp16")
    os.makedirs(os.path.dirname(path))
    dead, living = ("{}.{}.new".format(path, pid) for pid in (2**22 + 1, os.getppid()))  # above all pids
    for left in (dead, living):
        with open(left, "wb"):
            pass
    open_runner("tensorrt-fp16", bundle).close()
    assert sorted(engines(tmp_path)) == sorted([os.path.basename(path), os.path.basename(living)])


def test_an_engine_that_no_longer_loads_is_built_again(device, bundle):
    device("10.3")
    open_runner("tensorrt-fp32", bundle).close()
    with open(engine_path(bundle, "fp32"), "wb") as stream:
        stream.write(b"damaged")
    with open_runner("tensorrt-fp32", bundle) as runner:
        assert runner.infer(GREY)[0].shape == (4, 8)


def test_no_runtime_takes_memory_beside_the_builder(device, bundle, monkeypatch):
    trt, build, beside = device("8.2"), engine._run_builder, []

    def watched(command):
        beside.append(len(trt.runtimes))
        build(command)

    monkeypatch.setattr(engine, "_run_builder", watched)
    with open_runner("tensorrt-fp16", bundle):
        assert len(trt.runtimes) == 1
    with open(engine_path(bundle, "fp16"), "wb") as stream:
        stream.write(b"damaged")
    gc.collect()
    open_runner("tensorrt-fp16", bundle).close()
    assert beside == [0, 0]


def test_all_that_the_parser_refuses_is_in_the_message(device, write_bundle, tmp_path):
    device("8.2")
    with pytest.raises(
        EngineError,
        match=r"TensorRT 8.2.1.9: refuses the model \(In node 0 .*; In node 1 .*UNSUPPORTED_NODE\)",
    ):
        open_runner("tensorrt-fp32", load_bundle(write_bundle(b"damaged")))
    assert engines(tmp_path) == []


def test_a_builder_that_makes_nothing_is_an_error(device, write_bundle):
    device("10.13")
    with pytest.raises(EngineError, match=r"TensorRT 10\.13\.3\.9: built no engine"):
        open_runner("tensorrt-fp16", load_bundle(write_bundle(b"too large")))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by signal 9; memory may have run out: stop the desktop"),
        (
            "print('[1/1] [TRT] [E] 2: OutOfMemory'); sys.exit(1)",
            r"failed \(2: OutOfMemory\); memory may have",
        ),
        ("sys.exit('no such library')", r"ended with exit code 1 \(no such library\)"),
    ],
)
def test_a_builder_that_dies_names_the_cures(code, message, device, bundle, tmp_path):
    device("8.2")
    (tmp_path / "site-packages" / "tensorrt.py").write_text("import os, sys\n" + code)
    with pytest.raises(EngineError, match="TensorRT's builder: " + message):
        open_runner("tensorrt-fp32", bundle)
    assert engines(tmp_path) == []


def test_the_workspace_is_a_setting(device, bundle, monkeypatch):
    device("8.2")
    monkeypatch.setenv("DOBBLE_ENGINE_WORKSPACE_MB", "plenty")
    with pytest.raises(EngineError, match="DOBBLE_ENGINE_WORKSPACE_MB: 'plenty' is not a number of MiB"):
        open_runner("tensorrt-fp32", bundle)


def test_the_builder_holds_neither_opencv_nor_onnxruntime():
    code = "import sys, jetson.runners.engine; print(sorted({'cv2', 'onnxruntime'} & set(sys.modules)))"
    root = os.path.dirname(os.path.dirname(TESTS))
    said = subprocess.check_output([sys.executable, "-c", code], cwd=root, universal_newlines=True)
    assert said.strip() == "[]"


def test_outputs_are_told_apart_by_shape_whatever_their_order_and_names(device, bundle):
    turned = (("b", False, TENSORS[2][2]), ("a", False, TENSORS[1][2]), ("c", True, TENSORS[0][2]))
    device("8.6", tensors=turned)
    with open_runner("tensorrt-fp32", bundle) as runner:
        scores, boxes = runner.infer(GREY)
    assert (scores.shape, boxes.shape) == ((4, 8), (4, 4))
    assert (scores[0, 0], boxes[0, 0]) == (0.5, 0.25)


def test_an_engine_of_other_shapes_is_refused(device, bundle):
    device("8.6", tensors=TENSORS[:2] + (("scores", False, (1, 4, 9)),))
    with pytest.raises(BundleError, match=r"its engine has .*scores \[1, 4, 9\], not the manifest's"):
        open_runner("tensorrt-fp32", bundle)


def test_a_network_that_fails_to_run_is_an_error_and_memory_is_given_back(device, bundle):
    device("8.2", runs=False)
    free = memory(Cuda())[0]
    with open_runner("tensorrt-fp32", bundle) as runner:
        assert free - memory(Cuda())[0] == (3 * 32 * 32 + 4 * 8 + 4 * 4) * 4
        with pytest.raises(RunnerError, match="could not run the network"):
            runner.infer(GREY)
        with pytest.raises(RunnerError, match=r"takes \(1, 3, 32, 32\), not \(3, 32, 32\)"):
            runner.infer(GREY[0])
    assert memory(Cuda())[0] == free
    with pytest.raises(RunnerError, match="is closed"):
        runner.infer(GREY)


def test_answers_outlive_the_next_inference(device, bundle):
    device("10.0")
    with open_runner("tensorrt-fp32", bundle) as runner:
        first = runner.infer(GREY)[0]
        runner.infer(GREY * 2)
    assert first[0, 0] == 0.5


def test_sizes_and_pointers_beyond_32_bits_reach_cuda_whole(device):
    device("8.2")
    library = Cuda()
    free, total = memory(library)
    assert total == 64 << 30
    pointer = library.malloc((5 << 30) + 1)
    assert free - memory(library)[0] == (5 << 30) + 1
    assert pointer > 1 << 32
    library.upload(pointer, np.arange(6, dtype=np.float32))
    back = np.zeros(6, np.float32)
    library.download(back, pointer)
    np.testing.assert_array_equal(back, [0, 1, 2, 3, 4, 5])
    library.free(pointer)
    assert memory(library)[0] == free


def test_cuda_s_own_words_are_in_the_error(device):
    device("8.2")
    library = Cuda()
    with pytest.raises(CudaError, match=r"CUDA, cudaMalloc: out of memory \(error 2\)"):
        library.malloc(65 << 30)
    with pytest.raises(CudaError, match=r"CUDA, cudaFree: invalid argument \(error 1\)"):
        library.free(12345)
    with pytest.raises(CudaError, match="only contiguous arrays"):
        library.upload(0, np.zeros((4, 4), np.float32)[:, ::2])
    assert (library.version(), library.capability(), library.device_count()) == ("10.2", "5.3", 1)


def test_without_tensorrt_or_cuda_each_runner_says_what_is_missing(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeMissingError, match=r"TensorRT is not installed: .*python3-libnvinfer"):
        open_runner("tensorrt-fp32", bundle)
    assert "TensorRT is not installed" in unavailable("tensorrt-fp16")
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt("8.2"))
    monkeypatch.setattr(cuda, "LIBRARIES", ("libcudart.so.of.nobody",))
    assert "libcudart.so: was not found" in unavailable("tensorrt-fp32")
    with pytest.raises(CudaError, match=r"libcudart\.so: was not found"):
        open_runner("tensorrt-fp32", bundle)


def test_every_runner_is_said_to_be_available_or_why_not():
    pytest.importorskip("onnxruntime")
    reasons = {name: unavailable(name) for name in RUNNERS}
    assert reasons.pop("onnxruntime-cpu") is None
    assert all(reason is None or len(reason) > 10 for reason in reasons.values())


@pytest.mark.gpu
def test_a_real_gpu_takes_and_returns_arrays():
    if not _has_gpu():
        pytest.skip("no CUDA device")
    library = Cuda()
    free, total = memory(library)
    assert 0 < free <= total
    array = np.random.RandomState(0).rand(1, 3, 320, 320).astype(np.float32)
    pointer = library.malloc(array.nbytes)
    library.upload(pointer, array)
    back = np.empty_like(array)
    library.download(back, pointer)
    library.free(pointer)
    np.testing.assert_array_equal(back, array)
    assert float(library.capability()) >= 5.3
    with pytest.raises(CudaError, match="cudaMalloc"):
        library.malloc(1 << 50)


def _has_gpu():
    try:
        return Cuda().device_count() > 0
    except CudaError:
        return False
