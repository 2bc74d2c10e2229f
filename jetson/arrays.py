"""Names numpy's array type once, for annotations that Python 3.6 and a strict type checker both accept."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
else:
    Array = np.ndarray  # numpy on the device is older than generic arrays
