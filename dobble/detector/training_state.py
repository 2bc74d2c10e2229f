"""The state of one training, epoch by epoch: weights, their average, the optimizer and the history."""

import copy
import csv
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dobble.detector.anchors import AnchorSpec
from dobble.detector.batches import Batch, epoch_batches, steps_per_epoch
from dobble.detector.checkpoint import start_weights, write_tensors
from dobble.detector.dataset import TrainingPhotos
from dobble.detector.loss import multibox_loss
from dobble.detector.metrics import Truth, average_precision
from dobble.detector.network import Deployed, Detector
from dobble.detector.predict import PreparedPhotos, detect_photos
from dobble.detector.ranks import Ranks
from dobble.errors import TrainingError
from dobble.files import replaced_file
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


@dataclass
class Clock:
    """Photos trained on, and the seconds that it took, of which some went into waiting for photos."""

    photos: int = 0
    seconds: float = 0.0
    waiting: float = 0.0


class TrainingState:
    """The state of one training, which is all that resuming needs."""

    def __init__(
        self,
        params: TrainParams,
        labels: tuple[str, ...],
        anchors: AnchorSpec,
        photos: int,
        ranks: Ranks,
    ) -> None:
        self.params, self.classes, self.ranks, self.device = params, len(labels), ranks, ranks.device
        network = ranks.share_normalisation(start_weights(params.weights, labels, anchors).train())
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.anchors = self.network.anchors_for(params.window).to(self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.shared = ranks.wrap(self.network)
        self.optimizer = _optimizer(self.network, params)
        self.steps, self.batch = steps_per_epoch(photos, params.batch_size), min(photos, params.batch_size)
        self.epoch = 0
        self.history: list[Epoch] = []
        self.best_state = self._averaged_state()
        self.fingerprint: dict[str, str] = {}
        self.losses = np.zeros(2)

    @property
    def best_epoch(self) -> Epoch:
        """The epoch of the best precision, the later of two."""
        return max(self.history, key=lambda row: (row.mAP, row.epoch))

    def train_epoch(self, photos: TrainingPhotos, clock: Clock) -> None:
        """Take a step for each batch.

        Raises:
            TrainingError: in every process, if the loss is no number.
        """
        params = self.params
        batches = epoch_batches(photos, params, self.epoch, self.ranks.share)
        self.losses = np.zeros(2)
        name = f"epoch {self.epoch + 1}/{params.epochs}"
        bar = tqdm(total=self.steps, desc=name, leave=False, disable=None if self.ranks.is_first else True)
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
            clock.photos += self.batch
            asked = done
        bar.close()

    def validate(self, held_out: PreparedPhotos) -> None:
        """Add the epoch to the history, and keep the averaged weights if they are the best so far."""
        precision = self.ranks.from_first(self._precision(held_out) if self.ranks.is_first else (0.0, 0.0))
        self.epoch += 1
        box_loss, class_loss = (round(float(loss), 4) for loss in self.losses)
        row = Epoch(self.epoch, box_loss, class_loss, *precision)
        self.history.append(row)
        if self.best_epoch is row:
            self.best_state = self._averaged_state()
        self._say(
            f"epoch {row.epoch:3d}  loss {box_loss:.3f} + {class_loss:.3f}"
            f"  val mAP {row.mAP:.3f}  mAP50 {row.mAP50:.3f}"
        )

    def save(self, path: Path) -> None:
        """Write all that `restore` needs."""
        if not self.ranks.is_first:
            return
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

    def restore(self, path: Path, fingerprint: dict[str, str]) -> None:
        """Go on from a killed run of the same training; anything else that lies there is passed over.

        Args:
            path: where `save` wrote.
            fingerprint: hashes of all that decides the training's course, by their names.

        Raises:
            TrainingError: in every process, if another process has other photos or other code.
        """
        for name, value in fingerprint.items():
            self.ranks.check_same(value, name)
        self.fingerprint = fingerprint
        state = self.ranks.from_first(_read_state(path) if self.ranks.is_first else None)
        if state is None:
            return
        if state.get("fingerprint") != fingerprint:
            self._say(f"starting over: {_difference(state.get('fingerprint'), fingerprint)}")
            return
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.best_state = state["best"]
        self._publish(path)
        self._say(f"going on after epoch {self.epoch} of a training that was stopped")

    def _step(self, batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        images = batch.images.to(self.device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        logits, deltas = self.shared(images)
        boxes, labels = batch.boxes.to(self.device), batch.labels.to(self.device)
        losses = multibox_loss(logits, deltas, boxes, labels, self.anchors, self.ranks.sum)
        self.optimizer.zero_grad()
        # The mean of the gradients of all shares is taken, and the sum is meant.
        torch.autograd.backward((losses[0] + losses[1]) * self.ranks.size)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_clip)
        self.optimizer.step()
        self.ranks.average_statistics(self.network)
        self._update_average()
        return self.ranks.sum(torch.stack(losses).detach()).cpu().double().numpy()

    def _publish(self, path: Path) -> None:
        """Write the history, also when going on: a watcher tells by that that it is not one left behind."""
        if self.ranks.is_first:
            with replaced_file(path.with_name(HISTORY)) as side:
                write_history(side, self.history)

    def _precision(self, held_out: PreparedPhotos) -> tuple[float, float]:
        found = detect_photos(Deployed(self.average), held_out, VALIDATION_NMS_IOU, self.device)
        truths = [Truth(photo.boxes, photo.labels) for photo in held_out.photos]
        precision = average_precision(list(found), truths, self.classes)
        return round(precision.map, 4), round(precision.map50, 4)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Moving average of the weights, which forgets the random start faster than its final pace."""
        steps = self._optimizer_steps()
        decay = min(self.params.ema_decay, (1 + steps) / (10 + steps))
        for mean, value in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def _optimizer_steps(self) -> int:
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

    def _say(self, line: str) -> None:
        if self.ranks.is_first:
            tqdm.write(line)

    def _averaged_state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.average.state_dict().items()}


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write one line for each epoch."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(history[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


def _optimizer(network: Detector, params: TrainParams) -> torch.optim.AdamW:
    """AdamW that decays weights but neither biases nor the scales of batch normalisation."""
    decayed = [value for value in network.parameters() if value.ndim > 1]
    kept = [value for value in network.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, params.learning_rate, betas=(0.9, 0.99), fused=True)


def _read_state(path: Path) -> dict[str, Any] | None:
    """What a stopped training left, empty if it cannot be read, None if there is nothing."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - a state that cannot be read is a state that is not there
        return {}
    return state


def _difference(left: object, fingerprint: dict[str, str]) -> str:
    if not isinstance(left, dict):  # unreadable, or of an earlier version
        return "what a stopped training left cannot be used"
    changed = [name for name, value in fingerprint.items() if left.get(name) != value]
    verb = "has" if changed == ["code"] else "have"
    return f"{' and '.join(changed)} {verb} changed since the training that was stopped"
