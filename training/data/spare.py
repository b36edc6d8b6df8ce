"""Arrays whose memory is used again once nobody else holds them.

Reads and writes nothing. Does: spares a loader the system's fresh pages, each of which is zeroed
first: that takes several times as long as copying into pages that are there.
"""

import sys
from collections import deque

import numpy as np


class Spare:
    """At most `most` arrays of one shape. A new one is made while the oldest is held elsewhere,
    be it as a view, a tensor or a buffer over its memory."""

    def __init__(self, most: int) -> None:
        self.kept: deque[np.ndarray] = deque(maxlen=most)

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with anything in it."""
        self.kept.rotate(-1)
        # Two: the deque's reference and the argument's. Whoever has none cannot make one.
        if self.kept and sys.getrefcount(self.kept[-1]) == 2:
            found = self.kept[-1]
            if (found.shape, found.dtype) == (shape, dtype):
                return found
        made = np.empty(shape, dtype)
        self.kept.append(made)
        return made
