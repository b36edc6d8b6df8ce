"""Audio bytes for the demo corpus, the same ones every time.

Reads and writes nothing on disk. Does: encodes with libsndfile in memory and then removes the
two things it fills with chance or the clock: an Ogg stream's serial number and the time in the
PEAK chunk of float WAV files.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """How a file is stored; `ending` is its name's last part."""

    ending: str
    container: str
    coding: str
    rate: int
    channels: int = 1


def encode(samples: Floats, kind: Kind) -> bytes:
    """(samples,) or (samples, channels) as a whole file."""
    out = io.BytesIO()
    soundfile.write(out, samples, kind.rate, format=kind.container, subtype=kind.coding)
    data = bytearray(out.getvalue())
    if kind.container == "OGG":
        _fix_serial(data)
    if kind.container == "WAV" and kind.coding == "FLOAT":
        peak = data.index(b"PEAK")  # then size, version, time of writing
        data[peak + 12 : peak + 16] = bytes(4)
    return bytes(data)


def _fix_serial(data: bytearray) -> None:
    """Give every page serial number 1 and its new checksum (RFC 3533, section 6)."""
    at = 0
    while at < len(data):
        segments = data[at + 26]
        end = at + 27 + segments + sum(data[at + 27 : at + 27 + segments])
        data[at + 14 : at + 18] = struct.pack("<I", 1)
        data[at + 22 : at + 26] = bytes(4)
        data[at + 22 : at + 26] = struct.pack("<I", _ogg_crc(data[at:end]))
        at = end


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _crc_table()


def _ogg_crc(page: bytearray) -> int:
    """CRC-32 with polynomial 0x04c11db7, no reflection, start and end value 0."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value
