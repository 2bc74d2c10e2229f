"""Prefect flows over the stages of `dvc.yaml`; they run in the project's folder, with or without a server."""

import os
from pathlib import Path

# Read by Prefect when it is imported, which is why they stand here.
for _name, _value in {
    "PREFECT_HOME": str(Path.cwd() / ".dobble" / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_name, _value)

# Prefect's database needs its folder.
Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
