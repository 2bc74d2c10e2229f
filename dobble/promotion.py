"""Decides by rule whether a registered bundle becomes champion, and writes the decision down either way."""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dobble.errors import AnnotationError
from dobble.files import replaced_file
from dobble.mlflow_client import Mlflow, open_mlflow
from dobble.params import Params, RegistryParams, load_params
from dobble.registry import NAME, RegisteredVersion, champion, find_version, promote, test_metrics
from dobble.results import MEASURED_TAG, measured_on, numbers
from dobble.stack import STATE

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DECISION = STATE / "decision.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A version's metric on the present test photos, or the problem why there is none."""

    version: str
    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Decision:
    """What the rule said of a candidate, and why.

    Attributes:
        promoted: whether it becomes champion.
        reason: one sentence with the numbers.
        metric: by which both were compared.
        margin: by which the candidate had to win.
        candidate: its version.
        candidate_value: its metric, None if it could not be measured.
        champion: the version to beat, None if there was none.
        champion_value: its metric on the same test photos, None if it could not be measured.
    """

    promoted: bool
    reason: str
    metric: str
    margin: float
    candidate: str
    candidate_value: float | None
    champion: str | None
    champion_value: float | None


def promote_by_rule(version: RegisteredVersion, root: Path = Path()) -> Decision:
    """Make a version champion if it passes validation and beats the champion on the same test photos.

    Whichever of the two was measured on other photos than the present ones is measured anew. The first
    champion only has to reach the minimum. Tags of the version and `.dobble/decision.json` keep the decision.

    Raises:
        ParameterError: if the block `registry` of `params.yaml` is wrong.
        MissingInputError, PhotoError: if the test photos are missing or damaged.
        TrackingError: if MLflow is away or refuses.
    """
    params = load_params(root / "params.yaml")
    with open_mlflow(root) as mlflow:
        candidate, rival = find_version(mlflow, version.version), champion(mlflow)
        decision = decide(
            params.registry,
            _measured(mlflow, candidate, root, params),
            None if rival is None else _measured(mlflow, rival, root, params),
            _objection(candidate),
        )
        if decision.promoted:
            promote(decision.candidate, root, by="rule")
        if decision.candidate != decision.champion:  # else what was said when it became champion stays
            _write_down(mlflow, decision, root)
    _log.info("%s", decision.reason)
    return decision


def decide(
    rule: RegistryParams, candidate: Measured, rival: Measured | None, objection: str | None
) -> Decision:
    """Apply the rule to what was measured.

    Args:
        rule: metric, margin and minimum.
        candidate: the version that may become champion.
        rival: the present champion, None if there is none.
        objection: why the candidate does not pass validation, None if it does.
    """
    refusal = _refusal(rule, candidate, rival, objection)
    if refusal is not None:
        reason = f"version {candidate.version} does not become champion: {refusal}"
    elif rival is None:
        reason = f"version {candidate.version} is the first champion, with {rule.metric} {candidate.value:g}"
    else:
        reason = f"version {candidate.version} becomes champion: {_compared(rule, candidate, rival)}"
    return Decision(
        promoted=refusal is None,
        reason=reason,
        metric=rule.metric,
        margin=rule.margin,
        candidate=candidate.version,
        candidate_value=candidate.value,
        champion=None if rival is None else rival.version,
        champion_value=None if rival is None else rival.value,
    )


def _refusal(
    rule: RegistryParams, candidate: Measured, rival: Measured | None, objection: str | None
) -> str | None:
    if rival is not None and rival.version == candidate.version:
        return "it is champion already"
    if objection is not None:
        return objection
    for one in filter(None, (candidate, rival)):
        if one.value is None:
            return f"there is no {rule.metric} of version {one.version} to compare ({one.problem})"
    if candidate.value is not None and candidate.value < rule.minimum:
        return f"its {rule.metric} of {candidate.value:g} is below the minimum {rule.minimum:g}"
    if rival is not None and _lead(candidate, rival) < rule.margin:
        return f"{_compared(rule, candidate, rival)} where {rule.margin:g} is asked for"
    return None


def _compared(rule: RegistryParams, candidate: Measured, rival: Measured) -> str:
    values = f"{rule.metric} {candidate.value:g} against {rival.value:g} of version {rival.version}"
    return f"{values}, a lead of {_lead(candidate, rival):g}"


def _lead(candidate: Measured, rival: Measured) -> float:
    return round((candidate.value or 0.0) - (rival.value or 0.0), 6)


def _objection(candidate: "ModelVersion") -> str | None:
    tags = candidate.tags
    if "validation.passed" not in tags:
        return "its photos were never validated (`dobble validate`)"
    if tags["validation.passed"] != "true":
        return "its photos did not pass validation"
    if int(tags.get("validation.objections", 0)):
        return f"Deepchecks objects to it {tags['validation.objections']} times (the report says why)"
    return None


def _measured(mlflow: Mlflow, version: "ModelVersion", root: Path, params: Params) -> Measured:
    number, metric = str(version.version), params.registry.metric
    if version.tags.get(MEASURED_TAG) == measured_on(root, params.evaluate.iou_threshold):
        metrics = test_metrics(version)
    else:
        _log.info("version %s was measured on other test photos: measuring it on these", number)
        try:
            metrics = _measure(mlflow, version, root, params)
        except AnnotationError as error:  # it knows other classes than these photos show
            return Measured(number, None, str(error))
    return Measured(number, metrics.get(metric), f"{metric} is not among its metrics")


def _measure(mlflow: Mlflow, version: "ModelVersion", root: Path, params: Params) -> dict[str, float]:
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - takes seconds

    from dobble.detector.evaluate import measure  # noqa: PLC0415 - takes seconds

    source = mlflow.client.get_model_version_download_uri(NAME, version.version)
    with TemporaryDirectory() as folder:
        bundle = download_artifacts(source, dst_path=folder, tracking_uri=mlflow.address)
        measured = measure(Path(bundle), root / "build/voc", root / "build/splits", params.evaluate)
        return numbers(measured.metrics)


def _write_down(mlflow: Mlflow, decision: Decision, root: Path) -> None:
    facts = {**asdict(decision), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    with replaced_file(root / DECISION) as side:
        side.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for name, value in asdict(decision).items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            mlflow.client.set_model_version_tag(NAME, decision.candidate, f"decision.{name}", text)
    mlflow.client.update_model_version(NAME, decision.candidate, decision.reason)
