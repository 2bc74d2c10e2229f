"""The whole way, from the source of the photos to a registered bundle."""

from prefect import flow

from flows.data import data
from flows.sources import PINNED, Source
from flows.training import training


@flow
def pipeline(source: Source = PINNED) -> None:
    """Run `data`, then `training`.

    Args:
        source: where the labelled photos come from.
    """
    data(source)
    training()
