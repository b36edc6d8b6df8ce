"""Sealed packs of decoded audio: mono, native rate, int16 where that loses nothing, else float32.

Reads: a pack, any range of any recording in it, at any rate. Does: resamples on the way out, in
fixed 60 s pieces, so that a sample's value does not depend on who asks for it. Writes: one pack.

Layout: MAGIC, samples, footer (JSON), footer length (u64), sha256 of the footer, MAGIC. The footer
carries a CRC-32C for each block of samples, checked whenever the block is read: the CRC that a
processor has an instruction for takes a quarter of the time of zlib's.
"""

import functools
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import google_crc32c
import numpy as np
import soxr

from pipeline.disk.store import Sink, dump_json
from pipeline.errors import MelmillError

MAGIC = b"MELPCM1\n"
TRAILER = struct.Struct("<Q32s8s")
BLOCK = 1 << 16  # samples under one checksum: what a short read must at least fetch
PIECE = 60  # seconds resampled at once: bounds memory to about 35 MB at 48 kHz
MARGIN = 1  # seconds of neighbours on both sides, far longer than soxr's filters
DTYPES: dict[str, np.dtype[Any]] = {"int16": np.dtype("<i2"), "float32": np.dtype("<f4")}


@dataclass(frozen=True)
class Recording:
    """One recording's place in a pack."""

    offset: int  # bytes from the start of the pack
    frames: int  # samples at the native rate
    rate: int  # Hz
    dtype: str  # int16 or float32
    codec: str  # what it was decoded from
    crc: tuple[int, ...]  # CRC-32C of each block
    narrow: tuple[int, ...] = ()  # of float32: the same as int16, if that holds every sample

    @classmethod
    def from_row(cls, row: list[Any]) -> "Recording":
        offset, frames, rate, dtype, codec, crc, narrow = row
        return cls(offset, frames, rate, dtype, codec, tuple(crc), tuple(narrow))

    def sound(self) -> tuple[Any, ...]:
        """Equal for equal samples of any width (up to a chance of 2^-32 a block; callers check)."""
        stored = ("int16", self.narrow) if self.narrow else (self.dtype, self.crc)
        return self.rate, self.frames, *stored


class PackWriter:
    """Streams recordings into an open sink; nothing is held but one block."""

    def __init__(self, sink: Sink, key: str, decoder: str) -> None:
        self.sink = sink
        self.head = {"key": key, "decoder": decoder}
        self.recordings: dict[str, Recording] = {}
        self.rejected: dict[str, tuple[str, str]] = {}
        sink.write(MAGIC)

    def add(self, ident: str, rate: int, codec: str, dtype: str, blocks: Iterable[Any]) -> int:
        """Append one recording; if `blocks` raises, what was written of it is taken back."""
        offset, frames, crc, narrow = self.sink.size, 0, list[int](), list[int]()
        try:
            for block in self._whole(blocks, DTYPES[dtype]):
                frames += len(block)
                if dtype == "float32" and len(narrow) == len(crc):  # all before would fit
                    narrow += _narrow(block)
                crc.append(self._write(block))
        except BaseException:
            self.sink.rewind(offset)
            raise
        whole = tuple(narrow) if len(narrow) == len(crc) else ()
        self.recordings[ident] = Recording(offset, frames, rate, dtype, codec, tuple(crc), whole)
        return frames

    def _whole(self, blocks: Iterable[Any], kind: np.dtype[Any]) -> Iterator[np.ndarray]:
        """The same samples in blocks of BLOCK, the last one shorter."""
        rest = np.empty(0, kind)
        for block in blocks:
            block = block.astype(kind, copy=False)
            block = np.concatenate([rest, block]) if len(rest) else block
            whole = len(block) - len(block) % BLOCK
            for start in range(0, whole, BLOCK):
                yield block[start : start + BLOCK]
            rest = block[whole:]
        if len(rest):
            yield rest

    def _write(self, block: np.ndarray) -> int:
        data = block.tobytes()
        self.sink.write(data)
        return int(google_crc32c.value(data))

    def close(self) -> None:
        table = {name: list(vars(r).values()) for name, r in self.recordings.items()}
        footer = dump_json({**self.head, "recordings": table, "rejected": self.rejected})
        self.sink.write(footer)
        self.sink.write(TRAILER.pack(len(footer), hashlib.sha256(footer).digest(), MAGIC))


def _narrow(block: np.ndarray) -> list[int]:
    """The CRC-32C of these samples as int16; none if 16 bits do not hold them."""
    for part in (block[:256], block):  # most others are told at once
        wide = part * np.float32(32768)
        held = wide.clip(-32768, 32767).astype("<i2")
        if not np.array_equal(held, wide):
            return []
    return [int(google_crc32c.value(held.tobytes()))]


class Pack:
    """A sealed pack, opened for reading."""

    # The piece resampled last, of any pack: windows are read in order, so one is enough.
    _last: ClassVar[tuple[Any, np.ndarray] | None] = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.sha256 = ""  # of the footer, which holds the checksums of all else
        footer = self._footer()
        self.key: str = footer["key"]
        self.decoder: str = footer["decoder"]
        self.rejected = {i: (why, detail) for i, (why, detail) in footer["rejected"].items()}
        self.recordings = {i: Recording.from_row(row) for i, row in footer["recordings"].items()}

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.descriptor >= 0:  # `os` may be gone when a program ends
            close(self.descriptor)

    def _footer(self) -> dict[str, Any]:
        size = os.fstat(self.descriptor).st_size
        tail = os.pread(self.descriptor, TRAILER.size, max(0, size - TRAILER.size))
        if len(tail) == TRAILER.size:
            length, sha, magic = TRAILER.unpack(tail)
            if magic == MAGIC and length <= size - TRAILER.size - len(MAGIC):
                footer = os.pread(self.descriptor, length, size - TRAILER.size - length)
                head = os.pread(self.descriptor, len(MAGIC), 0)
                if head == MAGIC and hashlib.sha256(footer).digest() == sha:
                    self.sha256 = sha.hex()
                    return dict(json.loads(footer))
        raise self._damaged("its footer")

    def _damaged(self, what: str) -> MelmillError:
        return MelmillError(
            f"damaged decoded audio ({what})",
            where=self.path,
            do="delete this file; the next run decodes just these recordings again",
        )

    def raw(self, ident: str, first_block: int, last_block: int) -> np.ndarray:
        """Blocks [first, last) as stored, each checked against its CRC."""
        r = self.recordings[ident]
        width = DTYPES[r.dtype].itemsize
        start = first_block * BLOCK
        count = min(last_block * BLOCK, r.frames) - start
        data = os.pread(self.descriptor, count * width, r.offset + start * width)
        view = memoryview(data)
        for i in range(first_block, last_block):
            at = (i - first_block) * BLOCK * width
            if google_crc32c.value(bytes(view[at : at + BLOCK * width])) != r.crc[i]:
                raise self._damaged(f"block {i} of recording {ident[:16]}")
        return np.frombuffer(data, DTYPES[r.dtype])

    def native(self, ident: str, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) at the native rate, float32."""
        r = self.recordings[ident]
        start, stop = max(0, start), min(stop, r.frames)
        if stop <= start:
            return np.empty(0, np.float32)
        first = start // BLOCK
        block = self.raw(ident, first, -(-stop // BLOCK))
        part = block[start - first * BLOCK : stop - first * BLOCK]
        if r.dtype == "int16":
            return np.multiply(part, np.float32(1 / 32768), dtype=np.float32)
        return part

    def samples(self, ident: str, rate: int, quality: str, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) at `rate`, float32; cut off at the recording's ends."""
        r = self.recordings[ident]
        start, stop = max(0, start), min(stop, resampled_length(r.frames, r.rate, rate))
        if stop <= start:
            return np.empty(0, np.float32)
        span = PIECE * rate
        parts = []
        for index in range(start // span, (stop - 1) // span + 1):
            piece = self._piece_at(ident, rate, quality, index)
            low = index * span
            parts.append(piece[max(0, start - low) : stop - low])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _piece_at(self, ident: str, rate: int, quality: str, index: int) -> np.ndarray:
        """Piece `index`. Pieces start on whole seconds, where any two rates both have a sample."""
        name = (self.path, ident, rate, quality, index)
        if Pack._last is not None and Pack._last[0] == name:
            return Pack._last[1]
        r = self.recordings[ident]
        low = max(0, index * PIECE - MARGIN)
        x = self.native(ident, low * r.rate, ((index + 1) * PIECE + MARGIN) * r.rate)
        if r.rate != rate:
            x = soxr.resample(x, r.rate, rate, quality=quality)
        begin = (index * PIECE - low) * rate
        left = resampled_length(r.frames, r.rate, rate) - index * PIECE * rate
        piece = x[begin : begin + min(PIECE * rate, left)]
        Pack._last = (name, piece)
        return piece


@functools.lru_cache(maxsize=64)
def opened(path: str) -> Pack:
    """A pack, whose footer is read once by a process: its name tells its content."""
    return Pack(Path(path))


class Packs(dict[str, Pack]):
    """Pack name -> the opened pack."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> Pack:
        return opened(os.fspath(self.folder / name))


def check(path: Path) -> str:
    """The sha256 of a pack's footer when every block in it is as it was written, else ""."""
    try:
        pack = Pack(path)
        for ident, recording in pack.recordings.items():
            for i in range(len(recording.crc)):
                pack.raw(ident, i, i + 1)
    except MelmillError:
        return ""
    return pack.sha256


def resampled_length(frames: int, old: int, new: int) -> int:
    """Samples after resampling: soxr's own rounding (half up)."""
    return (2 * frames * new + old) // (2 * old)
