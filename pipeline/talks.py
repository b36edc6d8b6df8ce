"""A simulated conversation: recordings of single speakers, cut and put into turns.

Reads: decoded recordings. Does: cuts what each speaker says into utterances, lets the speakers take
turns as people do, each at a level of its own and in the same room, and says from when to when
each one speaks. Writes: nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from pipeline import rng
from pipeline.audio.pcm import Pack
from pipeline.dsp import room, voice
from pipeline.dsp.levels import rms
from pipeline.items import Item, Voice
from pipeline.recipe import Conversation, Recipe

LEVEL = 0.05  # RMS of a speaker while speaking: -26 dBFS, as ITU-T P.56 tests have it
APART = 5.0  # dB that a speaker may be louder or softer
LONGEST = 8.0  # s in one breath; longer stretches are cut
MARGIN = 0.02  # s of sound kept around an utterance, faded, so that nothing clicks
TURN = 2.0  # s, mean of what one wants to say, exponential: a choice of ours, from no corpus
SHORT = 1.0  # s; the most of what is said in between
FIRST = 1.0  # s; the conversation starts within this
LATE = 3  # turns for each speaker so far, after which a new one has to come in
HEAD = 0.1  # s that one speaks before the next can begin


@dataclass(frozen=True)
class Said:
    """One utterance in its place: start and length in samples, of the `which`th of speaker who."""

    who: int
    which: int
    start: int
    length: int


@dataclass(frozen=True)
class Utterance:
    """The sound of an utterance with `margin` samples on both sides."""

    wave: np.ndarray
    margin: int

    @property
    def length(self) -> int:
        return len(self.wave) - 2 * self.margin


@dataclass(frozen=True)
class Scene:
    """What is heard without noise, and who speaks when, the place in Talk.voices as a name."""

    wave: np.ndarray  # (n,) float32
    turns: tuple[tuple[int, int, str], ...]


def render(item: Item, recipe: Recipe, packs: Mapping[str, Pack]) -> Scene | None:
    """The conversation of an item; None when fewer than two of its speakers say anything."""
    c, rate, n = recipe.conversation, recipe.audio.rate, recipe.window.samples
    assert c is not None
    assert item.talk is not None
    spoken = [utterances(v, recipe, packs) for v in item.talk.voices]
    present = [who for who, found in enumerate(spoken) if found]
    if len(present) < 2:
        return None
    lengths = [[u.length for u in spoken[who]] for who in present]
    said = take_turns(lengths, n, rate, c, rng.stream(c.seed, "turns", item.id))
    total = np.zeros(n)
    seconds = rng.stream(c.seed, "room", item.id).uniform(c.echo[0], c.echo[1])
    for place, who in enumerate(present):
        random = rng.stream(c.seed, "voice", item.id, who)
        gain = LEVEL * 10.0 ** (random.uniform(-APART, APART) / 20.0)
        mine = [s for s in said if s.who == place]
        track = gain * placed(mine, spoken[who], n)
        if seconds > 0:
            track = room.echoed(track, room.response(seconds, rate, random))
        total += track
    turns = tuple((s.start, min(s.start + s.length, n), str(present[s.who])) for s in said)
    return Scene(total.astype(np.float32), turns)


def utterances(v: Voice, recipe: Recipe, packs: Mapping[str, Pack]) -> list[Utterance]:
    """What a voice has to say, each recording at a level of 1 (RMS while speaking)."""
    rate, quality = recipe.audio.rate, recipe.audio.resample
    found = []
    for piece in v.pieces:
        wave = packs[piece.pack].samples(
            piece.id, rate, quality, piece.start, piece.start + piece.length
        )
        if v.speed != 1.0 and len(wave):
            wave = soxr.resample(wave, rate * v.speed, rate, quality=quality)
        found += cut(wave, rate)
    return found


def cut(wave: np.ndarray, rate: int) -> list[Utterance]:
    """The utterances of one recording."""
    spans = voice.active(wave, rate)
    loud = rms(np.concatenate([wave[a:b] for a, b in spans])) if spans else 0.0
    if loud == 0.0:
        return []
    margin = round(MARGIN * rate)
    padded = np.pad(wave.astype(np.float64) / loud, margin)
    parts = []
    for start, stop in spans:
        count = -(-(stop - start) // round(LONGEST * rate))
        edges = np.linspace(start, stop, count + 1).round().astype(int)
        parts += list(zip(edges[:-1], edges[1:], strict=True))
    return [Utterance(padded[a : b + 2 * margin], margin) for a, b in parts]


def placed(said: Sequence[Said], spoken: Sequence[Utterance], n: int) -> np.ndarray:
    """(n,) float64: one speaker's utterances where they belong, silence elsewhere."""
    track = np.zeros(n)
    for one in said:
        u = spoken[one.which]
        wave = u.wave[: one.length + 2 * u.margin].copy()
        fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(u.margin) + 0.5) / max(u.margin, 1))
        wave[: u.margin] *= fade
        wave[len(wave) - u.margin :] *= fade[::-1]
        start = one.start - u.margin
        low, high = max(start, 0), min(start + len(wave), n)
        track[low:high] += wave[low - start : high - start]
    return track


def take_turns(
    lengths: Sequence[Sequence[int]],
    n: int,
    rate: int,
    c: Conversation,
    random: np.random.Generator,
) -> list[Said]:
    """Who says which utterance when, until n samples are full.

    lengths[who] are those of a speaker's utterances, in samples; who has said all starts afresh.
    The order of the result is that in which it was thought of, not that of the starts.
    """
    floor = _Floor(lengths, n, rate, c, random)
    who, at, turns = 0, int(random.uniform(0.0, FIRST) * rate), 0
    while at < n:
        begin, last, stop = floor.turn(who, at)
        turns += 1
        if random.random() < c.interject:
            floor.interject(who, begin, stop)
        who = floor.following(who, turns)
        at = stop + round(random.normal(c.offset, c.spread) * rate)
        at = max(at, last + round(HEAD * rate), floor.free[who])
    return floor.said


class _Floor:
    """Who has spoken, how far each one is with what there is to say, and until when each talks."""

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        n: int,
        rate: int,
        c: Conversation,
        random: np.random.Generator,
    ) -> None:
        self.lengths, self.n, self.rate, self.c, self.random = lengths, n, rate, c, random
        self.next = [0] * len(lengths)
        self.free = [0] * len(lengths)  # when each one can speak again
        self.said: list[Said] = []

    def _pause(self) -> int:
        """Silence between two utterances of one speaker: never so short that it would have been
        part of an utterance, had it been recorded."""
        least = min(voice.PAUSE, self.c.pause)
        return round((least + self.random.exponential(self.c.pause - least)) * self.rate)

    def _length(self, who: int) -> int:
        """Samples of what one would say next."""
        return self.lengths[who][self.next[who] % len(self.lengths[who])]

    def _say(self, who: int, at: int, most: int) -> int:
        """Say the next utterance, or its first `most` samples; returns when it ends."""
        which = self.next[who] % len(self.lengths[who])
        length = min(self._length(who), most)
        self.next[who] += 1
        if at < self.n:
            self.said.append(Said(who, which, at, length))
        self.free[who] = max(self.free[who], at + length + self._pause())
        return at + length

    def turn(self, who: int, at: int) -> tuple[int, int, int]:
        """One turn: (its start, the start of its last utterance, its end)."""
        wanted = at + self.random.exponential(TURN) * self.rate
        last, stop = at, self._say(who, at, self.n)
        while stop < min(wanted, self.n):
            last = self.free[who]
            stop = self._say(who, last, self.n)
        return at, last, stop

    def interject(self, who: int, begin: int, stop: int) -> None:
        """Another speaker says something short while this one speaks, if that leaves time."""
        others = [k for k in range(len(self.lengths)) if k != who]
        other = others[int(self.random.integers(len(others)))]
        length = min(self._length(other), round(SHORT * self.rate))
        first = max(begin, self.free[other])
        if first < stop - length:
            self._say(other, int(self.random.integers(first, stop - length)), length)

    def following(self, who: int, turns: int) -> int:
        """Who speaks next: another one; one who was not heard yet with even chance, or for sure
        when it is late."""
        others = [k for k in range(len(self.lengths)) if k != who]
        fresh = [k for k in others if self.next[k] == 0]
        heard = len(self.lengths) - len(fresh)
        if fresh and (self.random.random() < 0.5 or turns >= LATE * heard):
            return fresh[0]
        old = [k for k in others if self.next[k] > 0] or fresh
        return old[int(self.random.integers(len(old)))]
