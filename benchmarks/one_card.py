"""Compares one card's time on this CPU: the bundle, what the original shipped, and the least possible."""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
from machine import machine, print_table
from numpy.typing import NDArray

from dobble.sample.labelled_photos import render_photos
from jetson.errors import JetsonError
from jetson.play.bundle import Bundle, load_bundle
from jetson.play.detect import decode, evidence
from jetson.play.detect import prepare as prepare_card
from jetson.runners import open_runner

Photo = NDArray[np.uint8]

THREADS = (1, 2)
PHOTOS = 6
ORIGINAL_SIDE = 320
MATRIX = 1024
SPINNING_SECONDS = 0.05  # ONNX Runtime's threads wait for more work for about half as long
OURS = ("letterbox", "network", "decode and evidence")
THEIRS = ("resize, scale to 0..1", "whole graph")


class Measurement(NamedTuple):
    """What one thread count came to, in seconds.

    Attributes:
        ours: float64 [rounds, cards, 3], the steps of `OURS`.
        theirs: float64 [rounds, cards, 2], the steps of `THEIRS`.
        found: mean number of boxes that leave the whole graph.
        rate: floating-point operations per second of a matrix product.
    """

    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]
    found: float
    rate: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    described = machine()
    try:
        bundle = load_bundle(str(arguments.bundle))
    except JetsonError as error:
        sys.exit(f"error: {error}")
    with tempfile.TemporaryDirectory(prefix="dobble-") as name:
        photos = sample_photos(arguments.bundle, Path(name))
        whole, product = Path(name) / "whole.onnx", Path(name) / "product.onnx"
        candidates = write_original(whole, bundle, photos)
        write_product(product)
        measured = []
        for threads in THREADS:
            # A process for each thread count: threads of an earlier one would disturb it.
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                task = (threads, arguments.bundle, whole, product, photos, arguments.rounds)
                measured.append(process.submit(measure, *task).result())
    work = operations(Path(bundle.model))
    print(f"One card on {described}, ONNX Runtime {onnxruntime.__version__}\n")
    print_table(("ms", "1 thread: median", "p90", "2 threads: median", "p90", "bar"), rows(measured, work))
    rates = " and ".join(f"{one.rate / 1e9:.0f}" for one in measured)
    print(
        f"\n{len(photos)} photos, {arguments.rounds} rounds A B B A of them. Floor: {work / 1e9:.2f} GFLOP"
        f" at the {rates} GFLOP/s of a {MATRIX}x{MATRIX} matrix product in ONNX Runtime.\n"
        f"The original has random weights; of each photo {candidates:.0f} scores enter its suppression, as"
        f" many as pass its threshold in the bundle's output, and {measured[0].found:.0f} boxes leave it."
    )


def rows(measured: list[Measurement], work: int) -> Iterator[list[str]]:
    """Table rows: each step, the sums, the gain, the floor."""
    ours, theirs = [one.ours for one in measured], [one.theirs for one in measured]
    yield row(OURS[0], [steps[..., 0] for steps in ours])
    yield row(OURS[1], [steps[..., 1] for steps in ours], (8, 5))
    yield row(OURS[2], [steps[..., 2] for steps in ours])
    yield row(f"{OURS[0]}, {OURS[2]}", [steps[..., 0] + steps[..., 2] for steps in ours], (1, 1))
    yield row("**bundle, end to end**", [steps.sum(-1) for steps in ours])
    yield row(f"original: {THEIRS[0]}", [steps[..., 0] for steps in theirs])
    yield row(f"original: {THEIRS[1]}", [steps[..., 1] for steps in theirs])
    yield row("**original, end to end**", [steps.sum(-1) for steps in theirs])
    gains = [gain(one) for one in measured]
    floors = [1e3 * work / one.rate for one in measured]
    above = [1e3 * float(np.median(steps[..., 1])) / floor for steps, floor in zip(ours, floors, strict=True)]
    verdict = "met" if gains[0] >= 1.25 else "missed"
    yield ["original / bundle", f"{gains[0]:.2f}x", "", f"{gains[1]:.2f}x", "", f">= 1.25 on 1: {verdict}"]
    yield ["floor of the network", f"{floors[0]:.2f}", "", f"{floors[1]:.2f}", "", ""]
    yield ["network / floor", f"{above[0]:.2f}x", "", f"{above[1]:.2f}x", "", ""]


def row(name: str, seconds: list[NDArray[np.float64]], bars: tuple[float, ...] = ()) -> list[str]:
    """Median and 90 % quantile over all cards, in ms, and whether the medians keep within the bars."""
    medians = [1e3 * float(np.median(values)) for values in seconds]
    tails = [1e3 * float(np.quantile(values, 0.9)) for values in seconds]
    cells = [f"{value:.2f}" for pair in zip(medians, tails, strict=True) for value in pair]
    bar = ""
    if bars:
        met = all(median <= limit for median, limit in zip(medians, bars, strict=True))
        bar = f"<= {' and '.join(f'{limit:g}' for limit in bars)}: {'met' if met else 'missed'}"
    return [name, *cells, bar]


def gain(one: Measurement) -> float:
    """Median over rounds of how many times longer the original takes in the same round."""
    theirs, ours = (np.median(steps.sum(-1), axis=1) for steps in (one.theirs, one.ours))
    return float(np.median(theirs / ours))


def measure(
    threads: int, folder: Path, whole: Path, product: Path, photos: list[Photo], rounds: int
) -> Measurement:
    """Measure one thread count; in the order A B B A, so that a drift of the machine favours neither."""
    cv2.setNumThreads(threads)
    bundle = load_bundle(str(folder), verify=False)
    original, multiply = open_session(whole, threads), open_session(product, threads)
    name = original.get_inputs()[0].name
    factor = {"a": np.ones((MATRIX, MATRIX), np.float32)}
    found: list[int] = []
    with open_runner("onnxruntime-cpu", bundle, threads) as runner:

        def read(photo: Photo) -> list[float]:
            times = [time.perf_counter()]
            batch, transform = prepare_card(photo, bundle)
            times.append(time.perf_counter())
            scores, boxes = runner.infer(batch)
            times.append(time.perf_counter())
            decode(scores, boxes, transform, bundle.thresholds.score, bundle.thresholds.nms_iou)
            evidence(scores, boxes, transform)
            times.append(time.perf_counter())
            return times

        def read_whole(photo: Photo) -> list[float]:
            times = [time.perf_counter()]
            image = prepare(photo)
            times.append(time.perf_counter())
            boxes, *_ = original.run(None, {name: image})
            times.append(time.perf_counter())
            found.append(len(boxes))
            return times

        def multiply_once(_: object) -> list[float]:
            start = time.perf_counter()
            multiply.run(None, factor)
            return [start, time.perf_counter()]

        ours, theirs, products = [], [], []
        for _ in range(rounds):
            turns = [burst(run, photos) for run in (read, read_whole, read_whole, read)]
            ours.append(np.concatenate([turns[0], turns[3]]))
            theirs.append(np.concatenate([turns[1], turns[2]]))
            products.append(burst(multiply_once, photos[:1]))
    rate = 2 * MATRIX**3 / float(np.min(products))
    return Measurement(np.stack(ours), np.stack(theirs), float(np.mean(found)), rate)


def burst(run: Callable[[Any], list[float]], items: Sequence[Any]) -> NDArray[np.float64]:
    """Durations of each item's steps, once the threads of the other session have stopped spinning."""
    time.sleep(SPINNING_SECONDS)
    run(items[0])
    return np.diff([run(item) for item in items])


def prepare(photo: Photo) -> NDArray[np.float32]:
    """What the original takes: float32 [3, 320, 320] RGB in [0, 1]."""
    image = np.empty((3, ORIGINAL_SIDE, ORIGINAL_SIDE), np.float32)
    image[2], image[1], image[0] = cv2.split(cv2.resize(photo, (ORIGINAL_SIDE, ORIGINAL_SIDE)))
    image /= np.float32(255)
    return image


def sample_photos(bundle: Path, scratch: Path) -> list[Photo]:
    """Six of the bundle's photos, uint8 [H, W, 3] BGR, or rendered ones if it has too few."""
    reference = bundle / "samples" / "reference.json"
    entries = json.loads(reference.read_text(encoding="utf-8"))["photos"] if reference.is_file() else []
    paths = [bundle / "samples" / entry["file"] for entry in entries]
    if len(paths) < 2:
        render_photos(scratch / "data", decks=1, workers=1)
        paths = sorted((scratch / "data" / "images").iterdir())
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in paths[:PHOTOS]]


def write_original(path: Path, bundle: Bundle, photos: list[Photo]) -> float:
    """Write the original's graph and return how many candidates a photo has, in the bundle's output too."""
    from original import SCORE_THRESHOLD, export_original  # noqa: PLC0415 - measuring does without torch

    with open_runner("onnxruntime-cpu", bundle, 1) as runner:
        scores = [runner.infer(prepare_card(photo, bundle)[0])[0] for photo in photos]
    candidates = float(np.mean([(one[:, 1:] > SCORE_THRESHOLD).sum() for one in scores]))
    export_original(path, [prepare(photo) for photo in photos], candidates)
    return candidates


def write_product(path: Path) -> None:
    """Write the product of an input and a constant, both 1024x1024, as a model."""
    constant = onnx.numpy_helper.from_array(np.ones((MATRIX, MATRIX), np.float32), "b")
    sides = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [MATRIX, MATRIX]) for name in "ac"
    ]
    node = onnx.helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = onnx.helper.make_graph([node], "product", sides[:1], sides[1:], [constant])
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), str(path))


def operations(path: Path) -> int:
    """Multiplications and additions of a model's convolutions and matrix products."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    shapes: dict[str, list[int]] = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [side.dim_value for side in value.type.tensor_type.shape.dim]
    terms = {
        "Conv": lambda node: math.prod(shapes[node.input[1]][1:]),  # [out, in / groups, height, width]
        "Gemm": lambda node: shapes[node.input[0]][-1],
        "MatMul": lambda node: shapes[node.input[0]][-1],
    }
    counted = (node for node in graph.node if node.op_type in terms)
    return sum(2 * math.prod(shapes[node.output[0]]) * terms[node.op_type](node) for node in counted)


def open_session(path: Path, threads: int) -> Any:
    """Open a model as the bundle's runner opens its own."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
