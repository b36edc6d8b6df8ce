"""Opens one untrusted audio file and streams it, decoded once, as blocks of mono samples.

Reads: one regular file, through one descriptor from the first check to the last sample. Does:
checks its header, decodes with libsndfile (or PyAV for the containers libsndfile lacks), averages
channels, and checks samples and counts. Writes nothing; a bad file raises `Rejected`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.audio.headers import PYAV_FAMILIES, inspect
from pipeline.audio.pyav import PyavSource, pyav_versions
from pipeline.audio.sndfile import BLOCK, SndfileSource, sndfile_versions
from pipeline.errors import Rejected

__all__ = [
    "BLOCK",
    "EXTENSIONS",
    "Limits",
    "Reader",
    "Sound",
    "library_versions",
    "open_sound",
    "probe",
]

_SNDFILE = ".wav .wave .rf64 .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .w64 .caf .au .snd .sph"
_PYAV = ".m4a .m4b .aac .mp4 .mov .webm .mkv .mka .wma .amr .3gp"
EXTENSIONS = frozenset(f"{_SNDFILE} {_PYAV}".split())
_FULL_SCALE = 8.0  # +18 dBFS: room for any float recording, none for a wrong scale


@dataclass(frozen=True)
class Limits:
    """What one file may ask of us.

    `ratio` is decoded bytes (float32, all channels) over file bytes. Silence in FLAC reaches 1200
    and stays honest up to `free_bytes` (an hour of 48 kHz, 6 channels); only beyond it is a file
    that expands more than `ratio` times a bomb.
    """

    seconds: float = 86400.0
    shortest: float = 0.01  # seconds
    channels: int = 64
    lowest_rate: int = 4000  # Hz
    highest_rate: int = 384000  # Hz
    ratio: float = 1000.0
    free_bytes: int = 4 << 30


DEFAULT = Limits()


@dataclass(frozen=True)
class Sound:
    """What a file holds. `frames` is None where nothing declares the length."""

    codec: str
    rate: int
    channels: int
    frames: int | None
    store: str  # "int16" where that loses nothing, else "float32"


class Reader:
    """One open file. `blocks` may be run once; after its last block all checks have passed."""

    def __init__(self, fd: int, limits: Limits) -> None:
        self._fd, self._limits = fd, limits
        self._source: Any = None
        try:
            self._stat = os.fstat(fd)
            if not stat.S_ISREG(self._stat.st_mode):
                raise Rejected("not_regular", "a folder, pipe or device")
            claim = inspect(fd, self._stat.st_size)
            kind = PyavSource if claim.family in PYAV_FAMILIES else SndfileSource
            self._source = opened = kind(fd, claim)
            store = "int16" if opened.dtype == "int16" else "float32"
            self.sound = Sound(opened.codec, opened.rate, opened.channels, opened.frames, store)
            self._check_sound()
        except BaseException:
            self.close()
            raise

    def _check_sound(self) -> None:
        sound, limits = self.sound, self._limits
        if not limits.lowest_rate <= sound.rate <= limits.highest_rate:
            span = f"{limits.lowest_rate} to {limits.highest_rate} Hz"
            raise Rejected("bad_rate", f"expected {span}, got {sound.rate} Hz")
        if sound.channels > limits.channels:
            expected = f"expected at most {limits.channels}"
            raise Rejected("too_many_channels", f"{expected}, got {sound.channels}")
        if sound.frames is not None:
            self._check_length(sound.frames)
            self._check_shortest(sound.frames)

    def _check_length(self, frames: int) -> None:
        sound, limits = self.sound, self._limits
        if frames > limits.seconds * sound.rate:
            got = f"{frames / sound.rate:.0f} s"
            raise Rejected("too_long", f"expected at most {limits.seconds:.0f} s, got {got}")
        decoded = frames * sound.channels * 4
        if decoded > max(limits.free_bytes, limits.ratio * self._stat.st_size):
            detail = f"{self._stat.st_size} bytes expand to {decoded}, over {limits.ratio:.0f}x"
            raise Rejected("too_long", detail)

    def _check_shortest(self, frames: int) -> None:
        if not frames:
            raise Rejected("empty", "a header without audio")
        if frames < self._limits.shortest * self.sound.rate:
            raise Rejected(
                "too_short",
                f"expected at least {self._limits.shortest} s, got {frames} frames "
                f"at {self.sound.rate} Hz",
            )

    def blocks(self) -> Iterator[np.ndarray]:
        """(frames,) int16 or float32 blocks of mono, as `sound.store` says; raises `Rejected`."""
        done = 0
        for chunk in self._source.chunks():
            self._check_length(done + len(chunk))
            if not self._source.bounded:
                _check_samples(chunk, done)
            done += len(chunk)
            yield _mono(chunk)
        self._check_end(done)

    def _check_end(self, done: int) -> None:
        declared, slack = self.sound.frames, self._source.slack
        if declared is not None and done < declared - slack:
            raise Rejected("truncated", f"{declared} frames declared, {done} decoded")
        self._check_shortest(done)
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise Rejected("changed", "written to while it was read")

    def close(self) -> None:
        """Give the decoder and the descriptor back; may be called twice."""
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _check_samples(chunk: np.ndarray, before: int) -> None:
    low, high = chunk.min(), chunk.max()  # NaN spreads through both
    if low >= -_FULL_SCALE and high <= _FULL_SCALE:
        return
    rows = chunk.reshape(len(chunk), -1)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise Rejected("not_finite", f"first at frame {before + int(np.argmin(finite))}")
    at = int(np.argmax((np.abs(rows) > _FULL_SCALE).any(axis=1)))
    raise Rejected("out_of_range", f"{np.abs(rows[at]).max():g} at frame {before + at}")


def _mono(chunk: np.ndarray) -> np.ndarray:
    """Average of the channels, summed in channel order in float32."""
    if chunk.dtype == np.int16:
        return chunk
    chunk = chunk.astype(np.float32, copy=False)
    if chunk.ndim == 1:
        return chunk
    total = chunk[:, 0].copy()
    for channel in range(1, chunk.shape[1]):
        total += chunk[:, channel]
    total /= np.float32(chunk.shape[1])
    return total


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        codes = {errno.ELOOP: "not_regular", errno.ENXIO: "not_regular", errno.ENOENT: "missing"}
        code = codes.get(error.errno or 0, "unreadable")
        raise Rejected(code, os.strerror(error.errno or 0)) from None


def open_sound(path: Path, limits: Limits = DEFAULT) -> Reader:
    """Open a file and check all that its header allows; raises `Rejected`."""
    return Reader(_open(path), limits)


def probe(path: Path, limits: Limits = DEFAULT) -> Sound:
    """Header only; raises `Rejected`."""
    with open_sound(path, limits) as reader:
        return reader.sound


def library_versions() -> dict[str, str]:
    """Of everything that decides what samples a file gives."""
    return sndfile_versions() | pyav_versions()
