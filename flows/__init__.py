"""Prefect flows over the stages of `dvc.yaml`; they run in the project's folder, with or without a server."""

import os
from pathlib import Path

from dobble.pipeline.project_root import find_root
from flows.server.services import running

_ROOT = find_root(Path.cwd()) or Path.cwd()
_SETTINGS = {
    "PREFECT_HOME": str(_ROOT / ".dobble" / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "1",
}


def _set_up() -> None:
    """Set what Prefect reads when it is imported; the servers of `make ui` are used if they run here."""
    settings = dict(_SETTINGS)
    if (server := running("server", _ROOT)) is not None:
        settings["PREFECT_API_URL"] = f"{server.address}/api"
    if (mlflow := running("mlflow", _ROOT)) is not None:
        settings["MLFLOW_TRACKING_URI"] = mlflow.address
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)  # its database needs it


_set_up()
