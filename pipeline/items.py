"""What a task carries to a worker.

Reads, does and writes nothing: these are the small, picklable descriptions that plan.py makes and
examples.py follows.
"""

from dataclasses import dataclass

from pipeline.tracks import Draw, Piece, Track


@dataclass(frozen=True)
class Voice:
    """One who talks in a simulated conversation."""

    id: int  # hash of the speaker and the speed: what the field `voices` holds
    speed: float  # playback speed that makes the voice; 1 is the speaker's own
    pieces: tuple[Piece, ...]  # what there is of the speaker to say, in this order


@dataclass(frozen=True)
class Talk:
    """A simulated conversation: who talks, and how far over the noise, dB."""

    voices: tuple[Voice, ...]
    snr: float


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
    generated: bool = False  # whether the turns were guessed, not given
    draws: tuple[tuple[Draw, ...], ...] = ()  # per window, per mixture
    talk: Talk | None = None  # a conversation is made, not cut from a recording


@dataclass(frozen=True)
class Task:
    """One shard."""

    name: str  # <split>-<bits>-<part>
    key: str
    split: str
    items: tuple[Item, ...]
    tracks: tuple[Track, ...] = ()  # what the draws point at
    seconds: float = 0.0  # of audio read
