"""Streams audio from the containers that libsndfile lacks, through the optional package PyAV.

Reads: an open descriptor. Does: decodes the first audio track with one named demuxer, so that no
playlist or link inside a file can make the decoder open another one. Writes nothing.
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.audio.headers import Claim
from pipeline.errors import Rejected

_BLOCK = 131072  # frames gathered from the decoder's packets before they are handed on
_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "flt": 1.0, "dbl": 1.0}
_COUNTED = ("mov", "matroska", "asf")  # the others only estimate their length from the bit rate


class PyavSource:
    """PyAV on our descriptor, in the shape of the libsndfile source."""

    dtype = "float32"
    bounded = False

    def __init__(self, fd: int, claim: Claim) -> None:
        try:
            import av
        except ImportError:
            raise Rejected(
                "unsupported",
                f"{claim.family} is read by PyAV: .venv/bin/pip install av, or convert to FLAC",
            ) from None
        self._error: type[Exception] = av.FFmpegError
        self._file = open(fd, "rb", buffering=0, closefd=False)  # noqa: SIM115
        self._file.seek(0)
        try:
            self._box: Any = av.open(self._file, format=claim.family, metadata_errors="ignore")
        except av.FFmpegError as error:
            raise Rejected("bad_header", f"{claim.family}: {error.strerror}") from None
        if not self._box.streams.audio:
            self._box.close()
            raise Rejected("not_audio", f"{claim.family} without an audio track")
        self._track = self._box.streams.audio[0]
        context = self._track.codec_context
        if context is None:
            self._box.close()
            raise Rejected("unsupported", f"{claim.family} with a track that no decoder knows")
        context.thread_count = 1
        self.codec = f"{claim.family}/{context.name}".upper()
        self.rate, self.channels = int(context.sample_rate or 0), int(context.channels or 0)
        # Padding at both ends is one or two codec frames (2048 at most); clocks tick in ms.
        self.slack = max(4096, self.rate // 20)
        self.frames = self._declared() if claim.family in _COUNTED else None

    def _declared(self) -> int | None:
        if self._track.duration and self._track.time_base:
            return int(self._track.duration * self._track.time_base * self.rate)
        if self._box.duration:
            return int(self._box.duration * self.rate // 1_000_000)
        return None

    def chunks(self) -> Iterator[np.ndarray]:
        """(frames, channels) float32, or (frames,) for one channel."""
        held: list[np.ndarray] = []
        count = 0
        try:
            for frame in self._box.decode(self._track):
                held.append(self._samples(frame))
                count += len(held[-1])
                if count >= _BLOCK:
                    yield np.concatenate(held)
                    held, count = [], 0
        except self._error as error:
            raise Rejected("decoder_error", str(error)) from None
        if held:
            yield np.concatenate(held)

    def _samples(self, frame: Any) -> np.ndarray:
        if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
            raise Rejected("bad_header", "rate or channels change inside the file")
        kind = frame.format.name.removesuffix("p")
        if kind not in _SCALE:
            raise Rejected("unsupported", f"samples of the kind {frame.format.name}")
        raw = frame.to_ndarray()
        rows = raw.T if frame.format.is_planar else raw.reshape(-1, self.channels)
        rows = rows.astype(np.float32)
        if kind == "u8":
            rows -= np.float32(128.0)
        rows /= np.float32(_SCALE[kind])
        return rows[:, 0] if self.channels == 1 else rows

    def close(self) -> None:
        self._box.close()
        self._file.close()


def pyav_versions() -> dict[str, str]:
    """PyAV's version, where it is installed; its wheels fix the FFmpeg inside."""
    try:
        return {"av": importlib.metadata.version("av")}
    except importlib.metadata.PackageNotFoundError:
        return {}
