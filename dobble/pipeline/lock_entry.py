"""Takes over from another machine's `dvc.lock` the entry of the one stage that ran there."""

import json
from pathlib import Path
from typing import Any

import yaml

from dobble.paths import PIPELINE_LOCK
from dobble.pipeline.errors import ElsewhereError, InputsChangedError
from dobble.pipeline.stages import Stage
from dobble.storage.dvc_command import run_dvc
from dobble.storage.errors import DvcBusyError


def take_over(stage: Stage, lock: str, root: Path = Path()) -> None:
    """Write a stage's entry into `dvc.lock`, all others stay; the stage itself does not run.

    Args:
        stage: what ran elsewhere.
        lock: text of the `dvc.lock` that it left there.
        root: folder of the project.

    Raises:
        ElsewhereError: if the stage left no entry.
        InputsChangedError: if code, parameters or data are no longer those that it ran on; the entry stays
            as it was.
        DvcBusyError: if another process holds DVC's lock.
    """
    entry = ((yaml.safe_load(lock) or {}).get("stages") or {}).get(stage.name)
    if entry is None:
        raise ElsewhereError(f"stage {stage.name!r} ran elsewhere but left no result: run it again")
    before = _put(entry, stage.name, root)
    if changed := changed_inputs(stage, root):
        _put(before, stage.name, root)
        raise InputsChangedError(stage.name, changed)


def changed_inputs(stage: Stage, root: Path = Path()) -> list[str]:
    """Name what a stage reads, or its command, where it is not what `dvc.lock` says."""
    said = json.loads(run_dvc(["status", "--json", stage.name], root)).get(stage.name, [])
    found: list[str] = []
    for item in said:
        found += [item] if isinstance(item, str) else item.get("changed deps", {})
    return found


def _put(entry: Any, stage: str, root: Path) -> Any:
    """Set a stage's entry, or take it out, under DVC's own lock; give the one that it had."""
    from dvc.lock import LockError  # type: ignore[import-untyped]  # noqa: PLC0415
    from dvc.repo import Repo  # type: ignore[import-untyped]  # noqa: PLC0415
    from dvc.utils.serialize import modify_yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo, repo.lock, modify_yaml(str(root / PIPELINE_LOCK)) as content:
            content.setdefault("schema", "2.0")
            stages = content.setdefault("stages", {})
            before = stages.pop(stage, None) if entry is None else stages.get(stage)
            if entry is not None:
                stages[stage] = entry
            return before
    except LockError as error:
        raise DvcBusyError(f"taking over {stage} into {PIPELINE_LOCK}", str(error)) from error
