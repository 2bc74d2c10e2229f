"""Registers bundles in MLflow as versions of `dobble`, and keeps which one is, and was, the champion."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dobble.paths import BUNDLE, MANIFEST
from dobble.tracking.errors import VersionError
from dobble.tracking.finished_result import MEASURED_TAG, validation_tags
from dobble.tracking.mlflow_client import Mlflow, alone, already_exists, open_mlflow
from dobble.tracking.runs import RunReference
from jetson.play.bundle import load_bundle

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

NAME = "dobble"
CANDIDATE, CHAMPION = "candidate", "champion"
MANIFEST_TAG, HISTORY_TAG = "bundle.manifest_sha256", "champions"
RUN_TAG, HELD_TAG = "evaluated.run", "champion.held"
SINCE_TAG, UNTIL_TAG = "champion.since", "champion.until"

_FROM_RUN = (MEASURED_TAG, "data.md5", "git.revision", "git.dirty")


@dataclass(frozen=True)
class RegisteredVersion:
    """A bundle in the registry; `url` is its page, None if no server shows it."""

    name: str
    version: str
    url: str | None
    is_new: bool


@dataclass(frozen=True)
class ListedVersion:
    """A version with its aliases, its test metrics by their names, and all its tags."""

    version: str
    aliases: tuple[str, ...]
    created: datetime
    run: str
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class Succession:
    """Which version is champion now and which one was before."""

    champion: str
    before: str | None


def register(run: RunReference, root: Path = Path()) -> RegisteredVersion:
    """Register the whole bundle of a logged result and make it the candidate.

    A bundle that is registered keeps its version, also if somebody else registers it at this moment. The tags
    of a version say what a device verifies, and what the bundle's last evaluation and validation came to.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        TrackingError: if MLflow is away or refuses; the same call goes on later.
    """
    folder = root / BUNDLE
    load_bundle(str(folder))
    manifest = _manifest_hash(root)
    with alone(root), open_mlflow(root) as mlflow:
        logged = mlflow.client.get_run(run.run_id)
        facts = {MANIFEST_TAG: manifest, RUN_TAG: run.run_id, **_facts(folder)}
        tags = {**facts, **_outcome(logged), **validation_tags(root)}
        version, is_new = _of_bundle(mlflow, manifest), False
        if version is None:
            made = _create(mlflow, logged, folder, tags)
            # Another machine may have made one as well: all that look after their own keep the same one
            version = _of_bundle(mlflow, manifest) or made
            is_new = version.version == made.version
            if not is_new:
                mlflow.client.delete_model_version(NAME, made.version)
        for name, value in tags.items():
            if version.tags.get(name) != value:
                mlflow.client.set_model_version_tag(NAME, version.version, name, value)
        mlflow.client.set_registered_model_alias(NAME, CANDIDATE, version.version)
        page = mlflow.version_page(NAME, version.version)
    return RegisteredVersion(NAME, str(version.version), page, is_new)


def is_registered(version: str, root: Path = Path()) -> bool:
    """Whether the registry has a version, and with the bundle that lies in `build/`.

    Raises:
        TrackingError: if MLflow is away or refuses.
    """
    with open_mlflow(root) as mlflow:
        found = next((one for one in _versions(mlflow) if str(one.version) == version), None)
        return found is not None and found.tags.get(MANIFEST_TAG) == _manifest_hash(root)


def versions(root: Path = Path()) -> list[ListedVersion]:
    """List all versions, the newest first.

    Raises:
        TrackingError: if MLflow is away or refuses.
    """
    with open_mlflow(root) as mlflow:
        named = aliases(mlflow)
        runs = {run.info.run_id: run for run in mlflow.client.search_runs([mlflow.experiment_id])}
        return [
            ListedVersion(
                version=str(one.version),
                aliases=tuple(sorted(name for name, of in named.items() if of == str(one.version))),
                created=datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
                run=str(runs[run_of(one)].info.run_name) if run_of(one) in runs else "",
                metrics=test_metrics(one),
                tags=dict(one.tags),
            )
            for one in _versions(mlflow)
        ]


def promote(version: str, root: Path = Path(), *, by: Literal["hand", "rule"] = "hand") -> Succession:
    """Make a version the champion, and remember the one before; by hand it ends what a rollback holds.

    Raises:
        VersionError: if there is no such version.
        TrackingError: if MLflow is away or refuses.
    """
    with alone(root), open_mlflow(root) as mlflow:
        find_version(mlflow, version)
        if by == "hand" and HELD_TAG in _model_tags(mlflow):
            mlflow.client.delete_registered_model_tag(NAME, HELD_TAG)
        history = _champions(mlflow)
        before = history[-1] if history else None
        if before == version:
            return Succession(version, history[-2] if len(history) > 1 else None)
        # The alias first: a history that lacks it is mended by it, not the other way round.
        mlflow.client.set_registered_model_alias(NAME, CHAMPION, version)
        _remember(mlflow, [*history, version])
        mlflow.client.set_model_version_tag(NAME, version, SINCE_TAG, f"{_now()} by {by}")
    return Succession(version, before)


def rollback(root: Path = Path()) -> Succession:
    """Make the champion before the present one champion again, which holds until a person promotes.

    Raises:
        VersionError: if there was none.
        TrackingError: if MLflow is away or refuses.
    """
    with alone(root), open_mlflow(root) as mlflow:
        history = _champions(mlflow)
        there = {str(one.version) for one in _versions(mlflow)}
        earlier = history[:-1]
        while earlier and earlier[-1] not in there:  # deleted since
            earlier.pop()
        if not earlier:
            present = f"version {history[-1]} is the first" if history else "there is no champion"
            raise VersionError(f"nothing to roll back to: {present}; `dobble promote VERSION` chooses one")
        # What the rule must not undo is said before anything is done
        mlflow.client.set_registered_model_tag(NAME, HELD_TAG, earlier[-1])
        if history[-1] in there:
            mlflow.client.set_model_version_tag(NAME, history[-1], UNTIL_TAG, f"{_now()} by rollback")
        _remember(mlflow, earlier)
        mlflow.client.set_registered_model_alias(NAME, CHAMPION, earlier[-1])
    return Succession(earlier[-1], history[-1])


def choice_of_people(mlflow: Mlflow, candidate: "ModelVersion") -> str | None:
    """Say why the rule must leave the champion alone, None if it need not: people have decided otherwise."""
    number, present = str(candidate.version), aliases(mlflow).get(CHAMPION)
    if number == present:
        return None
    if present is not None and _model_tags(mlflow).get(HELD_TAG) == present:
        return f"version {present} was brought back by `dobble rollback`, and stays until `dobble promote`"
    if {SINCE_TAG, UNTIL_TAG} & candidate.tags.keys() or number in _champions(mlflow):
        return f"it was champion before: only `dobble promote {number}` brings it back"
    return None


def find_version(mlflow: Mlflow, version: str) -> "ModelVersion":
    """Find a version by its number.

    Raises:
        VersionError: if there is none; the message names those that there are.
    """
    there = _versions(mlflow)
    for one in there:
        if str(one.version) == version:
            return one
    numbers = ", ".join(str(one.version) for one in there) or "none; `dvc repro` and `dobble log` first"
    raise VersionError(f"{NAME} has no version {version}: there are {numbers}")


def aliases(mlflow: Mlflow) -> dict[str, str]:
    """Give the number of the version of each alias."""
    found = mlflow.client.search_registered_models(f"name = '{NAME}'")
    return {name: str(version) for name, version in found[0].aliases.items()} if found else {}


def run_of(version: "ModelVersion") -> str:
    """Give the id of the run that evaluated a version last."""
    return str(version.tags.get(RUN_TAG, version.run_id))


def champion(mlflow: Mlflow) -> "ModelVersion | None":
    """Give the present champion, None if there is none."""
    number = aliases(mlflow).get(CHAMPION)
    return None if number is None else find_version(mlflow, number)


def test_metrics(version: "ModelVersion") -> dict[str, float]:
    """Give the test metrics that a version was registered with."""
    return {
        name.removeprefix("test."): float(value)
        for name, value in version.tags.items()
        if name.startswith("test.") and name != MEASURED_TAG
    }


def _facts(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        "bundle.files": str(len(files)),
        "bundle.bytes": str(sum(file.stat().st_size for file in files)),
        "model.sha256": load_bundle(str(folder), verify=False).model_sha256,
    }


def _outcome(run: "Run") -> dict[str, str]:
    """What a version's tags say of the run that its bundle comes from."""
    metrics = {
        name.replace("/", ".", 1): f"{value:g}"
        for name, value in run.data.metrics.items()
        if name.startswith("test/")
    }
    kept = {name: run.data.tags[name] for name in _FROM_RUN if name in run.data.tags}
    return {**kept, **metrics}


def _create(mlflow: Mlflow, run: "Run", folder: Path, tags: dict[str, str]) -> "ModelVersion":
    from mlflow import MlflowException  # noqa: PLC0415 - takes seconds

    client, run_id = mlflow.client, run.info.run_id
    client.log_artifacts(run_id, str(folder), "bundle")
    if not client.search_registered_models(f"name = '{NAME}'"):
        try:
            client.create_registered_model(NAME, description="Bundles for the device: network, labels, deck")
        except MlflowException as error:
            if not already_exists(error):
                raise
    return client.create_model_version(NAME, f"{run.info.artifact_uri}/bundle", run_id, tags)


def _versions(mlflow: Mlflow) -> list["ModelVersion"]:
    found = mlflow.client.search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda one: -int(one.version))


def _of_bundle(mlflow: Mlflow, manifest: str) -> "ModelVersion | None":
    """Find the first version of a bundle."""
    found = [one for one in _versions(mlflow) if one.tags.get(MANIFEST_TAG) == manifest]
    return found[-1] if found else None


def _manifest_hash(root: Path) -> str:
    return hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()


def _model_tags(mlflow: Mlflow) -> dict[str, str]:
    found = mlflow.client.search_registered_models(f"name = '{NAME}'")
    return dict(found[0].tags) if found else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _champions(mlflow: Mlflow) -> list[str]:
    """All champions in their order; one that was made in MLflow's own pages counts as well."""
    history: list[str] = json.loads(_model_tags(mlflow).get(HISTORY_TAG, "[]"))
    present = aliases(mlflow).get(CHAMPION)
    return history if present is None or history[-1:] == [present] else [*history, present]


def _remember(mlflow: Mlflow, history: list[str]) -> None:
    mlflow.client.set_registered_model_tag(NAME, HISTORY_TAG, json.dumps(history))
