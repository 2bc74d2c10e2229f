"""Which candidate becomes champion, and what is written down of it."""

import json

import pytest
from tracked_project import Project

from dobble.data.voc import read_image_set, write_lines
from dobble.detector.evaluate import measure
from dobble.params import RegistryParams, load_params
from dobble.promotion import Decision, Measured, decide, promote_by_rule
from dobble.registry import register, versions
from dobble.tracking import log_run

pytest_plugins = ["tracked_fixtures"]

RULE = RegistryParams(metric="mAP", margin=0.05, minimum=0.2)


@pytest.mark.parametrize(
    ("candidate", "champion", "objection", "promoted", "reason"),
    [
        (0.2, None, None, True, "version 2 is the first champion, with mAP 0.2"),
        (0.19, None, None, False, "its mAP of 0.19 is below the minimum 0.2"),
        (0.9, None, "its photos did not pass validation", False, "its photos did not pass validation"),
        (0.65, 0.6, None, True, "mAP 0.65 against 0.6 of version 1, a lead of 0.05"),
        (0.6499, 0.6, None, False, "a lead of 0.0499 where 0.05 is asked for"),
        (0.5, 0.6, None, False, "mAP 0.5 against 0.6 of version 1, a lead of -0.1 where 0.05 is asked for"),
        (0.19, 0.1, None, False, "below the minimum"),
        (0.9, 0.6, "Deepchecks objects to it 2 times", False, "Deepchecks objects to it 2 times"),
        (None, 0.6, None, False, "there is no mAP of version 2 to compare (nobody knows)"),
        (0.9, None, None, True, "first champion"),
    ],
)
def test_the_rule(
    candidate: float | None, champion: float | None, objection: str | None, promoted: bool, reason: str
) -> None:
    rival = None if champion is None else Measured("1", champion)
    decision = decide(RULE, Measured("2", candidate, "nobody knows"), rival, objection)
    assert (decision.promoted, decision.candidate_value, decision.champion_value) == (
        promoted, candidate, champion,
    )  # fmt: skip
    assert reason in decision.reason


def test_a_champion_that_cannot_be_measured_is_not_beaten() -> None:
    decision = decide(RULE, Measured("2", 0.9), Measured("1", None, "it knows other classes"), None)
    assert decision.reason.endswith("there is no mAP of version 1 to compare (it knows other classes)")
    assert not decision.promoted


def test_a_champion_does_not_follow_itself() -> None:
    decision = decide(RULE, Measured("1", 0.9), Measured("1", 0.9), None)
    assert decision.reason == "version 1 does not become champion: it is champion already"


def registered(project: Project, bundle: str | None = None, **metrics: float) -> Decision:
    project.rerun(bundle=bundle, **metrics)
    return promote_by_rule(register(log_run(project.root), project.root), project.root)


def aliases(project: Project) -> dict[str, tuple[str, ...]]:
    return {one.version: one.aliases for one in versions(project.root)}


def test_a_better_bundle_takes_over_and_a_worse_one_does_not_and_both_are_written_down(
    project: Project, database: str
) -> None:
    assert registered(project, "one", mAP=0.6).promoted
    assert registered(project, "two", mAP=0.7).promoted
    assert aliases(project) == {"2": ("candidate", "champion"), "1": ()}
    kept = registered(project, "three", mAP=0.74)
    assert not kept.promoted
    assert aliases(project) == {"3": ("candidate",), "2": ("champion",), "1": ()}
    written = json.loads((project.root / ".dobble/decision.json").read_text(encoding="utf-8"))
    assert (written["promoted"], written["candidate_value"], written["champion_value"]) == (False, 0.74, 0.7)
    third, second, _ = (one.tags for one in versions(project.root))
    assert third["decision.reason"] == kept.reason == written["reason"]
    assert (third["decision.promoted"], third["decision.champion"]) == ("false", "2")
    assert (second["decision.promoted"], second["decision.champion_value"]) == ("true", "0.6")
    assert second["champion.since"].endswith("by rule")


def test_a_champion_of_other_test_photos_is_measured_on_the_present_ones(
    project: Project, database: str
) -> None:
    # One that nobody could beat if its number were taken for granted
    assert registered(project, "one", mAP=1.0).promoted
    splits = project.root / "build/splits"
    test, val = (read_image_set(splits / f"{name}.txt") for name in ("test", "val"))
    write_lines(splits / "test.txt", sorted(val))
    write_lines(splits / "val.txt", sorted(test))
    decision = registered(project, "two", mAP=0.99)
    params = load_params(project.root / "params.yaml").evaluate
    measured = measure(project.root / "build/bundle", project.root / "build/voc", splits, params).metrics
    assert 0 < measured["mAP"] < 0.9
    assert decision.champion_value == measured["mAP"]  # the network is the same in both
    assert decision.promoted
    assert decision.candidate_value == 0.99


def test_a_champion_of_other_classes_is_left_to_people(project: Project, database: str) -> None:
    assert registered(project, "one", mAP=0.6).promoted
    labels = project.root / "build/voc/labels.txt"
    names = labels.read_text(encoding="utf-8")
    labels.unlink()
    labels.write_text(f"{names}zebra\n", encoding="utf-8")
    decision = registered(project, "two", mAP=0.9)
    assert not decision.promoted
    assert "there is no mAP of version 1 to compare" in decision.reason
    assert "names other classes" in decision.reason


@pytest.mark.parametrize(
    ("validation", "model", "reason"),
    [
        (None, None, "its photos were never validated (`dobble validate`)"),
        (False, None, "its photos did not pass validation"),
        (True, ["mAP of small symbols is 0.1"], "Deepchecks objects to it 1 times"),
    ],
)
def test_what_does_not_pass_validation_does_not_become_champion(
    project: Project, database: str, validation: bool | None, model: list[str] | None, reason: str
) -> None:
    metrics = project.root / "build/validation/metrics.json"
    metrics.unlink()
    if validation is not None:
        metrics.write_text(json.dumps({"passed": validation}), encoding="utf-8")
    if model is not None:
        checked = project.root / "build/evaluation/report/deepchecks.json"
        checked.write_text(json.dumps({"findings": model}), encoding="utf-8")
    decision = registered(project, mAP=0.9)
    assert not decision.promoted
    assert reason in decision.reason
    assert aliases(project) == {"1": ("candidate",)}
