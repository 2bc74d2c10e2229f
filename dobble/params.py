"""`params.yaml` as one strict typed model: a value that a stage would misread stops it before it starts."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dobble.errors import MissingInputError, ParameterError

_PAIR = "must be two numbers, such as [0.9, 1.1]"
_LARGEST = 255  # of a pair: grey values; factors are far below
_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is no parameter: correct its name or take it out",
    "invalid_key": "is no parameter: correct its name or take it out",
    "model_type": "must be a block of named parameters",
    "tuple_type": _PAIR,
    "too_long": _PAIR,
    "string_too_short": "must not be empty",
}


def _deck(choice: str) -> str:
    if not re.fullmatch(r"labels|none|decks/[^/]+\.(csv|json)", choice):
        raise ValueError(f"must be labels, none, or a file such as decks/mine.csv, not {choice!r}")
    return choice


def _photographs(choice: str) -> str:
    if not re.fullmatch(r"none|photographs/[^/]+", choice):
        raise ValueError(f"must be none, or a folder such as photographs/mine, not {choice!r}")
    return choice


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    low, high = pair
    if not 0 < low <= high:
        raise ValueError(f"must be two positive numbers, the smaller first, not [{low:g}, {high:g}]")
    if high > _LARGEST:
        raise ValueError(f"must be at most {_LARGEST}, not {high:g}")
    return pair


Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], AfterValidator(_rising)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ConvertParams(_Block):
    """Labelled photos to Pascal VOC."""

    several_labels: Literal["refuse", "first"]
    similar_labels: Literal["refuse", "merge"] = "refuse"


class SplitRatios(_Block):
    """Shares of the photos; they add up to 1."""

    train: Annotated[float, Field(gt=0, le=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"must add up to 1, not {total:g}")
        return self


class SplitParams(_Block):
    """Splits that never tear a group apart."""

    group_by: Literal["deck", "card"]
    group_pattern: str
    ratios: SplitRatios
    seed: Seed
    similar_groups: Literal["refuse", "merge"] = "refuse"

    @field_validator("group_pattern")
    @classmethod
    def _names_group(cls, pattern: str, info: ValidationInfo) -> str:
        try:
            named = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        group = info.data.get("group_by")
        if group is not None and group not in named:
            raise ValueError(f"has no group (?P<{group}>…), which split.group_by asks for")
        return pattern


class AugmentationParams(_Block):
    """How much a training photo may differ from the original."""

    zoom: Range
    gamma: Range
    gain: Range
    channel_gain: Share
    saturation: Range
    hue: Annotated[float, Field(ge=0, le=180)]
    coarse_probability: Share
    blur_probability: Share
    noise_probability: Share


class TrainParams(_Block):
    """The training recipe."""

    weights: Annotated[str, Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    window: Annotated[int, Field(ge=96, le=320, multiple_of=32)]
    batch_size: Annotated[int, Field(ge=2, le=1024)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    warmup: Annotated[float, Field(gt=0, lt=1)]
    gradient_clip: Annotated[float, Field(gt=0, le=1000)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=1, le=256)]
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)]
    seed: Seed
    augmentation: AugmentationParams


class ExportParams(_Block):
    """What the bundle tells the device."""

    score_threshold: Share
    nms_iou: Share
    match_probability: Share
    deck: Annotated[str, AfterValidator(_deck)]
    samples: Annotated[int, Field(ge=2, le=100)]


class EvaluateParams(_Block):
    """How detections are judged."""

    iou_threshold: Annotated[float, Field(gt=0, le=1)]
    photographs: Annotated[str, AfterValidator(_photographs)]
    deepchecks: bool
    min_precision: Share
    seed: Seed


class ValidateParams(_Block):
    """When labelled photos are good enough to train on; `box_side` and shares are parts of 1."""

    deck: Literal["plane", "none"]
    symbols_per_card: Literal["auto"] | Annotated[int, Field(ge=2, le=32)]
    fail_on: tuple[Literal["error", "warning"], ...]
    box_side: tuple[Share, Share]
    max_box_aspect: Annotated[float, Field(ge=1, le=1000)]
    max_box_overlap: Annotated[float, Field(gt=0, lt=1)]
    max_outside: Share
    brightness: Range
    min_sharpness: Annotated[float, Field(ge=0, le=1e5)]
    max_hash_distance: Annotated[int, Field(ge=0, le=64)]
    deepchecks: bool
    max_outlier_share: Share
    max_image_drift: Share
    max_label_drift: Share


class RegistryParams(_Block):
    """When a registered bundle becomes champion; all metrics named here are the better the higher."""

    metric: Literal[
        "mAP",
        "mAP50",
        "accuracy",
        "mean_iou",
        "game.simple",
        "game.joint",
        "game.deck",
        "photographs.right",
        "photographs.right_without_deck",
    ]
    margin: Annotated[float, Field(gt=0, lt=1)]
    minimum: Share


class AcceptParams(_Block):
    """What an evaluated bundle must reach before it is registered."""

    min_mAP: Share  # noqa: N815 - the metric's own spelling
    min_game_accuracy: Share


class Params(_Block):
    """All blocks: one for each stage, and one for the registry."""

    convert: ConvertParams
    split: SplitParams
    validation: Annotated[ValidateParams, Field(alias="validate")]  # BaseModel has a method of that name
    train: TrainParams
    export: ExportParams
    evaluate: EvaluateParams
    accept: AcceptParams
    registry: RegistryParams


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameters.

    Raises:
        MissingInputError: if there is no such file.
        ParameterError: naming the first wrong parameter by its dotted name, and what it may be.
    """
    if not path.is_file():
        raise MissingInputError(path, "run in the project's folder")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(_tuples(values))
    except ValidationError as error:
        raise ParameterError(f"{path}: {_describe(error)}") from error


def _tuples(value: object) -> object:
    """YAML has lists only; strict tuples want tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _describe(error: ValidationError) -> str:
    first = error.errors()[0]
    kind, given, place = first["type"], first["input"], first["loc"]
    if place and isinstance(place[-1], int):  # one of a pair
        kind, place = "tuple_type", place[:-1]
    name = ".".join(str(part) for part in place) or "the file"
    if kind in _PROBLEMS:
        return f"{name} {_PROBLEMS[kind]}"
    problem = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "value_error":
        return f"{name} {problem}"
    cure = ""
    if isinstance(given, str) and kind in {"int_type", "float_type"}:
        cure = ": write it without quotes, and 1e-3 as 1.0e-3, which is a number to YAML"
    return f"{name} {problem}, not {'nothing' if given is None else repr(given)}{cure}"
