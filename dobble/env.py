"""Every environment variable that the library reads, with its default."""

import os
from typing import NamedTuple

LABELBOX_API_KEY = "LABELBOX_API_KEY"
LABELBOX_ENDPOINT = "DOBBLE_LABELBOX_ENDPOINT"
STACK = "DOBBLE_STACK"
DEBUG = "DOBBLE_DEBUG"
# What a work pool's job for a stage is told: where to clone from, and what to check out
REPOSITORY, REVISION = "DOBBLE_REPOSITORY", "DOBBLE_REVISION"
# Where the installed command was called, told to the code of the project's folder that takes over
CALLED_FROM = "DOBBLE_CALLED_FROM"
MLFLOW_TRACKING_URI = "MLFLOW_TRACKING_URI"
MLFLOW_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
RANK, LOCAL_RANK, WORLD_SIZE = "RANK", "LOCAL_RANK", "WORLD_SIZE"  # as torchrun names them

_MLFLOW_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LABELBOX_GRAPHQL = "https://api.labelbox.com/graphql"


def labelbox_api_key() -> str:
    """Give the key of the Labelbox workspace, empty if none is set."""
    return os.environ.get(LABELBOX_API_KEY, "").strip()


def labelbox_endpoint() -> str:
    """Give the address of Labelbox's GraphQL API."""
    return os.environ.get(LABELBOX_ENDPOINT, "").strip() or _LABELBOX_GRAPHQL


def debugging() -> bool:
    """Whether a failure is to say where in the code it came from; `--debug` sets it."""
    return bool(os.environ.get(DEBUG))


def chosen_stack() -> str | None:
    """Give the stack that the environment chooses, None if it leaves the choice to `dobble stack use`."""
    return os.environ.get(STACK, "").strip() or None


def tracking_address() -> str | None:
    """Give the address of the MLflow server or database that the environment chooses."""
    return os.environ.get(MLFLOW_TRACKING_URI, "").strip() or None


def experiment_name() -> str:
    """Give the name of the MLflow experiment that runs are logged to."""
    return os.environ.get(MLFLOW_EXPERIMENT, "").strip() or "dobble"


def keep_mlflow_quick_and_quiet() -> None:
    """Set what MLflow reads from the environment when it is imported and asked, where nobody has set it.

    Its own patience with a server that is away is a quarter of an hour.
    """
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)


class Place(NamedTuple):
    """A process that `torchrun` started: its number, that on its machine, and how many there are."""

    rank: int
    local_rank: int
    size: int


def torchrun_place() -> Place | None:
    """Give this process's place, None if `torchrun` did not start it."""
    given = [os.environ.get(name, "") for name in (RANK, LOCAL_RANK, WORLD_SIZE)]
    return Place(*map(int, given)) if all(name.isdecimal() for name in given) else None
