"""What a task carries to a worker.

Reads, does and writes nothing: these are the small, picklable descriptions that plan.py makes and
examples.py follows.
"""

from dataclasses import dataclass

from pipeline.tracks import Draw, Track


@dataclass(frozen=True)
class Item:
    """Windows `first` to `first + count` of one stretch of one recording."""

    id: str
    pack: str
    begin: int  # samples at the recipe's rate, as all below
    length: int
    first: int
    count: int
    group: int
    fold: int
    label: int = -1
    tags: tuple[int, ...] = ()
    turns: tuple[tuple[int, int, str], ...] = ()  # who speaks from when to when
    draws: tuple[tuple[Draw, ...], ...] = ()  # per window, per mixture


@dataclass(frozen=True)
class Task:
    """One shard."""

    name: str  # <split>-<bits>-<part>
    key: str
    split: str
    items: tuple[Item, ...]
    tracks: tuple[Track, ...] = ()  # what the draws point at
    seconds: float = 0.0  # of audio read
