"""Decides by rule whether a registered bundle becomes champion, and writes the decision down either way."""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dobble.files import replaced_file
from dobble.params import RegistryParams, load_params
from dobble.paths import DECISION
from dobble.registry.lead_interval import Interval, lead_interval
from dobble.registry.remeasure import Measured, measured
from dobble.registry.versions import (
    NAME,
    RegisteredVersion,
    champion,
    choice_of_people,
    find_version,
    promote,
)
from dobble.tracking.mlflow_client import Mlflow, alone, open_mlflow

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Outcome = Literal["first", "better", "no difference", "worse", "refused"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What the rule said of a candidate, and why.

    Attributes:
        promoted: whether it becomes champion.
        outcome: what the comparison came to; `refused` if there was none.
        reason: one sentence with the numbers.
        metric: by which both were compared.
        margin: by which the candidate had to win.
        candidate: its version.
        candidate_value: its metric, None if it could not be measured.
        champion: the version to beat, None if there was none.
        champion_value: its metric on the same test photos, None if it could not be measured.
        lead_low: lower end of the interval of the candidate's lead, None if there is none.
        lead_high: its upper end.
    """

    promoted: bool
    outcome: Outcome
    reason: str
    metric: str
    margin: float
    candidate: str
    candidate_value: float | None
    champion: str | None
    champion_value: float | None
    lead_low: float | None
    lead_high: float | None


def promote_by_rule(version: RegisteredVersion, root: Path = Path()) -> Decision:
    """Make a version champion if it passes validation and beats the champion on the same test photos.

    Whichever of the two was measured on other photos or by other code than the present is measured anew. The
    first champion only has to reach the minimum. What people decided holds: a rollback, and who was champion
    before. Tags of the version and `.dobble/decision.json` keep the decision.

    Raises:
        ParameterError: if the block `registry` of `params.yaml` is wrong.
        MissingInputError, PhotoError: if the test photos are missing or damaged.
        TrackingError: if MLflow is away or refuses.
    """
    params = load_params(root / "params.yaml")
    with alone(root), open_mlflow(root) as mlflow:
        candidate, rival = find_version(mlflow, version.version), champion(mlflow)
        decision = decide(
            params.registry,
            measured(mlflow, candidate, root, params),
            None if rival is None else measured(mlflow, rival, root, params),
            choice_of_people(mlflow, candidate) or _objection(candidate),
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
    outcome: Outcome = "refused"
    interval, said = None, f"with {rule.metric} {candidate.value or 0:g}"
    if refusal is None and rival is not None:
        interval = _interval(rule, candidate, rival)
        outcome, said = _compare(rule, candidate, rival, interval)
    elif refusal is None:
        outcome = "first"
    promoted = outcome in ("first", "better")
    if not promoted:
        reason = f"version {candidate.version} does not become champion: {refusal or said}"
    elif rival is None:
        reason = f"version {candidate.version} is the first champion, {said}"
    else:
        reason = f"version {candidate.version} becomes champion: {said}"
    return Decision(
        promoted=promoted,
        outcome=outcome,
        reason=reason,
        metric=rule.metric,
        margin=rule.margin,
        candidate=candidate.version,
        candidate_value=candidate.value,
        champion=None if rival is None else rival.version,
        champion_value=None if rival is None else rival.value,
        lead_low=None if interval is None else interval.low,
        lead_high=None if interval is None else interval.high,
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
    return None


def _interval(rule: RegistryParams, candidate: Measured, rival: Measured) -> Interval | None:
    if candidate.outcomes is None or rival.outcomes is None:
        return None
    return lead_interval(candidate.outcomes, rival.outcomes, rule.metric)


def _compare(
    rule: RegistryParams, candidate: Measured, rival: Measured, interval: Interval | None
) -> tuple[Outcome, str]:
    """Say who is better, and the numbers that it is said by; without an interval the margin has to do."""
    lead = round((candidate.value or 0.0) - (rival.value or 0.0), 6)
    values = f"{rule.metric} {candidate.value:g} against {rival.value:g} of version {rival.version}"
    said = f"{values}, a lead of {lead:g}"
    if interval is None:
        note = f"no interval is known for {rule.metric} on these cards"
        if lead >= rule.margin:
            return "better", f"{said} ({note})"
        outcome: Outcome = "worse" if lead <= -rule.margin else "no difference"
        return outcome, f"{said} where {rule.margin:g} is asked for ({note})"
    said = f"{said}, with other cards between {interval.low:g} and {interval.high:g}"
    if interval.high < 0:
        return "worse", said
    if interval.low <= 0:
        return "no difference", f"{said}: no difference"
    if lead < rule.margin:
        return "no difference", f"{said}, where {rule.margin:g} is asked for"
    return "better", said


def _objection(candidate: "ModelVersion") -> str | None:
    tags = candidate.tags
    if "validation.passed" not in tags:
        return "its photos were never validated (`dobble validate`)"
    if tags["validation.passed"] != "true":
        return "its photos did not pass validation"
    if int(tags.get("validation.objections", 0)):
        return f"Deepchecks objects to it {tags['validation.objections']} times (the report says why)"
    return None


def _write_down(mlflow: Mlflow, decision: Decision, root: Path) -> None:
    facts = {**asdict(decision), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    with replaced_file(root / DECISION) as side:
        side.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for name, value in asdict(decision).items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            mlflow.client.set_model_version_tag(NAME, decision.candidate, f"decision.{name}", text)
    mlflow.client.update_model_version(NAME, decision.candidate, decision.reason)
