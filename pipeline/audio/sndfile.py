"""libsndfile as a source of sample blocks, on a descriptor that is already open.

Reads: one open file. Does: decodes it in order, in the narrowest type that loses nothing. Writes
nothing; what libsndfile refuses raises `Rejected`.
"""

import errno
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile as sf

from pipeline.audio.headers import Claim
from pipeline.errors import Rejected

BLOCK = 262144  # samples of all channels together in one read: 1 MiB of float32
_LOSSLESS = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW"})  # G.711 decodes to 16 bits
_UNKNOWN = 2**63 - 1  # SF_COUNT_MAX, what libsndfile gives for "not declared"


class _Sequential(sf.SoundFile):
    """soundfile seeks after each read, which costs time and disturbs MP3; this never seeks."""

    def seekable(self) -> bool:
        return False


class _Unsized(io.RawIOBase):
    """The file from `start` on, with an endless size.

    libsndfile guesses the length of MPEG audio that declares none from its size, and stops there
    (a variable-rate file lost half its samples so). With no size to guess from it reads to the end.
    """

    def __init__(self, fd: int, start: int) -> None:
        self._fd, self._start, self._at = fd, start, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        # The bare end is asked for to learn the size; offsets from it look for a tag there.
        end = os.fstat(self._fd).st_size - self._start if offset else 1 << 40
        self._at = (0, self._at, end)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._fd, [buffer], self._start + self._at)
        self._at += count
        return count

    def write(self, data: Any) -> int:
        raise OSError(errno.EBADF, "opened for reading")


class SndfileSource:
    """libsndfile on our descriptor."""

    def __init__(self, fd: int, claim: Claim) -> None:
        self._fd = fd
        os.lseek(fd, claim.start, os.SEEK_SET)
        try:
            source = fd if claim.counted else _Unsized(fd, claim.start)
            self._file = _Sequential(source, closefd=False)
        except sf.LibsndfileError as error:
            raise Rejected(_open_code(error), error.error_string) from None
        file, subtype = self._file, self._file.subtype
        self.codec = f"{file.format}/{subtype}"
        self.rate, self.channels = file.samplerate, file.channels
        self.frames = file.frames if claim.counted and file.frames < _UNKNOWN else None
        self.slack = claim.slack
        self.bounded = subtype.startswith("PCM_") or subtype in _LOSSLESS
        self.dtype = "float64" if subtype == "DOUBLE" else "float32"
        if self.channels == 1 and subtype in _LOSSLESS:
            self.dtype = "int16"

    def chunks(self) -> Iterator[np.ndarray]:
        """Samples in file order: (frames,) for one channel, else (frames, channels)."""
        done, step = 0, max(BLOCK // self.channels, 1)
        wide = (self.channels,) if self.channels > 1 else ()
        while self.frames is None or done < self.frames:
            count = step if self.frames is None else min(step, self.frames - done)
            try:
                chunk = self._file.read(out=np.empty((count, *wide), self.dtype))
            except sf.LibsndfileError as error:
                at, size = os.lseek(self._fd, 0, os.SEEK_CUR), os.fstat(self._fd).st_size
                code = "truncated" if at >= size else "decoder_error"
                raise Rejected(code, f"after frame {done}: {error.error_string}") from None
            if not len(chunk):
                return
            done += len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


def _open_code(error: sf.LibsndfileError) -> str:
    text = error.error_string
    if "Too many channels" in text:
        return "too_many_channels"
    return "unsupported" if "unimplemented" in text else "bad_header"


def sndfile_versions() -> dict[str, str]:
    """Of the binding and of the C library, which decides the samples."""
    return {"soundfile": sf.__version__, "libsndfile": sf.__libsndfile_version__}
