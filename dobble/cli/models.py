"""The verbs that log results to MLflow and choose among registered bundles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dobble.registry.versions import Succession

MODELS = "Runs and models in MLflow"
_METRICS = ("mAP", "mAP50", "accuracy", "game.simple", "game.joint", "game.deck")
app = typer.Typer()


@app.command(rich_help_panel=MODELS)
def log(
    *,
    experiments: Annotated[
        bool, typer.Option("--experiments", help="Log what `dvc exp run` has done instead of build/.")
    ] = False,
) -> None:
    """Log what lies in build/, also later; a result that is logged stays the run that it is."""
    if experiments:
        from dobble.tracking.experiments import log_experiments

        done = log_experiments()
        for run in done:
            print(f"experiment {run.name}: {run.url or run.run_id}")
        if not done:
            print("no experiment has come to a result; `dvc exp run` makes one")
        return
    from dobble.tracking.runs import log_run

    run = log_run()
    print(f"run {run.name}: {run.url or run.run_id}")


@app.command(rich_help_panel=MODELS)
def register() -> None:
    """Judge what lies in build/ by `accept`, log it, register its bundle, and promote it if it wins."""
    from dobble.registry.publish import publish

    publish(tell=print)


@app.command(rich_help_panel=MODELS)
def models() -> None:
    """List the registered bundles with their test metrics."""
    from dobble.registry.versions import versions

    found = versions()
    if not found:
        print("no bundle is registered yet: `dobble register` does it")
        return
    shown = [name for name in _METRICS if any(name in one.metrics for one in found)]
    rows = [("version", "alias", "registered", *shown, "run")]
    for one in found:
        values = (f"{one.metrics[name]:.4f}" if name in one.metrics else "" for name in shown)
        alias = ", ".join(one.aliases)
        rows.append((one.version, alias, f"{one.created:%Y-%m-%d %H:%M}", *values, one.run))
    _print_table(rows)


@app.command(rich_help_panel=MODELS)
def promote(
    version: Annotated[str, typer.Argument(help="Number of the version, see `dobble models`.")],
) -> None:
    """Make a version the champion by hand."""
    from dobble.registry.versions import promote as run

    _print_succession(run(version))


@app.command(rich_help_panel=MODELS)
def rollback() -> None:
    """Make the champion before the present one champion again."""
    from dobble.registry.versions import rollback as run

    _print_succession(run())


@app.command(rich_help_panel=MODELS)
def compare(
    first: Annotated[str, typer.Argument(help="Name or id of a run, a version, an alias or an experiment.")],
    second: Annotated[str, typer.Argument(help="What to compare it with.")],
) -> None:
    """Show parameters and metrics of two runs side by side, what differs first."""
    from dobble.registry.comparison import compare as run

    done = run(first, second)
    rows: list[Sequence[str]] = [("", *done.names, "difference")]
    rows += [(row.name, row.first or "", row.second or "", "") for row in done.changed]
    for metric in done.metrics:
        lead = "" if metric.difference is None else f"{metric.difference:+.4g}"
        rows.append((metric.name, _number(metric.first), _number(metric.second), lead))
    _print_table(rows)
    print("the same in both:")
    _print_table([(row.name, row.first or "") for row in done.same])
    if done.url is not None:
        print(done.url)


def _print_succession(done: "Succession") -> None:
    before = "the first" if done.before is None else f"before it was version {done.before}"
    print(f"version {done.champion} is champion, {before}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of as many cells each in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
