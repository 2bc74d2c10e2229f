"""Follows a training while it runs: its epochs on Prefect's page and in MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run

from dobble.params import load_params
from dobble.tracking.finished_result import EpochMetrics
from dobble.tracking.running_training import open_live_run, watch_epochs

if TYPE_CHECKING:
    from uuid import UUID


@contextmanager
def epochs_shown() -> Iterator[None]:
    """Show every epoch of a training within the block as progress, and log it to MLflow as it happens."""
    epochs = load_params().train.epochs
    artifact: UUID | None = None

    def show(epoch: EpochMetrics) -> None:
        nonlocal artifact
        live.log_epoch(epoch)
        share = 100 * epoch.epoch / epochs
        said = ", ".join(f"{name} {value:.3f}" for name, value in epoch.metrics.items())
        said = f"epoch {epoch.epoch} of {epochs}: {said}"
        if artifact is None:
            made: Any = create_progress_artifact(share, key="training", description=said)
            artifact = made
        else:
            update_progress_artifact(artifact, share, said)

    with open_live_run(Path(), flow_run.get_name()) as live, watch_epochs(Path(), show):
        yield
