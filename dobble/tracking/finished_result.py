"""Reads a finished pipeline, `dvc.lock` and what lies in `build/`, as one result to log under one id."""

import csv
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dobble.data.voc import read_image_set
from dobble.errors import MissingInputError
from dobble.paths import (
    HISTORY,
    METRICS,
    MODEL_CHECK,
    PARAMS,
    PIPELINE,
    PIPELINE_LOCK,
    SPLITS,
    VALIDATION,
    VOC,
)
from dobble.storage.pins import listing_name, read_yaml
from dobble.storage.places import file_md5
from dobble.tracking.errors import StaleResultError

RESULT_STAGES = ("train", "export", "evaluate")

MEASURED_TAG = "test.data"

_NEVER_DIRTY = (":!dvc.lock", ":!build")


class EpochMetrics(NamedTuple):
    """One line of `history.csv`: its columns by their names."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Result:
    """What one execution of the pipeline came to.

    Attributes:
        id: hash over what went into and came out of training, export and evaluation.
        params: what its stages ran with, nested or dotted as in `dvc.yaml`.
        metrics: test metrics by their dotted names.
        history: the epochs of training.
        tags: where data and code stood.
    """

    id: str
    params: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[EpochMetrics, ...]
    tags: dict[str, str]


def read_result(root: Path) -> Result:
    """Read the result in a project's folder.

    Raises:
        MissingInputError: if a stage has not run.
        StaleResultError: if `build/` is not what `dvc.lock` says.
    """
    lock = read_yaml(root / PIPELINE_LOCK)
    for stage in (*RESULT_STAGES, *({"validate"} & lock["stages"].keys())):
        for out in _stage(lock, stage)["outs"]:
            _check(root / out["path"], out["md5"])
    tags = {MEASURED_TAG: measured_on(root)}
    return Result(
        id=result_id(lock),
        params=locked_params(lock),
        metrics=numbers(json.loads((root / METRICS).read_text(encoding="utf-8"))),
        history=tuple(read_history(root / HISTORY)),
        tags={**tags, **code_tags(root), **data_tags(lock), **validation_tags(root)},
    )


def result_id(lock: Mapping[str, Any]) -> str:
    """Hash the entries of training, export and evaluation in `dvc.lock`.

    Raises:
        MissingInputError: if one of these stages has not run.
    """
    facts = [{"stage": name, **_facts(_stage(lock, name))} for name in RESULT_STAGES]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def training_key(root: Path) -> str | None:
    """Give the key of the training that runs now: what it reads, and its parameters.

    It is what `locked_training_key` gives once DVC has written `dvc.lock`. None without a stage `train`.
    """
    if not (root / PIPELINE).is_file():
        return None
    stage = (read_yaml(root / PIPELINE).get("stages") or {}).get("train")
    if stage is None:
        return None
    lock = read_yaml(root / PIPELINE_LOCK) if (root / PIPELINE_LOCK).is_file() else {}
    entries = (lock.get("stages") or {}).values()
    made = {out["path"]: out.get("md5", "") for entry in entries for out in entry.get("outs", [])}
    deps = [[path, made.get(path) or _md5(root / path)] for path in stage.get("deps", [])]
    return _training_key(deps, {"train": read_yaml(root / PARAMS).get("train")})


def locked_training_key(root: Path) -> str | None:
    """Give the key of the training that `dvc.lock` records."""
    entry = _stage(read_yaml(root / PIPELINE_LOCK), "train")
    return _training_key(_facts(entry)["deps"], entry.get("params", {}).get(PARAMS.name, {}))


def _training_key(deps: list[list[str]], params: Mapping[str, Any]) -> str:
    facts = json.dumps([sorted(deps), sorted(flatten(params).items())])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def locked_params(lock: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters that stages have run with; those of a stage that has not run are unknown yet."""
    merged: dict[str, Any] = {}
    for entry in (lock.get("stages") or {}).values():
        for name, value in entry.get("params", {}).get(PARAMS.name, {}).items():
            merged.setdefault(name, value)
    return merged


def read_history(path: Path) -> list[EpochMetrics]:
    """Read a history of training; none where there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return parse_history(file)
    except FileNotFoundError:
        return []


def parse_history(lines: Iterable[str]) -> list[EpochMetrics]:
    """Read the lines of a history of training."""
    rows = csv.DictReader(lines)
    return [
        EpochMetrics(
            int(row["epoch"]), {name: float(value) for name, value in row.items() if name != "epoch"}
        )
        for row in rows
    ]


def code_tags(root: Path) -> dict[str, str]:
    """Say at which git revision a project stands and whether its code or parameters were changed since.

    `dvc.lock` and metrics are results, which every run changes, so they count for nothing here.
    """
    revision = _git(root, "rev-parse", "HEAD")
    if revision is None:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_NEVER_DIRTY)
    return {
        "git.revision": revision,
        "git.dirty": "true" if changed else "false",
        "mlflow.source.git.commit": revision,
    }


def validation_tags(root: Path) -> dict[str, str]:
    """Say whether the labelled photos passed their validation, and how often Deepchecks objects to the model.

    What has not run says nothing.
    """
    tags = {}
    if (root / VALIDATION / "metrics.json").is_file():
        passed = json.loads((root / VALIDATION / "metrics.json").read_text(encoding="utf-8"))["passed"]
        tags["validation.passed"] = "true" if passed else "false"
    if (root / MODEL_CHECK).is_file():
        objections = json.loads((root / MODEL_CHECK).read_text(encoding="utf-8"))["findings"]
        tags["validation.objections"] = str(len(objections))
    return tags


def data_tags(lock: Mapping[str, Any]) -> dict[str, str]:
    """Give the MD5 by which DVC names the data that went into a result."""
    stages = (lock.get("stages") or {}).values()
    found = [item["md5"] for entry in stages for item in entry.get("deps", []) if item["path"] == "data"]
    return {"data.md5": found[0]} if found else {}


def measured_on(root: Path) -> str:
    """Hash all that decides how a bundle is measured: test photos, labels, classes, parameters and code.

    Metrics with equal hashes can be compared. What went into an evaluation beside the model is what
    `dvc.lock` has of it.

    Raises:
        MissingInputError, AnnotationError: if an earlier stage's output is missing or damaged.
    """
    lock = read_yaml(root / PIPELINE_LOCK)
    entry = _stage(lock, "evaluate")
    model = tuple(out["path"] for name in ("train", "export") for out in _stage(lock, name)["outs"])
    beside = [item for item in _facts(entry)["deps"] if not item[0].startswith(model)]
    digest = hashlib.sha256(json.dumps([entry.get("params", {}), beside], sort_keys=True).encode())
    voc, splits = root / VOC, root / SPLITS
    digest.update((voc / "labels.txt").read_bytes())
    images = {path.stem: path for path in (voc / "JPEGImages").iterdir()}
    for name in read_image_set(splits / "test.txt"):
        for path in (images.get(name), voc / "Annotations" / f"{name}.xml"):
            if path is None or not path.is_file():
                raise MissingInputError(path or voc / "JPEGImages" / name, "run `dvc repro`")
            digest.update(f"{path.name} {file_md5(path)}\n".encode())
    return digest.hexdigest()[:16]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Give nested values by their dotted names, as text."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Give the numbers among nested values by their dotted names."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{key}"] = float(value)
    return flat


def _stage(lock: Mapping[str, Any], name: str) -> dict[str, Any]:
    entry = (lock.get("stages") or {}).get(name)
    if entry is None:
        raise MissingInputError(f"{name} in {PIPELINE_LOCK}", "run `dvc repro`")
    return dict(entry)


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Give all by which DVC tells one run of a stage from another."""
    named = {
        kind: sorted([item["path"], item.get("md5") or ""] for item in entry.get(kind, []))
        for kind in ("deps", "outs")
    }
    return {"cmd": entry["cmd"], "params": entry.get("params", {}), **named}


def _check(path: Path, name: str) -> None:
    if not path.exists():
        raise MissingInputError(path, "run `dvc repro`, or `dvc checkout`")
    if _md5(path) != name:
        raise StaleResultError(path)


def _md5(path: Path) -> str:
    """Name a file or folder as DVC does."""
    if not path.is_dir():
        return file_md5(path)
    files = (file for file in path.rglob("*") if file.is_file())
    return listing_name({file.relative_to(path).as_posix(): file_md5(file) for file in files})


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
