"""Registers bundles in MLflow as versions of `dobble`, and keeps which one is, and was, the champion."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dobble.errors import VersionError
from dobble.mlflow_client import Mlflow, open_mlflow
from dobble.results import BUNDLE, MEASURED_TAG, validation_tags
from dobble.tracking import RunReference
from jetson.bundle import load_bundle

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

NAME = "dobble"
CANDIDATE, CHAMPION = "candidate", "champion"
MANIFEST_TAG, HISTORY_TAG = "bundle.manifest_sha256", "champions"

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

    A bundle that is registered keeps its version. The tags of a version say what a device verifies, and
    what the bundle's last evaluation and validation came to.

    Raises:
        jetson.errors.BundleError: if the bundle is damaged.
        TrackingError: if MLflow is away or refuses; the same call goes on later.
    """
    folder = root / BUNDLE
    load_bundle(str(folder))
    manifest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    with open_mlflow(root) as mlflow:
        logged = mlflow.client.get_run(run.run_id)
        tags = {MANIFEST_TAG: manifest, **_facts(folder), **_outcome(logged), **validation_tags(root)}
        version = next((one for one in _versions(mlflow) if one.tags.get(MANIFEST_TAG) == manifest), None)
        is_new = version is None
        if version is None:
            version = _create(mlflow, logged, folder, tags)
        for name, value in tags.items():
            if version.tags.get(name) != value:
                mlflow.client.set_model_version_tag(NAME, version.version, name, value)
        mlflow.client.set_registered_model_alias(NAME, CANDIDATE, version.version)
        page = mlflow.version_page(NAME, version.version)
    return RegisteredVersion(NAME, str(version.version), page, is_new)


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
                run=str(runs[one.run_id].info.run_name) if one.run_id in runs else "",
                metrics=test_metrics(one),
                tags=dict(one.tags),
            )
            for one in _versions(mlflow)
        ]


def promote(version: str, root: Path = Path(), *, by: str = "hand") -> Succession:
    """Make a version the champion, and remember the one before.

    Raises:
        VersionError: if there is no such version.
        TrackingError: if MLflow is away or refuses.
    """
    with open_mlflow(root) as mlflow:
        find_version(mlflow, version)
        history = _champions(mlflow)
        before = history[-1] if history else None
        if before == version:
            return Succession(version, history[-2] if len(history) > 1 else None)
        # The alias first: a history that lacks it is mended by it, not the other way round.
        mlflow.client.set_registered_model_alias(NAME, CHAMPION, version)
        _remember(mlflow, [*history, version])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mlflow.client.set_model_version_tag(NAME, version, "champion.since", f"{now} by {by}")
    return Succession(version, before)


def rollback(root: Path = Path()) -> Succession:
    """Make the champion before the present one champion again.

    Raises:
        VersionError: if there was none.
        TrackingError: if MLflow is away or refuses.
    """
    with open_mlflow(root) as mlflow:
        history = _champions(mlflow)
        there = {str(one.version) for one in _versions(mlflow)}
        earlier = history[:-1]
        while earlier and earlier[-1] not in there:  # deleted since
            earlier.pop()
        if not earlier:
            present = f"version {history[-1]} is the first" if history else "there is no champion"
            raise VersionError(f"nothing to roll back to: {present}; `dobble promote VERSION` chooses one")
        _remember(mlflow, earlier)
        mlflow.client.set_registered_model_alias(NAME, CHAMPION, earlier[-1])
    return Succession(earlier[-1], history[-1])


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
    client, run_id = mlflow.client, run.info.run_id
    client.log_artifacts(run_id, str(folder), "bundle")
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME, description="Bundles for the device: network, labels, deck")
    return client.create_model_version(NAME, f"{run.info.artifact_uri}/bundle", run_id, tags)


def _versions(mlflow: Mlflow) -> list["ModelVersion"]:
    found = mlflow.client.search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda one: -int(one.version))


def _champions(mlflow: Mlflow) -> list[str]:
    """All champions in their order; one that was made in MLflow's own pages counts as well."""
    found = mlflow.client.search_registered_models(f"name = '{NAME}'")
    history: list[str] = json.loads(found[0].tags.get(HISTORY_TAG, "[]")) if found else []
    present = aliases(mlflow).get(CHAMPION)
    return history if present is None or history[-1:] == [present] else [*history, present]


def _remember(mlflow: Mlflow, history: list[str]) -> None:
    mlflow.client.set_registered_model_tag(NAME, HISTORY_TAG, json.dumps(history))
