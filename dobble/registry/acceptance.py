"""Judges an evaluated bundle by the limits of `params.yaml` before it may be registered."""

import json
import math
from pathlib import Path

from dobble.errors import MissingInputError, ModelRejectedError
from dobble.params import AcceptParams
from dobble.paths import METRICS
from dobble.tracking.finished_result import numbers


def read_metrics(root: Path = Path()) -> dict[str, float]:
    """Read the test metrics by their dotted names; none if nothing has been evaluated."""
    source = root / METRICS
    if not source.is_file():
        return {}
    return numbers(json.loads(source.read_text(encoding="utf-8")))


def check_model(metrics: dict[str, float], params: AcceptParams) -> str:
    """Compare test metrics with their limits, and say in one line that they hold.

    Raises:
        ModelRejectedError: naming each metric that falls short, with its limit.
        MissingInputError: if nothing has been evaluated.
    """
    if not metrics:
        raise MissingInputError(METRICS, "run `dvc repro`")
    limits = {"mAP": params.min_mAP, "game.joint": params.min_game_accuracy}
    short = [
        problem for name, limit in limits.items() if (problem := _shortfall(name, metrics.get(name), limit))
    ]
    if short:
        raise ModelRejectedError(short)
    return ", ".join(f"{name} {metrics[name]:g} reaches {limit:g}" for name, limit in limits.items())


def _shortfall(name: str, value: float | None, limit: float) -> str | None:
    if value is None or not math.isfinite(value):
        return f"{name} was not measured ({value})"
    return f"{name} {value:g} is below {limit:g}" if value < limit else None
