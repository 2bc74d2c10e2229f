"""Runs a flow in this process: with a Prefect server that answers, and with failures said in a line."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings

from dobble.env import debugging
from dobble.errors import DobbleError, ServiceError
from flows.server.database import own_database, prepare_database
from flows.server.history import forget_old_runs
from flows.server.services import PATIENCE_SECONDS
from flows.server.temporary_server import LeashedServer
from jetson.errors import JetsonError


def run_flow(flow: Callable[..., object], *arguments: object) -> None:
    """Run a flow on the server that the settings name, else on one for as long as it takes.

    Raises:
        ServiceError: if the server does not start, does not answer or refuses.
        DobbleError: or `JetsonError`, if the flow fails.
    """
    if not debugging():
        for handler in logging.getLogger().handlers:
            handler.addFilter(_without_traceback)
    _await_server(Path())
    try:
        flow(*arguments)
    except (PrefectException, HTTPError, RuntimeError) as error:
        # Prefect's client says in a RuntimeError that it cannot reach its server.
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, HTTPError):
            raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ServiceError("Prefect", "failed", said[:5]) from error


def _await_server(root: Path) -> None:
    address = get_current_settings().api.url
    if address is None:
        if (database := own_database(root)) is not None:
            prepare_database(database, _tell)
            forget_old_runs(database)
        try:
            LeashedServer().start(int(PATIENCE_SECONDS))
        except RuntimeError as error:
            said = str(error).splitlines()
            raise ServiceError("Prefect's temporary server", "does not answer", said[-5:]) from error
        return
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise ServiceError("Prefect", f"does not answer at {address}", [str(problem)])


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _without_traceback(record: logging.LogRecord) -> bool:
    """Leave the message of a failure that says itself what to do."""
    if record.exc_info and isinstance(record.exc_info[1], DobbleError | JetsonError):
        # Prefect's handler for its API comes first, and leaves what it has formatted in the record.
        record.exc_info = record.exc_text = None
    return True
