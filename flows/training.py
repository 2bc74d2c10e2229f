"""Pinned data to a trained, judged and registered bundle."""

from typing import Any

from prefect import State, flow

from dobble.pipeline.stages import read_stages
from dobble.registry.acceptance import read_metrics
from dobble.tracking.finished_result import RESULT_STAGES
from flows.artifacts import show_links, show_metrics
from flows.model import register, validate_model
from flows.other_machine import sent_to
from flows.stages import run_stages
from flows.transfer import compare_with_pin, pull, push


@flow
def training(train_on: str | None = None, worker_minutes: float = 15.0) -> None:
    """Pull, run every stage that is not up to date, judge the model, register it, push.

    Stages before the training have nothing to do unless their code or parameters changed. A result that
    MLflow cannot take is pushed all the same; `dobble log` logs it later.

    Args:
        train_on: work pool whose worker trains, on another machine for example; None trains here.
        worker_minutes: how long to wait for such a worker to begin.
    """
    before = read_metrics()
    pull()
    compare_with_pin()
    train = RESULT_STAGES[0]
    elsewhere = {} if train_on is None else {train: sent_to(train_on, worker_minutes * 60)}
    run_stages(read_stages(), elsewhere)
    show_metrics(before)
    validate_model()
    registered: State[Any] = register(return_state=True)
    push()
    show_links(registered.result())
