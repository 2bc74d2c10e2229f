"""What Prefect's pages show of a run: stages, training by epoch, metrics against before, and links."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import (
    create_markdown_artifact,
    create_table_artifact,
)

from dobble.registry.acceptance import read_metrics
from dobble.registry.receipts import Publication

REPORTS = ("evaluation/report/report.html", "validation/deepchecks.html")


@dataclass(frozen=True)
class StageOutcome:
    """A stage's line in the table of a run; `state` is what Prefect's page calls it."""

    stage: str
    state: str
    seconds: float
    cached: bool


def show_stages(outcomes: Sequence[StageOutcome]) -> None:
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
