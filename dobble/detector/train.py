"""Pascal VOC and splits to the best checkpoint of an SSDLite detector and the history of its training."""

import copy
import csv
import ctypes
import hashlib
import json
import math
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dobble.data.voc import read_labels
from dobble.detector.anchors import AnchorSpec, fit_anchors
from dobble.detector.batches import Batch, epoch_batches, steps_per_epoch
from dobble.detector.checkpoint import save_checkpoint, start_weights, write_tensors
from dobble.detector.dataset import LabelledPhoto, TrainingPhotos, box_shares, load_split
from dobble.detector.loss import multibox_loss
from dobble.detector.metrics import Truth, average_precision
from dobble.detector.network import Deployed, Detector
from dobble.detector.predict import detect_photos
from dobble.errors import MissingInputError, TrainingError
from dobble.files import replaced_file, replaced_folder
from dobble.params import TrainParams

VALIDATION_NMS_IOU = 0.5
HISTORY = "history.csv"
_LOWEST_RATE = 0.002


@dataclass(frozen=True)
class Epoch:
    """One line of `history.csv`: the epoch's mean losses, and the precision of the averaged weights."""

    epoch: int
    box_loss: float
    class_loss: float
    mAP: float  # noqa: N815 - the metric's own spelling
    mAP50: float  # noqa: N815


@dataclass(frozen=True)
class TrainSummary:
    """What training came to; `photos_per_second` and `waiting_share` leave out validation and saving."""

    best: Epoch
    epochs: int
    photos_per_second: float
    waiting_share: float


@dataclass
class _Clock:
    photos: int = 0
    seconds: float = 0.0
    waiting: float = 0.0


def train(voc: Path, splits: Path, out: Path, params: TrainParams) -> TrainSummary:
    """Train and write `checkpoint.pt` and `history.csv` into `out`, which appears whole or not.

    After every epoch the whole state and the history so far go to a folder beside `out`; a run that was
    killed goes on from there, to the same weights, if parameters, labels and photos are still the same.

    Raises:
        MissingInputError: if an earlier stage has not run, or a photo is gone.
        TrainingError: if the device is not there, there are too few photos, or the loss is no number.
        CheckpointError: if `train.weights` names a file that cannot be used.
        OutputError: if `out` cannot be written.
    """
    device = _choose_device(params.device)
    _keep_freed_memory()
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    labels = tuple(read_labels(voc / "labels.txt"))
    photos, held_out = load_split(voc, splits, "train"), load_split(voc, splits, "val")
    if len(photos) < 2:
        raise TrainingError(f"{splits / 'train.txt'}: training needs at least 2 photos, not {len(photos)}")
    anchors = fit_anchors(box_shares(photos))
    run = _Run(params, labels, anchors, len(photos), device)
    resume = out.with_name(f".{out.name}.resume") / "state.pt"
    run.restore(resume, _fingerprint(params, labels, photos, held_out))
    training, clock = TrainingPhotos(photos), _Clock()
    while run.epoch < params.epochs:
        run.train_epoch(training, clock)
        run.validate(held_out)
        run.save(resume)
    best = run.best_epoch
    with replaced_folder(out) as side:
        run.network.load_state_dict(run.best_state)
        save_checkpoint(side / "checkpoint.pt", run.network, labels, anchors)
        _write_history(side / HISTORY, run.history)
    shutil.rmtree(resume.parent, ignore_errors=True)
    seconds = max(clock.seconds, 1e-9)
    return TrainSummary(best, params.epochs, clock.photos / seconds, clock.waiting / seconds)


class _Run:
    """The state of one training, which is all that resuming needs."""

    def __init__(
        self,
        params: TrainParams,
        labels: tuple[str, ...],
        anchors: AnchorSpec,
        photos: int,
        device: torch.device,
    ) -> None:
        self.params, self.classes, self.device = params, len(labels), device
        network = start_weights(params.weights, labels, anchors).train()
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.anchors = self.network.anchors_for(params.window).to(device)
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = _optimizer(self.network, params)
        self.steps = steps_per_epoch(photos, params.batch_size)
        self.epoch = 0
        self.history: list[Epoch] = []
        self.best_state = self._averaged_state()
        self.fingerprint = ""
        self.losses = np.zeros(2)

    @property
    def best_epoch(self) -> Epoch:
        return max(self.history, key=lambda row: (row.mAP, row.epoch))

    def train_epoch(self, photos: TrainingPhotos, clock: _Clock) -> None:
        params = self.params
        batches = epoch_batches(photos, params, self.epoch)
        self.losses = np.zeros(2)
        name = f"epoch {self.epoch + 1}/{params.epochs}"
        bar = tqdm(total=self.steps, desc=name, leave=False, disable=None)
        asked = time.perf_counter()
        for step, batch in enumerate(batches):
            got = time.perf_counter()
            self._set_learning_rate((self.epoch * self.steps + step) / (params.epochs * self.steps))
            losses = self._step(batch)
            if not np.isfinite(losses).all():
                cure = "lower train.learning_rate, or look at the newest labels"
                raise TrainingError(
                    f"epoch {self.epoch + 1}, step {step + 1}: the loss is {losses.sum()}; {cure}"
                )
            self.losses += losses / self.steps
            bar.update()
            done = time.perf_counter()
            clock.waiting += got - asked
            clock.seconds += done - asked
            clock.photos += len(batch.images)
            asked = done
        bar.close()

    def validate(self, held_out: list[LabelledPhoto]) -> None:
        found = detect_photos(Deployed(self.average), held_out, VALIDATION_NMS_IOU, self.device)
        truths = [Truth(photo.boxes, photo.labels) for photo in held_out]
        precision = average_precision(list(found), truths, self.classes)
        self.epoch += 1
        box_loss, class_loss = (round(float(loss), 4) for loss in self.losses)
        row = Epoch(self.epoch, box_loss, class_loss, round(precision.map, 4), round(precision.map50, 4))
        self.history.append(row)
        if self.best_epoch is row:
            self.best_state = self._averaged_state()
        tqdm.write(
            f"epoch {row.epoch:3d}  loss {box_loss:.3f} + {class_loss:.3f}"
            f"  val mAP {row.mAP:.3f}  mAP50 {row.mAP50:.3f}"
        )

    def save(self, path: Path) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "history": [asdict(row) for row in self.history],
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best_state,
        }
        with replaced_file(path) as side:
            write_tensors(side, state)
        self._publish(path)

    def _publish(self, path: Path) -> None:
        """Write the history, also when going on: a watcher tells by that that it is not one left behind."""
        with replaced_file(path.with_name(HISTORY)) as side:
            _write_history(side, self.history)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go on from a killed run of the same training; anything else that lies there is passed over."""
        self.fingerprint = fingerprint
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception:  # noqa: BLE001 - a state that cannot be read is a state that is not there
            state = {}
        if state.get("fingerprint") != fingerprint:
            tqdm.write("starting over: parameters or photos have changed since the training that was stopped")
            return
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.best_state = state["best"]
        self._publish(path)
        tqdm.write(f"going on after epoch {self.epoch} of a training that was stopped")

    def _step(self, batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        images = batch.images.to(self.device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        logits, deltas = self.network(images)
        box_loss, class_loss = multibox_loss(
            logits, deltas, batch.boxes.to(self.device), batch.labels.to(self.device), self.anchors
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(box_loss + class_loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_clip)
        self.optimizer.step()
        self._update_average()
        return torch.stack([box_loss, class_loss]).detach().cpu().double().numpy()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Moving average of the weights, which forgets the random start faster than its final pace."""
        steps = self.optimizer_steps()
        decay = min(self.params.ema_decay, (1 + steps) / (10 + steps))
        for mean, value in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def optimizer_steps(self) -> int:
        first = next(iter(self.optimizer.state.values()))
        return int(first["step"])

    def _set_learning_rate(self, progress: float) -> None:
        """One cycle (Smith and Topin, 2018): a linear warm-up, then half a cosine to nearly nothing."""
        warmup = self.params.warmup
        if progress < warmup:
            factor = 0.04 + 0.96 * progress / warmup
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) + _LOWEST_RATE
        for group in self.optimizer.param_groups:
            group["lr"] = self.params.learning_rate * factor

    def _averaged_state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.average.state_dict().items()}


def _optimizer(network: Detector, params: TrainParams) -> torch.optim.AdamW:
    """AdamW that decays weights but neither biases nor the scales of batch normalisation."""
    decayed = [value for value in network.parameters() if value.ndim > 1]
    kept = [value for value in network.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, params.learning_rate, betas=(0.9, 0.99), fused=True)


def _choose_device(wanted: str) -> torch.device:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise TrainingError("train.device is cuda, but PyTorch sees no GPU; set it to auto or cpu")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


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
    params: TrainParams, labels: tuple[str, ...], photos: list[LabelledPhoto], held_out: list[LabelledPhoto]
) -> str:
    """Hash of all that decides a training's course, the pictures by their sizes."""
    digest = hashlib.sha256(json.dumps([params.model_dump(), labels, torch.__version__]).encode())
    for photo in (*photos, *held_out):
        if not photo.path.is_file():
            raise MissingInputError(photo.path, "run `dvc repro -f convert`")
        digest.update(f"{photo.name} {photo.path.stat().st_size}".encode())
        digest.update(photo.boxes.tobytes() + photo.labels.tobytes())
    return digest.hexdigest()


def _write_history(path: Path, history: list[Epoch]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(history[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
