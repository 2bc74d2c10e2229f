"""SSDLite320 MobileNetV3 from torchvision's parts, its anchors and feature maps fitted to the symbols."""

import io
import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large

from dobble.errors import CheckpointError, TrainingError

INPUT_SIZE = 320
FEATURE_MAPS = 6
FIRST_STRIDE = 16
C4_BLOCK = 13
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_ANCHORS_PER_CELL = 4
_PLACES = 4
_FITTED_BOXES = 400
_LOG_SIZE_LIMIT = math.log(1000 / 16)


class AnchorSpec(NamedTuple):
    """Anchors of the first `len(scales) - 1` feature maps, as `DefaultBoxGenerator` takes them.

    Attributes:
        scales: anchor sides as shares of the input, ascending; map k has squares of `scales[k]` and of the
            geometric mean of `scales[k]` and `scales[k + 1]`.
        ratio: width to height of the flat anchor (the tall one is its inverse).
    """

    scales: tuple[float, ...]
    ratio: float


class Checkpoint(NamedTuple):
    """All that is needed to build the trained network again."""

    state: dict[str, Tensor]
    labels: tuple[str, ...]
    anchors: AnchorSpec
    full_tail: bool


class Detector(nn.Module):
    """Backbone and head without any box post-processing, and the anchors that they speak of."""

    anchors: Tensor

    def __init__(
        self,
        classes: int,
        spec: AnchorSpec,
        *,
        full_tail: bool = False,
        classifier: dict[str, Tensor] | None = None,
    ) -> None:
        """Build an untrained network, or one on a classifier's backbone.

        Args:
            classes: number of symbols, without the background.
            spec: the fitted anchors.
            full_tail: keep the 960 channels of the backbone's end, which ImageNet's weights need; 480 do
                without (section 6.3 of Howard et al., "Searching for MobileNetV3", 2019).
            classifier: state dict of torchvision's `mobilenet_v3_large`; implies `full_tail`.

        Raises:
            RuntimeError: if the classifier's weights do not fit.
        """
        super().__init__()
        self.full_tail = full_tail or classifier is not None
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.1)
        mobilenet = mobilenet_v3_large(weights=None, norm_layer=norm, reduced_tail=not self.full_tail)
        if classifier is None:
            _initialise_from_scratch(mobilenet.features)
        else:
            mobilenet.load_state_dict(classifier)
        self.backbone = SSDLiteFeatureExtractorMobileNet(mobilenet.features, C4_BLOCK, norm)
        self.maps = len(spec.scales) - 1
        self.backbone.extra = self.backbone.extra[: max(0, self.maps - 2)]
        _initialise_from_scratch(self.backbone.extra)
        self._spec = spec
        with torch.no_grad():
            features = self._features(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
        channels = [feature.shape[1] for feature in features]
        self.head = SSDLiteHead(channels, [_ANCHORS_PER_CELL] * self.maps, classes + 1, norm)
        self._expect_background(classes)
        self.register_buffer("anchors", self.anchors_for(INPUT_SIZE), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [B, A, C + 1] and box deltas [B, A, 4] of float images [B, 3, S, S] in [-1, 1]."""
        out = self.head(self._features(images))
        return out["cls_logits"], out["bbox_regression"]

    def anchors_for(self, window: int) -> Tensor:
        """Anchors [A, 4] of a square window of the input, xyxy as shares of the whole input's side.

        They have the sizes and the spacing of the input's anchors, for the network cannot tell the two apart.
        """
        part = window / INPUT_SIZE
        scales = [scale / part for scale in self._spec.scales]
        ratios = [[self._spec.ratio]] * self.maps
        # Of torchvision's own accord, cells of a window that a stride does not divide would lie closer.
        steps = [INPUT_SIZE / _grid(INPUT_SIZE, level)[0] for level in range(self.maps)]
        # torchvision annotates ratios and steps as whole numbers, but its own examples have fractions.
        generator = DefaultBoxGenerator(ratios, scales=scales, steps=steps, clip=True)  # type: ignore[arg-type]
        maps = [torch.zeros(1, 1, *_grid(window, level)) for level in range(self.maps)]
        anchors: Tensor = generator(ImageList(torch.zeros(1, 3, window, window), [(window, window)]), maps)[0]
        return anchors / INPUT_SIZE

    def _features(self, images: Tensor) -> list[Tensor]:
        return list(self.backbone(images).values())[: self.maps]

    def _expect_background(self, classes: int) -> None:
        """Nearly every anchor is background: start there instead of spending the first epochs on it."""
        for branch in self.head.classification_head.module_list:
            last = [module for module in branch.modules() if isinstance(module, nn.Conv2d)][-1]
            bias = torch.zeros(last.out_channels).view(-1, classes + 1)
            bias[:, 0] = math.log((classes + 1) * 3.0)
            last.bias = nn.Parameter(bias.flatten())


class Deployed(nn.Module):
    """The network as it travels: softmax scores and decoded boxes, no control flow, no suppression."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B, A, C + 1] (background first) and boxes [B, A, 4] (xyxy in [0, 1])."""
        logits, deltas = self.detector(images)
        return torch.softmax(logits, -1), decode_boxes(deltas, self.detector.anchors).clamp(0, 1)


def decode_boxes(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes [..., A, 4] (xyxy) from deltas [..., A, 4] against anchors [A, 4] (xyxy), as SSD codes them."""
    dx, dy, dw, dh = deltas.unbind(-1)
    wx, wy, ww, wh = BOX_WEIGHTS
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    half = torch.stack([dw / ww, dh / wh], -1).clamp(max=_LOG_SIZE_LIMIT).exp() * size / 2
    middle = centre + torch.stack([dx / wx, dy / wy], -1) * size
    return torch.cat([middle - half, middle + half], -1)


def fit_anchors(sizes: NDArray[np.float32]) -> AnchorSpec:
    """Scales and ratio whose shapes overlap best with the symbols, and as many maps as the symbols need.

    A feature map is used while its stride is at most half the side of a large symbol (95 % quantile):
    coarser cells cannot place the symbol, and anchors on them would match nothing.

    Args:
        sizes: float32 [N, 2], width and height of training boxes as shares of the square input.
    """
    sizes = sizes[:: max(1, len(sizes) // _FITTED_BOXES)]
    large = float(np.quantile(np.sqrt(sizes.prod(1)), 0.95)) * INPUT_SIZE
    maps = sum(FIRST_STRIDE * 2**level <= large / 2 for level in range(FEATURE_MAPS))
    maps = max(1, maps)
    sides = np.sqrt(sizes.prod(1))
    scales = np.geomspace(np.quantile(sides, 0.05), np.quantile(sides, 0.99), maps + 1)
    ratio = 1.6
    best = _expected_overlap(sizes, scales, ratio)
    step = 1.15
    while step > 1.01:
        moved = False
        for index in range(maps + 2):
            for factor in (step, 1 / step):
                trial, trial_ratio = scales.copy(), ratio
                if index <= maps:
                    trial[index] *= factor
                else:
                    trial_ratio = max(1.05, ratio * factor)
                if (np.diff(trial) <= 0).any() or trial[-1] > 1:
                    continue
                overlap = _expected_overlap(sizes, trial, trial_ratio)
                if overlap > best + 1e-6:
                    scales, ratio, best, moved = trial, trial_ratio, overlap, True
        if not moved:
            step = math.sqrt(step)
    return AnchorSpec(tuple(round(float(scale), 4) for scale in scales), round(ratio, 4))


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
        TrainingError: if ImageNet's weights cannot be downloaded.
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
        raise TrainingError(f"train.weights: imagenet cannot be downloaded ({problem}); {cure}") from error


def _initialise_from_scratch(layers: nn.Module) -> None:
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _grid(size: int, level: int) -> tuple[int, int]:
    cells = math.ceil(size / (FIRST_STRIDE * 2**level))
    return cells, cells


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


def _expected_overlap(sizes: NDArray[np.float32], scales: NDArray[np.float64], ratio: float) -> float:
    """Mean over boxes, wherever they lie in a cell, of the best IoU with an anchor of any map."""
    places = (np.indices((_PLACES, _PLACES)).reshape(2, -1).T + 0.5) / _PLACES - 0.5  # [P, 2]
    best = np.zeros((len(sizes), len(places)))
    root = math.sqrt(ratio)
    for level, (side, following) in enumerate(pairwise(scales)):
        offset = places * FIRST_STRIDE * 2**level / INPUT_SIZE
        middle = math.sqrt(side * following)
        for shape in ((side, side), (middle, middle), (side * root, side / root), (side / root, side * root)):
            low = np.maximum(-sizes[:, None] / 2, offset[None] - np.array(shape) / 2)
            high = np.minimum(sizes[:, None] / 2, offset[None] + np.array(shape) / 2)
            inter = (high - low).clip(0).prod(-1)
            union = sizes.prod(1)[:, None] + shape[0] * shape[1] - inter
            best = np.maximum(best, inter / union)
    return float(best.mean())
