"""What a command line says of a failure, and what more with `--debug`."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from dobble.cli.command_line import run
from dobble.env import DEBUG
from dobble.errors import ParameterError
from jetson.errors import BundleError


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG, "")


def failing(monkeypatch: pytest.MonkeyPatch, fail: Callable[[], object], *arguments: str) -> object:
    """Run a command line whose verb `work` fails; give its exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def work() -> None:
        fail()

    app.command("rest")(lambda: None)
    monkeypatch.setattr(sys, "argv", ["program", *arguments, "work"])
    with pytest.raises(SystemExit) as ended:
        run(app)
    return ended.value.code


def refuse(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ParameterError("--deck: is no deck"), "error: --deck: is no deck"),
        (BundleError("bundle", "is damaged: export it again"), "error: bundle: is damaged: export it again"),
    ],
)
def test_failure_that_names_its_cure_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, refuse(error)) == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_failure_of_the_system_says_how_to_see_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    line = f"error: {missing}: No such file or directory"
    assert failing(monkeypatch, missing.read_text) == 1
    assert capsys.readouterr().err == f"{line} (--debug before the verb shows where)\n"
    assert failing(monkeypatch, missing.read_text, "--debug") == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith(f"{line}\n")
    assert f"FileNotFoundError: [Errno 2] No such file or directory: '{missing}'" in said


def test_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "work"])
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command("work")(refuse(KeyError("a bug")))
    app.command("rest")(lambda: None)
    with pytest.raises(KeyError):
        run(app)
