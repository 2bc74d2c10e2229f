"""What Prefect's pages show of a run: stages, training by epoch, metrics against before, and links."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run

from dobble.params import load_params
from dobble.registry.acceptance import read_metrics
from dobble.registry.receipts import Publication
from dobble.tracking.finished_result import EpochMetrics
from dobble.tracking.running_training import open_live_run, watch_epochs

if TYPE_CHECKING:
    from uuid import UUID

    from flows.stages import StageOutcome

REPORTS = ("evaluation/report/report.html", "validation/deepchecks.html")


def show_stages(outcomes: Sequence["StageOutcome"]) -> None:
    """Show a table of stages with state and seconds."""
    rows = [
        {
            "stage": one.stage,
            "state": one.state,
            "seconds": round(one.seconds, 1),
            "cached": "yes" if one.cached else "no",
        }
        for one in outcomes
    ]
    create_table_artifact(rows, key="stages", description="Stages of this run")


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


def show_metrics(before: dict[str, float]) -> None:
    """Show the test metrics against those of before."""
    lines = ["| metric | now | before | change |", "|---|---:|---:|---:|"]
    for name, value in read_metrics().items():
        old = before.get(name)
        beside = "| |" if old is None else f"{old:.4g} | {value - old:+.4g} |"
        lines.append(f"| {name} | {value:.4g} | {beside}")
    create_markdown_artifact("\n".join(lines), key="metrics", description="Test metrics against before")


def show_links(published: Publication) -> None:
    """Show where run, version and reports are, and what the rule decided."""
    page = published.run_page
    links = [(f"run {published.run}", page), (f"version {published.version}", published.version_page)]
    for report in REPORTS:
        if (Path("build") / report).is_file():
            local = (Path("build") / report).absolute().as_uri()
            links.append((report, local if page is None else f"{page}/artifacts/{report}"))
    text = "\n".join(f"- {name}" if to is None else f"- [{name}]({to})" for name, to in links)
    create_markdown_artifact(f"{text}\n\n{published.decision}", key="links", description="MLflow, reports")
