"""Pascal VOC and splits to the best checkpoint of an SSDLite detector and the history of its training."""

import ctypes
import hashlib
import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from dobble.data.voc import read_labels
from dobble.detector.anchors import fit_anchors
from dobble.detector.checkpoint import save_checkpoint
from dobble.detector.dataset import CACHE_BYTES, LabelledPhoto, TrainingPhotos, box_shares, load_split
from dobble.detector.predict import PreparedPhotos
from dobble.detector.ranks import Ranks, joined_ranks
from dobble.detector.training_state import HISTORY, Clock, Epoch, TrainingState, write_history
from dobble.errors import MissingInputError, TrainingError
from dobble.files import replaced_folder
from dobble.params import TrainParams
from dobble.pipeline.code_closure import code_digest


@dataclass(frozen=True)
class TrainSummary:
    """What training came to; `photos_per_second` and `waiting_share` leave out validation and saving."""

    best: Epoch
    epochs: int
    photos_per_second: float
    waiting_share: float


def train(voc: Path, splits: Path, out: Path, params: TrainParams) -> TrainSummary:
    """Train and write `checkpoint.pt` and `history.csv` into `out`, which appears whole or not.

    After every epoch the whole state and the history so far go to a folder beside `out`; a run that was
    killed goes on from there, to the same weights, if parameters, code, labels and every byte of the photos
    are still the same.

    Processes that `torchrun` started share every batch; the first alone validates and writes.

    Raises:
        MissingInputError: if an earlier stage has not run, or a photo is gone.
        TrainingError: if the device is not there, there are too few photos, or the loss is no number.
        CheckpointError: if `train.weights` names a file that cannot be used.
        OutputError: if `out` cannot be written.
    """
    with joined_ranks(params.device) as ranks:
        return _train(voc, splits, out, params, ranks)


def _train(voc: Path, splits: Path, out: Path, params: TrainParams, ranks: Ranks) -> TrainSummary:
    _keep_freed_memory()
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    labels = tuple(read_labels(voc / "labels.txt"))
    photos, held_out = load_split(voc, splits, "train"), load_split(voc, splits, "val")
    if len(photos) < 2:
        raise TrainingError(f"{splits / 'train.txt'}: training needs at least 2 photos, not {len(photos)}")
    if min(len(photos), params.batch_size) < ranks.size:
        cure = "lower train.processes, or raise train.batch_size"
        raise TrainingError(f"a batch has fewer photos than {ranks.size} processes can share; {cure}")
    anchors = fit_anchors(box_shares(photos))
    run = TrainingState(params, labels, anchors, len(photos), ranks)
    resume = out.with_name(f".{out.name}.resume") / "state.pt"
    run.restore(resume, _fingerprint(params, labels, photos, held_out, ranks))
    training = TrainingPhotos(photos, CACHE_BYTES // ranks.size)
    validation, clock = PreparedPhotos(held_out), Clock()
    while run.epoch < params.epochs:
        run.train_epoch(training, clock)
        run.validate(validation)
        run.save(resume)
    if ranks.is_first:
        with replaced_folder(out) as side:
            run.network.load_state_dict(run.best_state)
            save_checkpoint(side / "checkpoint.pt", run.network, labels, anchors)
            write_history(side / HISTORY, run.history)
        shutil.rmtree(resume.parent, ignore_errors=True)
    seconds = max(clock.seconds, 1e-9)
    return TrainSummary(run.best_epoch, params.epochs, clock.photos / seconds, clock.waiting / seconds)


def _keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of returning each to the kernel.

    A training step frees and asks for some hundred blocks of up to 50 MB; zeroed anew by the kernel every
    time, their page faults take longer than the arithmetic on them.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        no_mmap, trim_threshold, top_pad = -4, -1, -2
        libc.mallopt(no_mmap, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 256 * 2**20)


def _fingerprint(
    params: TrainParams,
    labels: tuple[str, ...],
    photos: list[LabelledPhoto],
    held_out: list[LabelledPhoto],
    ranks: Ranks,
) -> dict[str, str]:
    """Hash all that decides a training's course, by what a person would call it."""
    weights = Path(params.weights)
    start = _sha256(weights) if weights.is_file() else None
    course = [params.model_dump(), ranks.size, start, torch.__version__]
    pixels, boxes = hashlib.sha256(), hashlib.sha256(json.dumps(labels).encode())
    for photo in (*photos, *held_out):
        if not photo.path.is_file():
            raise MissingInputError(photo.path, "run `dvc repro -f convert`")
        pixels.update(f"{photo.name} {_sha256(photo.path)}\n".encode())
        boxes.update(photo.boxes.tobytes() + photo.labels.tobytes())
    return {
        "parameters": hashlib.sha256(json.dumps(course).encode()).hexdigest(),
        "code": code_digest("dobble.detector.train"),
        "photos": pixels.hexdigest(),
        "labels": boxes.hexdigest(),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
