"""New labels to a new model, and nothing where there are none."""

from prefect import State, flow
from prefect.states import Completed

from dobble.pipeline.made_of_data import is_made_of_pinned_data
from flows.data import data
from flows.sources import PINNED, Source
from flows.training import training


@flow
def nightly(source: Source = PINNED) -> State[None]:
    """Fetch, and train only if the pinned data is not what the last training was made of.

    Args:
        source: where the labelled photos come from.
    """
    data(source)
    if is_made_of_pinned_data():
        return Completed(message="no new data: nothing to train")
    training()
    return Completed(message="trained on new data")
