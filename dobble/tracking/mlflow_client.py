"""Opens MLflow, a server or a database in .dobble/, and puts what it complains of into one line."""

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import requests
from filelock import FileLock, Timeout

from dobble.env import experiment_name, keep_mlflow_quick_and_quiet, tracking_address
from dobble.paths import MLFLOW_ARTIFACTS, MLFLOW_DATABASE, MLFLOW_LOCK
from dobble.tracking.database_errors import database_error
from dobble.tracking.errors import (
    TrackingAccessError,
    TrackingAddressError,
    TrackingBusyError,
    TrackingError,
    TrackingUnreachableError,
)
from dobble.tracking.moved_project import mend_moved

if TYPE_CHECKING:
    from mlflow import MlflowClient, MlflowException


_SERVERS = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_CONNECT_SECONDS, _ANSWER_SECONDS = 3.0, 10.0
_AWAY = (429, 502, 503, 504)
_WAIT_SECONDS = 1800.0


@dataclass(frozen=True)
class Mlflow:
    """An open MLflow: its client, the experiment of this project, and the addresses of its pages.

    Attributes:
        client: MLflow's own.
        address: as MLflow takes it.
        experiment_id: runs are logged to it.
    """

    client: "MlflowClient"
    address: str
    experiment_id: str

    def run_page(self, run_id: str) -> str | None:
        """Give the address of a run's page, None if no server shows it."""
        return self._page(f"experiments/{self.experiment_id}/runs/{run_id}")

    def version_page(self, name: str, version: str) -> str | None:
        """Give the address of the page of a registered version, None if no server shows it."""
        return self._page(f"models/{quote(name)}/versions/{version}")

    def compare_page(self, run_ids: list[str]) -> str | None:
        """Give the address of the page that compares runs, None if no server shows it."""
        runs, experiments = (quote(json.dumps(ids)) for ids in (run_ids, [self.experiment_id]))
        return self._page(f"compare-runs?runs={runs}&experiments={experiments}")

    def _page(self, route: str) -> str | None:
        return f"{self.address}/#/{route}" if _is_server(self.address) else None


@contextmanager
def open_mlflow(root: Path) -> Iterator[Mlflow]:
    """Open MLflow at MLFLOW_TRACKING_URI, or in `root`/.dobble if that is not set.

    Within the block every failure of MLflow is one of the errors below.

    Raises:
        TrackingAddressError: if the address cannot be one.
        TrackingUnreachableError: if nobody answers there, now or later in the block.
        TrackingAccessError: if the server refuses access.
        TrackingError: if MLflow fails for a reason of its own.
    """
    chosen = tracking_address()
    address = _address(root)
    if _is_server(address):
        _ask(address)
    keep_mlflow_quick_and_quiet()
    import mlflow  # noqa: PLC0415 - takes seconds
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is raised as well
    try:
        # Who opens a database first makes its tables
        with nullcontext() if _is_server(address) else alone(root):
            if chosen is None:
                mend_moved(root / MLFLOW_DATABASE, root / MLFLOW_ARTIFACTS)
            client = mlflow.MlflowClient(tracking_uri=address)
            artifacts = None if chosen else (root / MLFLOW_ARTIFACTS).absolute().as_uri()
            experiment = _experiment(client, artifacts)
        yield Mlflow(client, address, experiment)
    except (mlflow.MlflowException, requests.RequestException, SQLAlchemyError, sqlite3.Error) as error:
        raise _named(error, address) from error


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one process at a time log to a database, or, where a server is asked, from a project's folder.

    Blocks may lie in one another.

    Raises:
        TrackingAddressError: if the address cannot be one.
        TrackingBusyError: if another process does not come to an end.
    """
    from sqlalchemy import make_url  # noqa: PLC0415 - takes a moment

    address = _address(root)
    database = make_url(address).database if address.startswith("sqlite") else None
    place = root / MLFLOW_LOCK if database is None else Path(database)
    lock = place.with_name(f"{place.name}.lock").absolute()
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=_WAIT_SECONDS, is_singleton=True):
            yield
    except Timeout:
        raise TrackingBusyError(str(lock)) from None


def already_exists(error: "MlflowException") -> bool:
    """Whether MLflow refuses to make what somebody else has made a moment ago."""
    return str(error.error_code) == "RESOURCE_ALREADY_EXISTS"


def without_password(address: str) -> str:
    """Give an address as messages may show it."""
    return re.sub(r"//[^@/]*@", "//", address)


def _address(root: Path) -> str:
    chosen = tracking_address()
    return _database(root) if chosen is None else _checked(chosen)


def _database(root: Path) -> str:
    path = (root / MLFLOW_DATABASE).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _checked(address: str) -> str:
    shown = without_password(address)
    scheme = address.partition(":")[0].partition("+")[0]
    if scheme in _DATABASES and "://" in address:
        return address
    if scheme not in _SERVERS:
        raise TrackingAddressError(shown, "is neither a server nor a database")
    try:
        parts = urlsplit(address)
        named = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named:
        raise TrackingAddressError(shown, "names no host, or no valid port")
    return address.rstrip("/")


def _is_server(address: str) -> bool:
    return address.startswith(_SERVERS)


def _ask(address: str) -> None:
    """Find out in seconds whether a server is there, which MLflow's client takes minutes for."""
    try:
        said = requests.get(f"{address}/health", timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS))
    except requests.RequestException as error:
        raise TrackingUnreachableError(without_password(address), _reason(error)) from error
    if said.status_code in _AWAY:
        raise TrackingUnreachableError(without_password(address), f"HTTP {said.status_code}")


def _experiment(client: "MlflowClient", artifacts: str | None) -> str:
    from mlflow import MlflowException  # noqa: PLC0415 - takes seconds

    name = experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)
            if found is None or not already_exists(error):
                raise
    if found.lifecycle_stage != "active":
        cure = f"restore it by `mlflow experiments restore -x {found.experiment_id}`"
        raise TrackingError(f"the experiment {name!r} was deleted in MLflow: {cure}")
    return str(found.experiment_id)


def _named(error: Exception, address: str) -> TrackingError:
    shown = without_password(address)
    if (of_file := database_error(error, shown)) is not None:
        return of_file
    text = " ".join(str(error).split())
    if re.search(r"error code 40[13]\b", text):
        return TrackingAccessError(shown)
    broken = _broken_connection(error)
    if broken is not None:
        return TrackingUnreachableError(shown, _reason(broken))
    if away := re.search(r"error code (429|502|503|504)\b", text):
        return TrackingUnreachableError(shown, f"HTTP {away[1]}")
    return TrackingError(f"MLflow at {shown} failed: {without_password(text)[:400]}")


def _broken_connection(error: BaseException | None) -> BaseException | None:
    """Find the failed connection that MLflow's error goes back to."""
    while error is not None:
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            return error
        error = error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> str:
    text = str(error)
    if "refused" in text:
        return "connection refused"
    if "resolve" in text or "Name or service" in text:
        return "unknown host"
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "timed out"
    return "connection broken"
