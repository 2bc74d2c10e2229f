"""Turns what an engine depends on besides its model into a few digits of its file's name."""

import hashlib
import json

from jetson.board.board import Board
from jetson.errors import CudaError
from jetson.runners.cuda import Cuda


def fingerprint(*facts: object) -> str:
    """Return 12 hexadecimal digits of these facts, the board, its L4T release and CUDA.

    Args:
        facts: what else an engine is made from, as JSON can hold it.
    """
    board = Board()
    here = [board.model, board.l4t]
    try:
        cuda = Cuda()
        here += [cuda.version(), cuda.capability()]
    except CudaError:
        pass  # nothing will be built, and whoever tries has a better message
    return hashlib.sha256(json.dumps([here, facts], sort_keys=True).encode("utf-8")).hexdigest()[:12]
