"""Tasks that judge an evaluated bundle, log it to MLflow, register it and let the rule decide on it."""

from pathlib import Path

from prefect import State, get_run_logger, task
from prefect.runtime import flow_run
from prefect.states import Completed

from dobble.acceptance import check_model, read_metrics
from dobble.params import load_params
from dobble.published import (
    Publication,
    current_result,
    find_publication,
    record_publication,
    tracking_name,
)
from flows.stages import CACHED, PATIENT


@task(task_run_name="validate the model", **PATIENT)
def validate_model() -> None:
    """Hold the test metrics against `accept` of `params.yaml`; what falls short is not registered."""
    get_run_logger().info(check_model(read_metrics(), load_params().accept))


@task(task_run_name="register", **PATIENT)
def register() -> State[Publication]:
    """Log the result as a run, its bundle as a version, and promote it if the rule says so; give where.

    A result that was registered before, from here and there, is left alone.
    """
    known = find_publication()
    if known is not None:
        return Completed(name=CACHED, message=f"version {known.version} is this result", data=known)
    from dobble.promotion import promote_by_rule  # noqa: PLC0415 - takes seconds
    from dobble.registry import register as register_bundle  # noqa: PLC0415
    from dobble.tracking import log_run  # noqa: PLC0415

    root, logger = Path(), get_run_logger()
    run = log_run(root, flow_run.get_name())
    logger.info("logged as run %s %s", run.name, run.url or "")
    version = register_bundle(run, root)
    logger.info("registered as version %s %s", version.version, version.url or "")
    decision = promote_by_rule(version, root)
    logger.info("%s", decision.reason)
    done = Publication(
        current_result(root),
        tracking_name(),
        run.name,
        run.url,
        version.version,
        version.url,
        decision.reason,
    )
    record_publication(done, root)
    return Completed(message=decision.reason, data=done)
