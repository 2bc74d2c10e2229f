"""SSDLite320 MobileNetV3 from torchvision's parts, its anchors and feature maps fitted to the symbols."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.models.mobilenetv3 import mobilenet_v3_large

from dobble.detector.anchors import FIRST_STRIDE, INPUT_SIZE, AnchorSpec

C4_BLOCK = 13
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_ANCHORS_PER_CELL = 4
_LOG_SIZE_LIMIT = math.log(1000 / 16)


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
            # Not in training mode: a blank picture must not count in the statistics of batch normalisation.
            self.backbone.eval()
            features = self._features(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
        channels = [feature.shape[1] for feature in features]
        self.head = SSDLiteHead(channels, [_ANCHORS_PER_CELL] * self.maps, classes + 1, norm)
        self._expect_background(classes)
        self.register_buffer("anchors", self.anchors_for(INPUT_SIZE), persistent=False)
        self.train()

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


def _initialise_from_scratch(layers: nn.Module) -> None:
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _grid(size: int, level: int) -> tuple[int, int]:
    cells = math.ceil(size / (FIRST_STRIDE * 2**level))
    return cells, cells
