"""Tasks that bring what is pinned from the remote, compare it with what is here, and send results."""

from collections.abc import Sequence
from pathlib import Path

from prefect import State, get_run_logger, task
from prefect.states import Completed

from dobble.paths import DATA
from dobble.storage.errors import RemoteError
from dobble.storage.pins import check_pinned, outputs
from dobble.storage.remote import pull as pull_pinned
from dobble.storage.remote import push as push_pinned
from flows.stages import CACHED, PATIENT


@task(task_run_name="pull", **PATIENT)
def pull() -> State[None]:
    """Bring what is pinned and not here; with `data/` here, stages can make the rest again.

    Raises:
        RemoteError: if `data/` is not here and cannot be had.
    """
    missing = [output.path for output in outputs() if not Path(output.path).exists()]
    if not missing:
        return Completed(name=CACHED, message="all that is pinned is here")
    logger = get_run_logger()
    logger.info("pulling %s", ", ".join(missing))
    try:
        remote = pull_pinned()
    except RemoteError as error:
        if str(DATA) in missing:
            raise
        logger.warning("stages will run again for what could not be pulled: %s", error)
        return Completed(message="not pulled; stages make it again")
    return Completed(message=f"pulled from {remote}")


@task(task_run_name="compare with data.dvc", **PATIENT)
def compare_with_pin() -> None:
    """Refuse to go on with data that `data.dvc` does not pin, since DVC would pin it unasked."""
    check_pinned()
    get_run_logger().info("%s is what is pinned", DATA)


@task(task_run_name="push", **PATIENT)
def push(paths: Sequence[str] = ()) -> State[None]:
    """Send data, results and the run cache to the remote; what is there already is not sent again.

    Args:
        paths: pinned files and folders, if `dvc.lock` also names what other stages left, perhaps elsewhere.
    """
    done = push_pinned(paths=paths)
    if done.objects == 0:
        return Completed(name=CACHED, message=f"{done.remote} has everything")
    return Completed(message=done.describe())
