"""A Labelbox project to the rows of its export, by the official SDK."""

import logging
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from dobble import env
from dobble.sources.errors import (
    ApiKeyError,
    EmptyProjectError,
    ExportFailedError,
    ExportUnfinishedError,
    LabelboxError,
    ProjectNotFoundError,
    UnreachableError,
)
from dobble.sources.http_retries import GaveUpError, Patience, PatientAdapter, asked_pause

JsonDict = dict[str, Any]

_EXPORT = {
    "attachments": False,
    "embeddings": False,
    "metadata_fields": True,
    "data_row_details": False,
    "project_details": True,
    "label_details": True,
    "performance_details": True,
}
_LONGEST_POLL = 5.0


@dataclass(frozen=True)
class LabelboxSettings:
    """Where Labelbox is, who asks, and how patiently.

    Attributes:
        api_key: of the workspace.
        endpoint: address of the GraphQL API.
        connections: photos that travel at the same time.
        exports: how often an export is asked for because the addresses in the last one no longer worked.
        poll: seconds between the first two looks at a task; the pause grows up to 5 s.
        task_timeout: seconds after which a task that is still running is an error.
        patience: for each request.
    """

    api_key: str = field(repr=False)
    endpoint: str
    connections: int = 16
    exports: int = 3
    poll: float = 0.1
    task_timeout: float = 1800.0
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def from_environment(cls) -> "LabelboxSettings":
        """Take key and endpoint from the environment.

        Raises:
            ApiKeyError: if there is no key that could be one.
            LabelboxError: if the endpoint is no address.
        """
        key, endpoint = env.labelbox_api_key(), env.labelbox_endpoint()
        if not key:
            cure = "create a key in Labelbox (Workspace settings, API keys) and set the variable to it"
            raise ApiKeyError(f"{env.LABELBOX_API_KEY} is not set: {cure}")
        if not (key.isascii() and key.isprintable()):
            raise ApiKeyError(f"{env.LABELBOX_API_KEY} has characters that no key has: copy the key again")
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LabelboxError(f"{env.LABELBOX_ENDPOINT} is {endpoint!r}, which is no http address")
        return cls(key, endpoint)


def connect(settings: LabelboxSettings) -> Any:
    """Give the SDK's client, with our patience; it makes no request yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import labelbox  # type: ignore[import-untyped]  # noqa: PLC0415 (takes a second)
    for name in ("labelbox", "lbox"):
        # The SDK logs what it then raises; what is raised is reported by us.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    rest = settings.endpoint.removesuffix("/graphql") + "/api/v1"
    client = labelbox.Client(api_key=settings.api_key, endpoint=settings.endpoint, rest_endpoint=rest)
    # The header X-SDK-Method; to find a value of its own, the SDK inspects the whole stack for each request.
    client.set_sdk_method("dobble")
    for scheme in ("http://", "https://"):
        client.connection.mount(scheme, PatientAdapter(settings.patience, settings.connections))
    return client


def export_rows(client: Any, project_id: str, settings: LabelboxSettings) -> list[JsonDict]:
    """Export a project with its labels, as v2 rows in the order in which they come.

    Raises:
        ApiKeyError, ProjectNotFoundError, EmptyProjectError: if there is nothing that could be exported.
        ExportUnfinishedError, ExportFailedError: if Labelbox could not export the project, or not all of it.
        UnreachableError: if Labelbox does not answer.
    """
    if not project_id.strip():
        raise ProjectNotFoundError(project_id)
    with named_errors(settings, project_id):
        project = client.get_project(project_id)
        for attempt in range(1, settings.exports + 1):
            task = _finished(client, project.export(params=_EXPORT), project_id, settings)
            try:
                return [item.json for item in task.get_buffered_stream()]
            except (requests.RequestException, AssertionError, ValueError) as error:
                # The file's address has expired, or not all of it came: a new export has a new address.
                _remove_spool(error)
                problem, response = error, getattr(error, "response", None)
            except BaseException as error:
                _remove_spool(error)
                raise
            if attempt < settings.exports:
                asked = 0.0 if response is None else asked_pause(response)
                time.sleep(settings.patience.seconds(attempt, min(asked, settings.patience.longest_asked)))
        tried = f"cannot be downloaded, {settings.exports} times: {_described(problem)}"
        raise ExportFailedError(project_id, f"{tried}: try again later") from problem


@contextmanager
def named_errors(settings: LabelboxSettings, project: str = "") -> Iterator[None]:
    """Turn what the SDK raises into our errors, each one line with the cure."""
    from google.api_core.exceptions import RetryError  # noqa: PLC0415 (comes with the SDK)
    from lbox import exceptions as sdk  # type: ignore[import-untyped]  # noqa: PLC0415

    where = urlsplit(settings.endpoint).netloc
    try:
        yield
    except sdk.AuthenticationError as error:
        raise ApiKeyError(f"{where} refuses the key in {env.LABELBOX_API_KEY}: create a new one") from error
    except sdk.AuthorizationError as error:
        raise ApiKeyError(f"the key in {env.LABELBOX_API_KEY} may not do this: {_line(error)}") from error
    except sdk.ResourceNotFoundError as error:
        if project:
            raise ProjectNotFoundError(project) from error
        raise LabelboxError(f"{where} misses something: {_line(error)}") from error
    except (sdk.NetworkError, sdk.TimeoutError, sdk.ApiLimitError, RetryError) as error:
        cure = "try again later; nothing is lost"
        raise UnreachableError(f"{where} does not do what is asked ({_described(error)}): {cure}") from error
    except sdk.LabelboxError as error:
        if _line(error).startswith(("401", "403")):
            cure = "check it, and that the workspace's plan has API access"
            problem = f"{where} refuses the key in {env.LABELBOX_API_KEY} ({_line(error)}): {cure}"
            raise ApiKeyError(problem) from error
        raise LabelboxError(f"{where} says: {_line(error)}") from error
    except (
        sdk.InconsistentOntologyException,
        sdk.MalformedQueryException,
        sdk.OperationNotAllowedException,
        sdk.ProcessingWaitTimeout,
    ) as error:
        raise LabelboxError(f"{where} says: {_line(error)}") from error
    except (KeyError, TypeError) as error:
        cure = f"check {env.LABELBOX_ENDPOINT}, or update the package labelbox"
        raise LabelboxError(f"{where} gives no answer that the SDK knows ({_line(error)}): {cure}") from error


def wait_for(job: Any, attribute: str, running: object, settings: LabelboxSettings) -> None:
    """Look at one of the SDK's jobs until its attribute is no longer what it is while running.

    The SDK's own waiting looks every 2 or 10 s, and ends silently or never.

    Raises:
        LabelboxError: if the job takes too long.
    """
    end, pause = time.monotonic() + settings.task_timeout, settings.poll
    while getattr(job, attribute) == running:
        if time.monotonic() >= end:
            problem = f"is not done with a {type(job).__name__} after {settings.task_timeout:g} s"
            raise LabelboxError(f"Labelbox {problem}: run again later")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL)
        job.refresh()


def _finished(client: Any, task: Any, project: str, settings: LabelboxSettings) -> Any:
    """Wait for an export; the SDK's own waiting looks every two seconds and ends silently when time is up."""
    end, pause = time.monotonic() + settings.task_timeout, settings.poll
    while task.status == "IN_PROGRESS":
        if time.monotonic() >= end:
            raise ExportUnfinishedError(project, settings.task_timeout)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL)
        task = type(task).get_task(client, task.uid)
    if task.status != "COMPLETE":
        raise ExportFailedError(
            project, f"ended as {task.status}: try again, or export it in Labelbox to see why"
        )
    if task.has_errors():
        raise ExportFailedError(
            project, "leaves out rows that Labelbox could not export: look at it in Labelbox"
        )
    if not task.has_result():
        raise EmptyProjectError(project)
    return task


def _remove_spool(error: BaseException) -> None:
    """Remove the temporary file that the SDK leaves behind when its stream breaks off."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        spool = frame.f_locals.get("temp_file")
        if spool is not None and hasattr(spool, "name"):
            with suppress(OSError):
                Path(spool.name).unlink()


def _described(error: BaseException) -> str:
    """Say what went wrong without addresses, which may be signed."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, GaveUpError):
        return _line(cause)
    response = getattr(error, "response", None)
    if response is not None:
        return f"{response.status_code} {response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "connection lost" if isinstance(error, requests.ConnectionError) else _line(error)


def _line(error: BaseException) -> str:
    return f"{' '.join(str(error).split()):.200}" or type(error).__name__
