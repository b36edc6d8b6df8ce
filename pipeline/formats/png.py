"""A picture of at most 256 colours as the bytes of a PNG file.

Reads and writes nothing. Does: packs rows of palette numbers as the PNG specification (W3C, third
edition) has them: signature, IHDR, PLTE, IDAT, IEND, each with its CRC.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH, _PALETTE = 8, 3  # bits a pixel; colour type 3: each pixel is a number in the palette

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255


def encode(pixels: np.ndarray, palette: Sequence[Colour]) -> bytes:
    """`pixels` is (height, width) uint8, the top row first, every value a place in `palette`."""
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"pixels must be (height, width) uint8, got {pixels.shape} {pixels.dtype}")
    if not pixels.max() < len(palette) <= 256:
        raise ValueError(f"colour {pixels.max()} of a palette of {len(palette)}")
    height, width = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, _DEPTH, _PALETTE, 0, 0, 0)
    rows = np.zeros((height, width + 1), np.uint8)  # a row begins with its filter: 0 is none
    rows[:, 1:] = pixels
    chunks = (
        (b"IHDR", head),
        (b"PLTE", bytes(value for colour in palette for value in colour)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
