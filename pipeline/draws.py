"""Which noise goes into which mixture.

Reads and writes nothing. Does: plans the noise tracks of each split, and draws one for every
mixture by the mixture's own name, so that an added recording changes only the draws it wins.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from pipeline import rng
from pipeline.audio.pcm import resampled_length
from pipeline.corpus import Corpus, group
from pipeline.disk import store
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Recipe
from pipeline.tracks import GROUPS, Draw, Piece, Track, samples

VOICES = 4  # voices in babble, at most


def number(name: str) -> int:
    """A name as a positive 63-bit integer, so that shards can hold it in fixed space."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def plan(recipe: Recipe, corpus: Corpus) -> dict[str, list[Track]]:
    """The tracks of each split, in the order of their ids."""
    assert recipe.mix is not None
    made: dict[str, list[Track]] = {split: [] for split in SPLITS}
    for kind in recipe.mix.noises:
        for split in SPLITS:
            if kind == "ambient":
                made[split] += _ambient(recipe, corpus, split)
            elif kind == "babble":
                made[split] += _babble(recipe, corpus, split)
            else:
                made[split] += [
                    _track(kind, split, i, samples(recipe), (), (), recipe)
                    for i in range(recipe.mix.tracks)
                ]
    return {split: sorted(found, key=lambda t: t.id) for split, found in made.items()}


def _track(
    kind: str,
    split: str,
    index: int,
    length: int,
    pieces: tuple[Piece, ...],
    groups: tuple[int, ...],
    recipe: Recipe,
) -> Track:
    assert recipe.mix is not None
    what = [kind, split, index, length, [[p.id, p.start, p.length] for p in pieces]]
    audio = [recipe.audio.rate, recipe.audio.resample, recipe.mix.seed]
    return Track(store.digest([what, audio]), kind, split, index, length, pieces, groups)


def _ambient(recipe: Recipe, corpus: Corpus, split: str) -> list[Track]:
    """Every noise recording of the split, in pieces of a track's length."""
    found = []
    for record in corpus.used():
        if record.role == "noise" and corpus.split(record) == split:
            r = corpus.decoded.recordings[record.id]
            whole = resampled_length(r.frames, r.rate, recipe.audio.rate)
            for start in range(0, whole, samples(recipe)):
                length = min(samples(recipe), whole - start)
                piece = Piece(record.id, corpus.decoded.packs[record.id], start, length)
                owner = (number(group(record)),)
                found.append(_track("ambient", split, 0, length, (piece,), owner, recipe))
    return found


def _babble(recipe: Recipe, corpus: Corpus, split: str) -> list[Track]:
    """Tracks of up to VOICES voices. Each leaves one voice out in turn, so that there is babble to
    put behind every voice."""
    assert recipe.mix is not None
    voices: dict[str, list[str]] = {}
    for record in corpus.used():
        if record.role == "clean" and corpus.split(record) == split:
            voices.setdefault(group(record), []).append(record.id)
    seed = recipe.mix.seed
    turn = sorted(voices, key=lambda voice: rng.unit(seed, "left out", voice))
    found = []
    for index in range(recipe.mix.tracks if len(voices) > 1 else 0):
        name = (seed, "babble", split, index)
        others = [v for v in voices if v != turn[index % len(turn)]]
        talking = sorted(sorted(others, key=lambda voice: rng.unit(*name, voice))[:VOICES])
        idents = [max(voices[v], key=lambda i: rng.unit(*name, i)) for v in talking]
        pieces = tuple(_piece(ident, recipe, corpus, index) for ident in idents)
        groups = tuple(sorted(number(voice) for voice in talking))
        found.append(_track("babble", split, index, samples(recipe), pieces, groups, recipe))
    return found


def _piece(ident: str, recipe: Recipe, corpus: Corpus, index: int) -> Piece:
    assert recipe.mix is not None
    r = corpus.decoded.recordings[ident]
    whole = resampled_length(r.frames, r.rate, recipe.audio.rate)
    start = int(rng.unit(recipe.mix.seed, "voice", index, ident) * whole)
    return Piece(ident, corpus.decoded.packs[ident], start, whole)


class Table:
    """Draws a track for a mixture: the highest of hash(mixture, track) among those that may be."""

    def __init__(self, tracks: Sequence[Track], recipe: Recipe) -> None:
        assert recipe.mix is not None
        self.mix = recipe.mix
        self.lengths = [track.length for track in tracks]
        self.keys = np.array([int(t.id[:16], 16) for t in tracks], np.uint64)
        self.kinds = np.array([self.mix.noises.index(t.kind) for t in tracks], np.int64)
        self.groups = np.zeros((len(tracks), GROUPS), np.int64)
        for row, track in zip(self.groups, tracks, strict=True):
            row[: len(track.groups)] = track.groups

    def draw(self, ident: str, start: int, owner: int) -> tuple[Draw, ...]:
        """One draw for each value of the recipe; the noise kinds take turns in random order."""
        random = rng.stream(self.mix.seed, "mix", ident, start)
        order = random.permutation(len(self.mix.noises))
        others = (self.groups != owner).all(axis=1) if len(self.groups) else np.zeros(0, bool)
        return tuple(
            self._draw(int(order[index % len(order)]), others, random)
            for index in range(len(self.mix.values))
        )

    def one(self, ident: str) -> tuple[float, Draw]:
        """One of the recipe's values and one draw, of a kind that the split has if it has any."""
        random = rng.stream(self.mix.seed, "conversation", ident)
        value = float(random.choice(self.mix.values))
        there = set(self.kinds.tolist())
        order = sorted(random.permutation(len(self.mix.noises)), key=lambda kind: kind not in there)
        return value, self._draw(int(order[0]), np.ones(len(self.kinds), bool), random)

    def _draw(self, kind: int, others: np.ndarray, random: np.random.Generator) -> Draw:
        salt, place = random.integers(1 << 63, size=2, dtype=np.int64)
        may = np.flatnonzero(others & (self.kinds == kind))
        if len(may) == 0:
            return Draw(kind, -1, 0)
        track = int(may[np.argmax(mixed(self.keys[may] ^ np.uint64(salt)))])
        return Draw(kind, track, int(place) % self.lengths[track])


def mixed(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea and Flood 2014): every bit depends on every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
