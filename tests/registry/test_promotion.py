"""Which candidate becomes champion, and what is written down of it."""

import json
import math

import numpy as np
import pytest
from tracked_project import Project

from dobble.data.voc import read_image_set, write_lines
from dobble.evaluation.measure import measure
from dobble.evaluation.outcomes import Outcomes
from dobble.params import RegistryParams, load_params
from dobble.registry.promotion import Decision, Measured, decide, promote_by_rule
from dobble.registry.versions import promote, register, rollback, versions
from dobble.tracking.runs import log_run

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


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_is_never_compared(number: float) -> None:
    decision = decide(RULE, Measured("2", number), None, None)
    assert (decision.promoted, decision.candidate_value) == (False, None)
    assert decision.reason.endswith(f"there is no mAP of version 2 to compare (it is {number})")
    assert not decide(RULE, Measured("2", 0.9), Measured("1", number), None).promoted


ACCURACY = RegistryParams(metric="accuracy", margin=0.05, minimum=0.2)


def read(version: str, right: list[int]) -> Measured:
    """A version that found one object on each photo, each of another card, and named some rightly."""
    none = np.zeros((0, 2), np.int64)
    numbers = np.array(right)
    names = tuple(f"photo{number}" for number in range(len(right)))
    found = Outcomes(names, np.arange(len(right)), numbers, 1 - numbers, 0.5 * numbers, none, {})
    return Measured(version, float(numbers.mean()), outcomes=found)


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome", "said"),
    [
        # Better on every card, so it is with whatever cards
        ([1] * 10, [0] * 10, "better", "a lead of 1, with other cards between 1 and 1"),
        # By one card of ten, which 35 % of the draws leave out
        (
            [1] * 10,
            [0] + [1] * 9,
            "no difference",
            "a lead of 0.1, with other cards between 0 and 0.3: no diff",
        ),
        ([0] + [1] * 9, [1] * 10, "no difference", "between -0.3 and 0: no difference"),
        ([0] * 5 + [1] * 5, [1] * 10, "worse", "a lead of -0.5, with other cards between -0.8 and -0.2"),
    ],
)
def test_only_a_lead_that_other_cards_would_not_take_away_makes_a_champion(
    candidate: list[int], champion: list[int], outcome: str, said: str
) -> None:
    decision = decide(ACCURACY, read("2", candidate), read("1", champion), None)
    assert (decision.outcome, decision.promoted) == (outcome, outcome == "better")
    assert said in decision.reason


def test_a_sure_lead_below_the_margin_makes_none() -> None:
    rule = ACCURACY.model_copy(update={"margin": 0.6})
    decision = decide(rule, read("2", [1] * 10), read("1", [0] * 5 + [1] * 5), None)
    assert (decision.outcome, decision.promoted) == ("no difference", False)
    assert "where 0.6 is asked for" in decision.reason


def test_without_outcomes_the_margin_decides_and_says_so() -> None:
    decision = decide(RULE, Measured("2", 0.7), Measured("1", 0.6), None)
    assert (decision.outcome, decision.lead_low) == ("better", None)
    assert decision.reason.endswith("(no interval is known for mAP on these cards)")


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


def test_a_rollback_holds_until_a_person_promotes(project: Project, database: str) -> None:
    assert registered(project, "one", mAP=0.6).promoted
    assert registered(project, "two", mAP=0.7).promoted
    rollback(project.root)
    again = promote_by_rule(register(log_run(project.root), project.root), project.root)
    assert not again.promoted
    assert "version 1 was brought back by `dobble rollback`, and stays until `dobble promote`" in again.reason
    assert not registered(project, "three", mAP=0.9).promoted
    assert aliases(project)["1"] == ("champion",)
    promote("1", project.root)
    # The one that was rolled back from is still for people to bring back; any other is the rule's
    back = registered(project, "two", mAP=0.7)
    assert "it was champion before: only `dobble promote 2` brings it back" in back.reason
    assert registered(project, "three", mAP=0.9).promoted


def test_who_was_replaced_by_hand_does_not_come_back_by_rule(project: Project, database: str) -> None:
    assert registered(project, "one", mAP=0.6).promoted
    assert registered(project, "two", mAP=0.7).promoted
    promote("1", project.root)
    again = promote_by_rule(register(log_run(project.root), project.root), project.root)
    assert "only `dobble promote 2` brings it back" in again.reason
    assert aliases(project)["1"] == ("champion",)


def test_bundles_are_compared_card_by_card(project: Project, database: str) -> None:
    project.set_param("registry", "metric", "game.joint")
    project.set_param("registry", "minimum", 0.0)
    assert registered(project, "one").outcome == "first"
    # The same network again
    decision = registered(project, "two")
    assert (decision.outcome, decision.lead_low, decision.lead_high) == ("no difference", 0, 0)
    assert versions(project.root)[0].tags["decision.outcome"] == "no difference"


def test_a_champion_that_other_code_has_measured_is_measured_anew(project: Project, database: str) -> None:
    assert registered(project, "one", mAP=1.0).promoted
    project.set_param("evaluate", "seed", 5)
    decision = registered(project, "two", mAP=0.99)
    assert decision.champion_value is not None
    assert 0 < decision.champion_value < 0.9


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
