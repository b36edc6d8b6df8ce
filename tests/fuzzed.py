"""A seeded way to damage valid files: the same kind and seed are always the same bytes.

Reads what tests/fuzz_files.py wrote. Does: flips, cuts, splices and forges bytes, lengths and
fields of headers; in text, numbers, words and lines; mends hashes where a thief would. Writes
nothing.
"""

import copy
import hashlib
import json
import random
import re
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c

from pipeline.disk import store
from tests.fuzz_files import KINDS, TEXT
from tests.hostile import _fixed_ogg

EDGES = (0, 1, 2, 0x7F, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 60, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = ("1e300", "nan", "-1", "0", "1e999", "-inf", "9" * 400, "9" * 5000, "1_0", "0x10", "2e9",
           "1.5", "\u0661", "true", '"1"', "18446744073709551616")  # fmt: skip
ODD = ("\0", "\ufeff", "\u2028", "\r", '"', "'", ",,,", ";", "\t", "\\", "{", "[" * 3000, "[[", "=",
       "a.b.c.d", "../", "/", "#", "\x1b[31m", "=cmd()", "e\u0301", "'''", '"""')  # fmt: skip
VALUES = (None, True, -1, 0, 1.5, 1e308, 2**63, 10**400, "", "x", "../x", "a\0b", "\ud800",
          "a\nb\x1b[2J", "x" * 9999, [], {}, [[]], [1] * 99, {"a": {}})  # fmt: skip
LONG = 140_000  # characters of a line: more than a cell of a table may have
JSON = ("index", "receipt", "manifest", "state")
Way = Callable[[bytes, random.Random, bytes], bytes]


def _put(data: bytes, at: int, what: bytes) -> bytes:
    return data[:at] + what + data[at + len(what) :]


def _span(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** draw.uniform(0, 10)))


def _flip(data: bytes, draw: random.Random, other: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(int(2 ** draw.uniform(0, 4)) if made else 0):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def _run(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start, stop = _span(data, draw)
    return _put(data, start, _bytes(draw, stop - start))


def _bytes(draw: random.Random, size: int) -> bytes:
    return draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))


def _cut(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _insert(data: bytes, draw: random.Random, other: bytes) -> bytes:
    (at, stop), size = _span(data, draw), int(2 ** draw.uniform(0, 10))
    what = draw.choice((_bytes(draw, size), data[at:stop] * draw.randint(1, 3)))
    return data[:at] + what + data[at:]


def _delete(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + data[stop:]


def _splice(data: bytes, draw: random.Random, other: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    same = draw.random() < 0.5
    return data[:at] + other[at if same else draw.randrange(len(other) + 1) :]


def _length(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """A number that may be a length or an offset, near the front or near the end."""
    far = draw.choice((64, 256, 4096, len(data)))
    at = draw.randrange(min(far, len(data)) + 1)
    at = draw.choice((at, at & ~3, at & ~7, max(0, len(data) - at)))
    return _put(data, at, _edge(draw))


def _edge(draw: random.Random) -> bytes:
    width = draw.choice((1, 2, 4, 4, 8))
    value = draw.choice((*EDGES, draw.getrandbits(8 * width))) & (1 << 8 * width) - 1
    return value.to_bytes(width, draw.choice(("little", "big")))


def _field(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """What stands behind a name of four letters, as in RIFF, MP4 and Ogg; or the name itself."""
    names = [m.end() for m in re.finditer(rb"[A-Za-z ][A-Za-z0-9 ]{3}", data[:8192])]
    if not names:
        return _length(data, draw, other)
    at = draw.choice(names)
    if draw.random() < 0.1:
        return _put(
            data, at - 4, draw.choice((b"data", b"fmt ", b"junk", b"LIST", b"moov", b"\0" * 4))
        )
    return _put(
        data, at + draw.choice((0, 0, 4, 8, 12, 16, 20, 24)) - draw.choice((0, 0, 8)), _edge(draw)
    )


def _number(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return _replaced(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", data, draw, draw.choice(NUMBERS).encode())


def _word(data: bytes, draw: random.Random, other: bytes) -> bytes:
    words = re.findall(rb"[A-Za-z_][\w.-]*", data) or [b""]
    return _replaced(
        rb"[A-Za-z_][\w.-]*", data, draw, draw.choice((draw.choice(words), b"", b"x" * 300))
    )


def _replaced(form: bytes, data: bytes, draw: random.Random, what: bytes) -> bytes:
    found = list(re.finditer(form, data))
    one = draw.choice(found) if found else None
    return data[: one.start()] + what + data[one.end() :] if one else data + what


def _lines(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """One line less, twice, elsewhere, longer than any other, or one of another file."""
    lines = data.split(b"\n")
    at, to = draw.randrange(len(lines)), draw.randrange(len(lines))
    one = lines[at]
    what = draw.choice(("less", "twice", "moved", "long", "other", "many"))
    if what in ("less", "moved"):
        del lines[at]
    if what == "long":
        unit = draw.choice((b"x", b",", b" ", b"1", one or b"["))
        lines[at] = one + unit * (LONG // len(unit))
    more = {"moved": [one], "twice": [one], "many": [one[:999]] * 500}.get(what, [])
    lines[to:to] = [draw.choice(other.split(b"\n"))] if what == "other" else more
    return b"\n".join(lines)


def _odd(data: bytes, draw: random.Random, other: bytes) -> bytes:
    at, what = draw.randrange(len(data) + 1), draw.choice((*ODD, None))
    return data[:at] + (draw.randbytes(2) if what is None else what.encode()) + data[at:]


BYTES: tuple[Way, ...] = (_flip, _run, _cut, _insert, _delete, _splice, _length, _length, _field,
                          _field)  # fmt: skip
WORDS: tuple[Way, ...] = (_number, _number, _word, _lines, _odd, _splice, _cut)


# ------------------------------------------------------------------ hashes that fit


def _resealed(data: bytes, draw: random.Random) -> bytes:
    """A sealed table with some values changed, and a seal that fits them."""
    value = json.loads(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place: Any = value
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = draw.choice(list(keys))
            if not (isinstance(place[key], (dict, list)) and place[key] and draw.random() < 0.8):
                break
            place = place[key]
        if draw.random() < 0.15 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = copy.deepcopy(draw.choice(VALUES))
        if not value:
            break
    return store.dump_json(store.seal(value), pretty=True)


def _with_crc(data: bytes, sound: bytes) -> bytes:
    """A TFRecord file whose first record is what stands in `data`, under checksums that fit."""
    body = data[12 : 12 + struct.unpack_from("<Q", sound)[0]]
    length = struct.pack("<Q", len(body))
    first = length + _masked(length) + body + _masked(body)
    return first + sound[16 + struct.unpack_from("<Q", sound)[0] :]


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _with_hash(data: bytes, sound: bytes) -> bytes:
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


FIXED = {"tfrecord-crc": _with_crc, "ckpt-hash": _with_hash}


# ------------------------------------------------------------------ one case


@cache
def valid(folder: Path) -> dict[str, list[bytes]]:
    """What stands there, by kind."""
    return {kind: [(folder / f"{kind}.{n}").read_bytes() for n in (0, 1)] for kind in KINDS}


def kind_of(number: int) -> tuple[str, int]:
    """The number's kind and seed: every kind as often as any other."""
    return KINDS[number % len(KINDS)], number // len(KINDS)


def mutated(folder: Path, kind: str, seed: int) -> tuple[int, bytes]:
    """Which of the kind's valid files it was, and what became of it."""
    draw, held = random.Random(f"{kind} {seed}"), valid(folder)
    number = draw.randrange(2)
    data = held[kind][number]
    if kind == "index-seal":
        return number, _resealed(data, draw)
    ways = [*BYTES, *WORDS] if kind in JSON else [*BYTES]
    ways = [*BYTES[:2], *WORDS, *WORDS] if kind in TEXT else ways
    for _ in range(draw.choice((1, 1, 2, 3))):
        other = held[draw.choice((kind, draw.choice(KINDS)))][1 - number]
        data = draw.choice(ways)(data, draw, other)
    if kind in ("ogg", "opus") and draw.random() < 0.5:  # else the decoder drops the page unread
        try:
            data = _fixed_ogg(data)
        except (IndexError, struct.error):
            return number, data
    return number, FIXED[kind](data, held[kind][number]) if kind in FIXED else data
