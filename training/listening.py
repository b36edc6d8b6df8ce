"""A recording as one channel of sound at a given rate, block by block.

Reads: what training/recordings.py reads. Writes nothing. Does: averages the channels, resamples,
counts what was heard; memory does not grow with the recording.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soxr

from training.data.index import DataError
from training.recordings import Recording, blocks, opened

RATES = (4000, 384_000)  # Hz, as for shards; others are no sound but a wrong header
SHORTEST = 0.01  # seconds, as for shards
SILENT = "digital silence"  # what is said of a recording of nothing but zeros

Tick = Callable[[float], object]  # is told the seconds that each block adds


def untold(seconds: float) -> None:
    """Nobody wants to know."""


class Sound:
    """`for block in sound`: (frames,) float32 at `rate`; `seconds` is what was heard so far, and
    `silent` whether all of it was zeros."""

    def __init__(
        self, recording: Recording, source: Path, rate: int, quality: str, tick: Tick
    ) -> None:
        self.recording, self.source, self.tick = recording, source, tick
        self.rate, self.quality, self.frames, self.silent = rate, quality, 0, True

    @property
    def seconds(self) -> float:
        return float(self.frames / self.recording.samplerate)

    def __iter__(self) -> Iterator[np.ndarray]:
        native = self.recording.samplerate
        if native == self.rate:
            yield from self._mono()
            return
        stream = soxr.ResampleStream(native, self.rate, 1, "float32", self.quality)
        for block in self._mono():
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _mono(self) -> Iterator[np.ndarray]:
        for block in blocks(self.recording, self.source):
            self.frames += len(block)
            mono = block.mean(axis=1)
            self.silent = self.silent and not mono.any()
            yield mono
            self.tick(len(block) / self.recording.samplerate)
        if 0 < self.frames < SHORTEST * self.recording.samplerate:
            expected = f"at least {SHORTEST} s"
            got = f"{self.frames} frames at {self.recording.samplerate} Hz"
            raise DataError("too short", self.source, expected, got, "leave it out")


@contextlib.contextmanager
def listened(source: Path, rate: int, quality: str, tick: Tick = untold) -> Iterator[Sound]:
    """A recording to be heard at `rate` Hz; a DataError says why it cannot be."""
    with opened(source) as recording:
        if not RATES[0] <= recording.samplerate <= RATES[1]:
            expected, got = f"{RATES[0]} to {RATES[1]} Hz", recording.samplerate
            raise DataError("no rate of sound", source, expected, got, "look at its header")
        yield Sound(recording, source, rate, quality, tick)
