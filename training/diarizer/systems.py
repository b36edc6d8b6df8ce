"""What can be asked who spoke when: anything that takes a recording and gives turns.

Reads and writes nothing. Does: says what an answer is worth beside the truth, and what it cost.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.diarizer.rttm import Turn
from training.diarizer.summary import Scored, score

RATE = 16000  # Hz, of what every system is given
Wave = np.ndarray  # (samples,) float32


@dataclass(frozen=True)
class System:
    """`system(wave)` -> turns, by names of its own."""

    work: Callable[[Wave], list[Turn]]
    parameters: float = math.nan

    def __call__(self, wave: Wave) -> list[Turn]:
        return self.work(wave)


def asked(
    name: str, system: Callable[[Wave], list[Turn]], wave: Wave, truth: Sequence[Turn],
    recording: str, rate: int = RATE,
) -> Scored:  # fmt: skip
    """Of one recording at so many Hz. The time is that of this process's cores, so that a busy
    machine tells the same."""
    begin = time.process_time()
    found = system(wave)
    spent = time.process_time() - begin
    return score(recording, name, truth, found, len(wave) / rate, spent)
