"""A game of seven symbols taken through the pipeline once, for the tests of all that comes after training."""

import csv
from pathlib import Path

import pytest
import torch
from pipelines import Pipeline, draw_symbols, write_params
from torch import nn

from dobble.data.convert import convert
from dobble.data.split import split
from dobble.data.voc import read_labels
from dobble.detector.anchors import INPUT_SIZE, fit_anchors
from dobble.detector.checkpoint import save_checkpoint
from dobble.detector.dataset import box_shares, load_split
from dobble.detector.export import export
from dobble.detector.network import Detector
from dobble.detector.predict import PreparedPhotos
from dobble.params import load_params
from dobble.sample.labelled_photos import render_photos
from jetson.play.detect import letterbox


@pytest.fixture(scope="session")
def game_symbols(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture of each symbol."""
    return draw_symbols(tmp_path_factory.mktemp("game") / "symbols")


@pytest.fixture(scope="session")
def game_data(game_symbols: Path) -> Path:
    """Raw data: 28 photos, four sessions of all seven cards."""
    out = game_symbols.parent / "data"
    render_photos(out, symbols=game_symbols, decks=4, size=240, workers=1)
    return out


@pytest.fixture(scope="session")
def pipeline(game_data: Path) -> Pipeline:
    """The stages' outputs up to the bundle; do not write below its root.

    The detector is not trained, which would take minutes, but its scores spread over [0, 1] and differ from
    photo to photo, so that all that follows has something to work on.
    """
    root = game_data.parent
    torch.set_num_threads(1)
    made = Pipeline(root, load_params(write_params(root, export={"samples": 3, "match_probability": 0.0})))
    convert(made.data, made.voc, made.params.convert)
    split(made.voc, made.splits, made.params.split)
    made.checkpoint.parent.mkdir()
    _write_untrained(made)
    _write_history(made.history)
    export(made.checkpoint, made.voc, made.splits, made.bundle, made.params.export)
    return made


def _write_untrained(made: Pipeline) -> None:
    torch.manual_seed(0)
    labels = tuple(read_labels(made.voc / "labels.txt"))
    photos = load_split(made.voc, made.splits, "train")
    anchors = fit_anchors(box_shares(photos))
    network = Detector(len(labels), anchors)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the statistics of the one batch below become those of the network
    prepared = PreparedPhotos(photos)
    crops = [prepared.load(index) for index in range(len(photos))]
    batch = [torch.from_numpy(letterbox(crop.image, INPUT_SIZE)[0]) for crop in crops]
    with torch.no_grad():
        network.train()(torch.cat(batch))
        for branch in network.head.classification_head.module_list:
            last = [module for module in branch.modules() if isinstance(module, nn.Conv2d)][-1]
            last.weight *= 4
    save_checkpoint(made.checkpoint, network, labels, anchors)


def _write_history(path: Path) -> None:
    rows = [
        ["epoch", "box_loss", "class_loss", "mAP", "mAP50"],
        [1, 0.9, 4.9, 0.0, 0.1],
        [2, 0.8, 3.1, 0.2, 0.5],
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
