"""The one way from an evaluated result to a registered version, and the receipt that it leaves."""

import json
import math

import pytest
from mlflow import MlflowClient
from tracked_project import Project

from dobble.errors import ModelRejectedError
from dobble.params import AcceptParams
from dobble.registry.acceptance import check_model
from dobble.registry.publish import publish
from dobble.registry.receipts import find_publication
from dobble.registry.versions import versions

pytest_plugins = ["tracked_fixtures"]

LIMITS = AcceptParams(min_mAP=0.5, min_game_accuracy=0.8)


@pytest.fixture
def accepted(project: Project, database: str) -> Project:
    """A project whose result is good enough."""
    for name in ("min_mAP", "min_game_accuracy"):
        project.set_param("accept", name, 0.0)
    project.rerun(mAP=0.7)
    return project


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"mAP": 0.4, "game.joint": 0.9}, "mAP 0.4 is below 0.5"),
        ({"mAP": math.nan, "game.joint": 0.9}, r"mAP was not measured \(nan\)"),
        ({"mAP": 0.9, "game.joint": math.nan}, r"game\.joint was not measured \(nan\)"),
        ({"mAP": math.inf, "game.joint": 0.9}, r"mAP was not measured \(inf\)"),
        ({"mAP": 0.9}, r"game\.joint was not measured \(None\)"),
    ],
)
def test_what_falls_short_or_is_no_number_is_rejected(metrics: dict[str, float], said: str) -> None:
    with pytest.raises(ModelRejectedError, match=said):
        check_model(metrics, LIMITS)


def test_what_reaches_its_limits_passes() -> None:
    assert (
        check_model({"mAP": 0.5, "game.joint": 0.8}, LIMITS)
        == "mAP 0.5 reaches 0.5, game.joint 0.8 reaches 0.8"
    )


def test_what_is_not_good_enough_is_never_registered(project: Project, database: str) -> None:
    project.set_param("accept", "min_mAP", 0.99)
    project.set_param("accept", "min_game_accuracy", 0.0)
    project.rerun(mAP=0.9)
    with pytest.raises(ModelRejectedError, match=r"mAP 0\.9 is below 0\.99: nothing is registered"):
        publish(project.root)
    assert versions(project.root) == []


def test_receipt_holds_until_anything_that_decided_changes(accepted: Project, database: str) -> None:
    root, said = accepted.root, []
    done = publish(root, tell=said.append)
    assert [line.split()[0] for line in said] == ["mAP", "logged", "dobble", "version"]
    assert find_publication(root) == done
    accepted.set_param("registry", "margin", 0.2)
    assert find_publication(root) is None
    accepted.set_param("registry", "margin", 0.05)
    assert find_publication(root) == done
    accepted.set_param("accept", "min_mAP", 0.01)
    assert find_publication(root) is None
    again = publish(root)
    assert (again.version, again.run) == (done.version, done.run)
    accepted.set_param("split", "seed", 77)
    accepted.lock()
    assert find_publication(root) is None


def test_version_of_another_bundle_under_the_same_number_is_not_this_result(
    accepted: Project, database: str
) -> None:
    done = publish(accepted.root)
    client = MlflowClient(database)
    client.delete_registered_model("dobble")
    client.create_registered_model("dobble")
    made = client.create_model_version("dobble", str(accepted.root / "build/bundle"))
    assert str(made.version) == done.version
    assert find_publication(accepted.root) is None


def test_receipt_of_an_older_form_is_none(accepted: Project, database: str) -> None:
    publish(accepted.root)
    record = accepted.root / ".dobble/published.json"
    record.write_text(json.dumps({"result": "abc", "version": "1"}), encoding="utf-8")
    assert find_publication(accepted.root) is None
