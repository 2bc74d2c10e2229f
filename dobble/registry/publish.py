"""Takes an evaluated result to MLflow: judged by its limits, logged, registered, and decided on by rule."""

from collections.abc import Callable
from pathlib import Path

from dobble.params import load_params
from dobble.paths import PARAMS
from dobble.registry.acceptance import check_model, read_metrics
from dobble.registry.promotion import promote_by_rule
from dobble.registry.receipts import Publication, publication_key, record_publication
from dobble.registry.versions import register
from dobble.tracking.runs import log_run


def publish(
    root: Path = Path(),
    *,
    flow_run: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Publication:
    """Publish what lies in `build/`; what is published already stays the run and the version that it is.

    Args:
        root: folder of the project.
        flow_run: name or address of the Prefect flow run.
        tell: given a line for each step.

    Raises:
        ModelRejectedError: if the result falls short of `accept`; nothing is registered.
        MissingInputError: if a stage has not run.
        StaleResultError: if `build/` is not what `dvc.lock` says.
        jetson.errors.BundleError: if the bundle is damaged.
        TrackingError: if MLflow is away or refuses; the same call goes on later.
    """
    key = publication_key(root)
    tell(check_model(read_metrics(root), load_params(root / PARAMS).accept))
    run = log_run(root, flow_run)
    tell(f"logged as run {run.name} {run.url or ''}".rstrip())
    version = register(run, root)
    how = "new" if version.is_new else "was registered before"
    tell(f"{version.name} version {version.version}: {how} {version.url or ''}".rstrip())
    decision = promote_by_rule(version, root)
    tell(decision.reason)
    done = Publication(key, run.name, run.url, version.version, version.url, decision.reason)
    record_publication(done, root)
    return done
