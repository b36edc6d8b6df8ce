"""Whole numbers as protobuf stores them: seven bits a byte, the lowest first.

Reads and writes nothing. Does: codes one number, or all of a field at once in NumPy.
"""

import numpy as np

from pipeline.formats.fields import Field

BLOCK = 1 << 15  # integers coded in one step: their bytes stay in the CPU's cache
Span = tuple[int, int]  # from a byte of the file to another


def encode(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def encode_all(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All values, one after the other, as varints, and where each one ends."""
    whole = values.astype("<i8").view("<u8")  # negative numbers take ten bytes
    if whole.max() < 128:
        return whole.astype(np.uint8), np.arange(1, whole.size + 1)
    parts, widths = [], []
    for start in range(0, whole.size, BLOCK):
        rest = whole[start : start + BLOCK].copy()
        most = -(-int(rest.max()).bit_length() // 7) or 1
        coded = np.empty((rest.size, most), dtype=np.uint8)
        used = np.ones((rest.size, most), dtype=bool)
        for k in range(most):
            if k:
                used[:, k] = rest != 0
            coded[:, k] = rest & np.uint64(127)
            rest >>= np.uint64(7)
            coded[:, k] |= (rest != 0).view(np.uint8) << 7  # more bytes follow
        parts.append(coded[used])
        widths.append(used.sum(axis=1))
    return np.concatenate(parts), np.cumsum(np.concatenate(widths))


def decode_all(data: bytes, field: Field, spans: list[Span]) -> np.ndarray:
    """All integers of one field, int64; each span must hold exactly one example's."""
    stops = np.cumsum([b - a for a, b in spans])
    coded = np.frombuffer(b"".join(data[a:b] for a, b in spans), dtype=np.uint8)
    ends = np.flatnonzero(coded < 128) + 1
    if ends.size != len(spans) * field.size or (ends[field.size - 1 :: field.size] != stops).any():
        raise ValueError(f"{field.name!r} has not {field.size} values in every record")
    if ends.size == coded.size:
        return coded.astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    width = ends - starts
    if width.max() > 10 or (coded[starts[width == 10] + 9] > 1).any():
        raise ValueError(f"{field.name!r}: an integer of more than 64 bits")
    shift = 7 * (np.arange(coded.size) - np.repeat(starts, width)).astype(np.uint64)
    sevens = (coded & 127).astype(np.uint64) << shift
    return np.bitwise_or.reduceat(sevens, starts).view(np.int64)
