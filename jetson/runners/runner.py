"""What every runtime offers: a batch in, scores and boxes out."""

from types import TracebackType
from typing import Callable, List, Optional, Sequence, Tuple, Type, TypeVar

from jetson.arrays import Array

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Runner:
    """Runs one bundle's network on one runtime; use it in a `with` block and from one thread only.

    Attributes:
        name: as in `RUNNERS`.
        opened_at: since when it answers, on the monotonic clock; in the future while it still opens.
    """

    name = "none"
    opened_at = float("-inf")

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def infer(self, batch: Array) -> Tuple[Array, Array]:
        """Run the network on float32 [1, 3, S, S].

        Returns:
            scores float32 [A, 1 + C] (column 0 is the background) and boxes float32 [A, 4], xyxy in [0, 1].
        """
        raise NotImplementedError

    def each(self, call: Callable[[Item], Answer], items: Sequence[Item]) -> List[Answer]:
        """Call for every item, at the same time where the runtime can infer from several threads at once."""
        return [call(item) for item in items]

    def close(self) -> None:
        """Give back what the runtime holds."""
