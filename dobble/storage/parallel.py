"""Does one thing to many items at the same time, for work that mostly waits for somebody else."""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def for_each(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int, title: str
) -> list[_Result]:
    """Give the function's result for each item, in order, with a progress bar where somebody sees it.

    The first error stops the rest and is raised. The threads end with the process: an interrupt does not wait
    for an endpoint that no longer answers.
    """
    results: list[_Result | None] = [None] * len(items)
    waiting: SimpleQueue[int | None] = SimpleQueue()
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        while (index := waiting.get()) is not None and not stopped.is_set():
            try:
                results[index] = function(items[index])
            except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
                done.put(error)
            else:
                done.put(None)

    for index in (*range(len(items)), *[None] * workers):
        waiting.put(index)
    try:
        for _ in range(min(workers, len(items))):
            threading.Thread(target=work, daemon=True).start()
        for _ in tqdm(items, desc=title, disable=None, leave=False):
            error = done.get()
            if error is not None:
                raise error
    finally:
        stopped.set()
    return [result for result in results if result is not None]
