"""Runs a command line in the project's folder, from wherever below it it is called, as git and DVC do."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from dobble.env import CALLED_FROM
from dobble.pipeline.own_code import run_own_code


def find_root(start: Path) -> Path | None:
    """Give the project's folder, the nearest that holds `.dvc` or `params.yaml`; None outside of one."""
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir() or (folder / "params.yaml").is_file():
            return folder
    return None


def enter_project(app: typer.Typer) -> None:
    """Make the project's folder the working directory, and its code the one that runs.

    Paths that are typed start where the command was called; those of the project start in its folder.

    Raises:
        ForeignCodeError: as `run_own_code` does.
    """
    called_from = Path(os.environ.pop(CALLED_FROM, "") or Path.cwd())
    root = find_root(called_from)
    if root is None or root == called_from:
        run_own_code()
        return
    os.chdir(root)
    os.environ[CALLED_FROM] = str(called_from)  # for the code of that folder, if it takes over
    run_own_code()
    del os.environ[CALLED_FROM]
    _take_paths_from(called_from, app)


def _take_paths_from(folder: Path, app: typer.Typer) -> None:
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _with_paths_from(folder, command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _take_paths_from(folder, group.typer_instance)


def _with_paths_from(folder: Path, verb: Callable[..., Any]) -> Callable[..., Any]:
    defaults = {name: one.default for name, one in inspect.signature(verb).parameters.items()}

    @wraps(verb)
    def run(**given: Any) -> Any:
        return verb(
            **{
                name: value if value == defaults[name] else _from(folder, value)
                for name, value in given.items()
            }
        )

    return run


def _from(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_from(folder, item) for item in value]
    return folder / value if isinstance(value, Path) else value
