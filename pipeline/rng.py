"""Random numbers that depend on their name alone.

Reads and writes nothing. Does: turns (seed, parts...) into a counter-based generator, so that
no item's draw can shift another's, whatever the order or the number of workers.
"""

import hashlib

import numpy as np


def _digest(seed: int, parts: tuple[object, ...]) -> bytes:
    text = "\x1f".join([str(int(seed)), *map(str, parts)])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def stream(seed: int, *parts: object) -> np.random.Generator:
    """A Philox generator keyed by the seed and the parts' text."""
    key = np.frombuffer(_digest(seed, parts), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


def unit(seed: int, *parts: object) -> float:
    """One number in [0, 1) for a name: used for splits and for choosing among candidates."""
    return int.from_bytes(_digest(seed, parts)[:8], "little") / 2.0**64
