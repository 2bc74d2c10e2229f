"""Pinned data to a trained, judged and registered bundle."""

from typing import Any

from prefect import State, flow

from dobble.acceptance import read_metrics
from dobble.stages import read_stages
from flows.model import register, validate_model
from flows.pages import show_links, show_metrics
from flows.stages import run_stages
from flows.transfer import compare_with_pin, pull, push


@flow
def training() -> None:
    """Pull, run every stage that is not up to date, judge the model, register it, push.

    Stages before the training have nothing to do unless their code or parameters changed. A result that
    MLflow cannot take is pushed all the same; `dobble log` logs it later.
    """
    before = read_metrics()
    pull()
    compare_with_pin()
    run_stages(read_stages())
    show_metrics(before)
    validate_model()
    registered: State[Any] = register(return_state=True)
    push()
    show_links(registered.result())
