"""Data from its source to pinned, split and validated photos in the remote."""

from itertools import chain

from prefect import flow

from dobble.paths import DATA
from dobble.pipeline.stages import following, read_stages
from dobble.tracking.finished_result import RESULT_STAGES
from flows.sources import PINNED, Pinned, Source, fetch, pin
from flows.stages import run_stages
from flows.transfer import compare_with_pin, pull, push


@flow
def data(source: Source = PINNED) -> None:
    """Fetch and pin, or take what is pinned; run every stage that comes before training; push.

    Args:
        source: where the labelled photos come from.
    """
    if isinstance(source, Pinned):
        pull()
        compare_with_pin()
    else:
        fetch(source)
        pin()
    stages = read_stages()
    later = following(stages, RESULT_STAGES[0])
    earlier = [stage for stage in stages if stage not in later]
    run_stages(earlier)
    push([str(DATA), *chain.from_iterable(stage.outs for stage in earlier)])
