"""Runs a command line so that a failure is one line, and with `--debug` where it came from as well."""

import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from dobble.env import DEBUG, debugging
from dobble.errors import DobbleError
from dobble.pipeline.project_root import enter_project
from jetson.errors import JetsonError


def run(app: typer.Typer) -> None:
    """Run a command line; a failure is one line and exit code 1, or 75 (EX_TEMPFAIL) if it may pass."""
    app.callback()(_options)
    try:
        enter_project(app)
        app()
    except (DobbleError, JetsonError) as error:
        passing = isinstance(error, DobbleError) and error.passing
        _end(error, str(error), os.EX_TEMPFAIL if passing else 1)
    except OSError as error:
        # What no stage could name better, such as an input that may not be read
        cure = "" if debugging() else " (--debug before the verb shows where)"
        _end(error, f"{error.filename or 'the system'}: {error.strerror or error}{cure}", 1)


def _options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Say where in the code it fails.")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"  # for the stages that a flow starts as well


def _end(error: Exception, said: str, status: int) -> NoReturn:
    if debugging():
        traceback.print_exception(error)
    sys.stderr.write(f"error: {said}\n")
    sys.exit(status)
