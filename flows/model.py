"""Tasks that judge an evaluated bundle, and publish it: logged to MLflow, registered, decided on by rule."""

from prefect import State, get_run_logger, task
from prefect.runtime import flow_run
from prefect.states import Completed

from dobble.params import load_params
from dobble.registry.acceptance import check_model, read_metrics
from dobble.registry.receipts import Publication, find_publication
from flows.stages import CACHED, PATIENT


@task(task_run_name="validate the model", **PATIENT)
def validate_model() -> None:
    """Hold the test metrics against `accept` of `params.yaml`; what falls short is not registered."""
    get_run_logger().info(check_model(read_metrics(), load_params().accept))


@task(task_run_name="register", **PATIENT)
def register() -> State[Publication]:
    """Publish the result; one that was published before, and is there, is left alone."""
    known = find_publication()
    if known is not None:
        return Completed(name=CACHED, message=f"version {known.version} is this result", data=known)
    from dobble.registry.publish import publish  # noqa: PLC0415 - takes seconds

    done = publish(flow_run=flow_run.get_name(), tell=get_run_logger().info)
    return Completed(message=done.decision, data=done)
