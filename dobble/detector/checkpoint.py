"""Checkpoints of the detector, and the weights that training starts from."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.models.mobilenetv3 import MobileNet_V3_Large_Weights

from dobble.detector.anchors import AnchorSpec
from dobble.detector.network import Detector
from dobble.errors import CheckpointError, WeightsDownloadError


class Checkpoint(NamedTuple):
    """All that is needed to build the trained network again."""

    state: dict[str, Tensor]
    labels: tuple[str, ...]
    anchors: AnchorSpec
    full_tail: bool


def save_checkpoint(path: Path, detector: Detector, labels: tuple[str, ...], anchors: AnchorSpec) -> None:
    """Write weights, labels and anchors as plain types that `torch.load(weights_only=True)` takes."""
    content = {
        "state": {name: value.detach().cpu().contiguous() for name, value in detector.state_dict().items()},
        "labels": list(labels),
        "scales": list(anchors.scales),
        "ratio": anchors.ratio,
        "full_tail": detector.full_tail,
    }
    write_tensors(path, content)


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write as `torch.save` does; a full disk is an `OSError` here, and an unclear `RuntimeError` there."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: if the file is missing, damaged, or something else.
    """
    content = _load_tensors(path)
    try:
        spec = AnchorSpec(tuple(content["scales"]), float(content["ratio"]))
        return Checkpoint(dict(content["state"]), tuple(content["labels"]), spec, bool(content["full_tail"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            path, "is no checkpoint of this pipeline; train again with `dvc repro -f train`"
        ) from error


def restore(checkpoint: Checkpoint, path: Path) -> Detector:
    """The trained network in evaluation mode.

    Raises:
        CheckpointError: naming `path`, if the weights do not fit the network that the checkpoint describes.
    """
    try:
        detector = Detector(len(checkpoint.labels), checkpoint.anchors, full_tail=checkpoint.full_tail)
        detector.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        raise CheckpointError(path, "its weights do not fit its own description; train again") from error
    return detector.eval()


def start_weights(weights: str, labels: tuple[str, ...], spec: AnchorSpec) -> Detector:
    """The network that training starts from, with the weights that `train.weights` names.

    Args:
        weights: `none`; `imagenet` (torchvision's download); or a path: a checkpoint of this pipeline (the
            head too, if labels and anchors are the same) or torchvision's `mobilenet_v3_large` state dict.
        labels: names of the symbols, in the order of their class ids.
        spec: the fitted anchors.

    Raises:
        WeightsDownloadError: if ImageNet's weights cannot be downloaded.
        CheckpointError: if the file is missing, damaged or of another network.
    """
    if weights == "none":
        return Detector(len(labels), spec)
    if weights == "imagenet":
        return Detector(len(labels), spec, classifier=_download_imagenet_weights())
    path = Path(weights)
    if not path.is_file():
        raise CheckpointError(
            path, "train.weights names it, but there is no such file (or say none or imagenet)"
        )
    content = _load_tensors(path)
    if "features.0.0.weight" in content:
        try:
            return Detector(len(labels), spec, classifier=content)
        except RuntimeError as error:
            raise CheckpointError(path, "its weights do not fit torchvision's mobilenet_v3_large") from error
    source = load_checkpoint(path)
    trained = restore(source, path)
    if source.labels == labels and source.anchors == spec:
        return trained.train()
    detector = Detector(len(labels), spec, full_tail=source.full_tail)
    detector.backbone.load_state_dict({**detector.backbone.state_dict(), **_shared(trained, detector)})
    return detector


def _shared(source: Detector, target: Detector) -> dict[str, Tensor]:
    wanted = target.backbone.state_dict()
    return {name: value for name, value in source.backbone.state_dict().items() if name in wanted}


def _download_imagenet_weights() -> dict[str, Tensor]:
    try:
        return dict(MobileNet_V3_Large_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # no connection, a page of a proxy in its place, a damaged earlier download
        problem = str(error).partition("\n")[0]
        cure = "set it to `none`, or to the path of a downloaded mobilenet_v3_large state dict"
        raise WeightsDownloadError(
            f"train.weights: imagenet cannot be downloaded ({problem}); {cure}"
        ) from error


def _load_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(path, "there is no such file; run `dvc repro train`")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails with whatever the damaged bytes trip over
        raise CheckpointError(
            path, "is damaged or no checkpoint; train again with `dvc repro -f train`"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(path, "is no checkpoint of this pipeline")
    return content
