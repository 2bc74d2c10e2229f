"""Prefect's API as its own pages call it."""

import time
from dataclasses import dataclass
from typing import Any

from flows.server.api import ask


@dataclass(frozen=True)
class Api:
    """The server of a test."""

    address: str

    def get(self, route: str) -> Any:
        return ask(f"{self.address}/api{route}")

    def post(self, route: str, body: dict[str, Any]) -> Any:
        return ask(f"{self.address}/api{route}", body)

    def tasks_of(self, flow_run: str) -> dict[str, dict[str, Any]]:
        """The task runs of an ended flow run by their names; the server hears of them a little later."""
        before = None
        while True:
            found = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
            states = sorted((one["name"], one["state_type"], one["state_name"]) for one in found)
            if states == before and not any(kind in {"RUNNING", "SCHEDULED"} for _, kind, _ in states):
                return {one["name"]: one for one in found}
            before = states
            time.sleep(0.7)

    def artifacts_of(self, flow_run: str) -> dict[str, dict[str, Any]]:
        """The artifacts of a flow run by their keys."""
        found = self.post("/artifacts/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        return {one["key"]: one for one in found}

    def called_by(self, flow_run: str, flow: str) -> dict[str, Any]:
        """The run of a flow that an ended run has called."""
        wanted = {
            "flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}},
            "flows": {"name": {"any_": [flow]}},
        }
        (found,) = self.post("/flow_runs/filter", wanted)
        return dict(found)

    def newest_run(self, flow: str) -> dict[str, Any]:
        wanted = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
        found: list[dict[str, Any]] = self.post("/flow_runs/filter", wanted)
        return found[0]
