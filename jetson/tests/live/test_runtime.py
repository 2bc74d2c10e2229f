"""Which runtime serves: the benchmark's winner, with the next bundle too once it agrees with its samples."""

import os

import pytest
from made_up_runners import MadeUp
from measured_bundle import add_samples

import jetson.runners
from jetson.bench.choice import Choice, write_choice
from jetson.live.runtime import SharedRunner, runtime_order
from jetson.play.bundle import load_bundle

UNPROVEN = "kept from the bundle before, checked on this one's samples, not yet benchmarked"


@pytest.fixture
def device(monkeypatch, tmp_path):
    """A device that was benchmarked with another model: the GPU won before TensorRT."""
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path))

    def benchmarked(shift=0, model="0" * 64, board="", order=("onnxruntime-cuda", "tensorrt-fp32")):
        for name, by in (("onnxruntime-cuda", shift), ("tensorrt-fp32", 0), ("onnxruntime-cpu", 0)):
            made = lambda *_, name=name, by=by: MadeUp(name, shift=by)  # noqa: E731
            monkeypatch.setitem(jetson.runners.RUNNERS, name, made)
        choice = Choice(order[0], list(order), "fastest", "", model, board, {}, False, [])
        write_choice(str(tmp_path / "choice.json"), choice)

    return benchmarked


@pytest.fixture
def bundle(write_bundle):
    return load_bundle(add_samples(write_bundle()))


def serving(bundle):
    """Open what would serve a bundle; return its name and why it is that."""
    with SharedRunner(bundle, *runtime_order(bundle)) as runner:
        runner.each(len, [""])
        return runner.name, runner.reason


def test_a_new_bundle_keeps_the_runtime_that_won_before_and_says_that_it_is_not_benchmarked(
    bundle, device, capfd
):
    device()
    reason = "the benchmark was of another model: " + UNPROVEN
    assert serving(bundle) == ("onnxruntime-cuda", reason)
    assert "runtime: onnxruntime-cuda ({})".format(reason) in capfd.readouterr().err


def test_a_runtime_that_differs_from_the_new_bundle_s_samples_makes_way_for_the_next(bundle, device):
    device(shift=1)
    # A symbol further: one of the three on the dark photo is missing and two of those on the bright one, the
    # others lie elsewhere, and the two photos share another one.
    problem = "differs from this bundle's samples in 7 ways (bright.png: anchor not found): benchmark it"
    assert serving(bundle) == ("tensorrt-fp32", "runner onnxruntime-cuda: " + problem)


def test_without_samples_nothing_is_kept(write_bundle, device):
    device()
    name, reason = serving(load_bundle(write_bundle()))
    assert name == "onnxruntime-cpu"
    assert os.path.join("samples", "reference.json") in reason


def test_a_runtime_that_was_benchmarked_with_this_bundle_is_not_compared_again(bundle, device):
    device(shift=1, model=bundle.model_sha256)
    assert serving(bundle) == ("onnxruntime-cuda", "fastest")


@pytest.mark.parametrize(
    "other", [{"board": "NVIDIA Jetson TX2"}, {"order": ("onnxruntime-cpu", "onnxruntime-cuda")}]
)
def test_nothing_is_kept_from_another_board_and_the_processor_needs_no_keeping(bundle, device, other):
    device(**other)
    name, reason = serving(bundle)
    assert name == "onnxruntime-cpu"
    assert reason == "the benchmark was of another model: ONNX Runtime on the processor"


def test_the_first_run_and_the_comparison_are_part_of_the_opening(bundle, device, monkeypatch):
    device()
    seen = []

    class Watched(MadeUp):
        def infer(self, batch):
            seen.append((shared.working_since, shared.opened_at > 1e9 or shared.opened_at))
            return super().infer(batch)

    monkeypatch.setitem(jetson.runners.RUNNERS, "onnxruntime-cuda", lambda *_: Watched("onnxruntime-cuda"))
    with SharedRunner(bundle, *runtime_order(bundle)) as shared:
        shared.each(len, [""])
        last = shared.opened_at
    assert len(seen) == 3  # once, and both photos
    assert all(working is None and opened > last for working, opened in seen)
