"""Puts parameters and metrics of two runs side by side, what differs first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dobble.registry.versions import CANDIDATE, CHAMPION, NAME, aliases, find_version, run_of
from dobble.tracking.errors import RunNotFoundError, VersionError
from dobble.tracking.mlflow_client import Mlflow, open_mlflow
from dobble.tracking.runs import EXPERIMENT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class ParamRow:
    """A parameter in two runs; None where a run does not have it."""

    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class MetricRow:
    """A metric in two runs; None where a run does not have it."""

    name: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """By how much the second is higher, None if one does not have it."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side; `url` is MLflow's own page of both, None if no server shows it."""

    names: tuple[str, str]
    changed: list[ParamRow]
    same: list[ParamRow]
    metrics: list[MetricRow]
    url: str | None


def compare(first: str, second: str, root: Path = Path()) -> Comparison:
    """Compare two runs, each given by its name or id, a version, an alias, or the name of an experiment.

    Raises:
        RunNotFoundError, VersionError: naming what is not there.
        TrackingError: if MLflow is away or refuses.
    """
    with open_mlflow(root) as mlflow:
        one, other = (_find(mlflow, name) for name in (first, second))
        page = mlflow.compare_page([one.info.run_id, other.info.run_id])
    params = [
        ParamRow(name, one.data.params.get(name), other.data.params.get(name))
        for name in sorted(one.data.params.keys() | other.data.params.keys())
    ]
    metrics = [
        MetricRow(name, one.data.metrics.get(name), other.data.metrics.get(name))
        for name in sorted(one.data.metrics.keys() | other.data.metrics.keys())
    ]
    return Comparison(
        names=(one.info.run_name, other.info.run_name),
        changed=[row for row in params if row.first != row.second],
        same=[row for row in params if row.first == row.second],
        metrics=sorted(metrics, key=lambda row: (row.first == row.second, row.name)),
        url=page,
    )


def _find(mlflow: Mlflow, name: str) -> "Run":
    number = name.removeprefix(f"{NAME}/")
    if name in {CANDIDATE, CHAMPION}:
        number = aliases(mlflow).get(name, "")
        if not number:
            raise VersionError(f"no version is {name}: `dobble models` lists those that there are")
    if number.isdecimal():
        return mlflow.client.get_run(run_of(find_version(mlflow, number)))
    if "'" not in name and "`" not in name:
        for attribute in ("attributes.run_id", f"tags.`{EXPERIMENT_TAG}`", "attributes.run_name"):
            found = mlflow.client.search_runs(
                [mlflow.experiment_id],
                f"{attribute} = '{name}'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
            if found:
                return found[0]
    raise RunNotFoundError(name)
