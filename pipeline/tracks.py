"""Noise tracks: the noise that mixtures are made with, stored once per split.

Reads: decoded recordings. Does: renders synthetic tracks (white, pink, brown), pieces of noise
recordings (ambient) and babble of several voices. Writes: nothing; shards.py seals the tracks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from pipeline import rng
from pipeline.audio.pcm import Pack
from pipeline.dsp import noise
from pipeline.dsp.levels import Silent
from pipeline.formats.fields import Field
from pipeline.recipe import Noise, Recipe

KINDS: tuple[str, ...] = get_args(Noise)
GROUPS = 4  # groups named with a track, so that nobody is mixed with their own voice
LEVEL = np.float32(0.1)  # RMS of a synthetic track: unit RMS would pass full scale


@dataclass(frozen=True)
class Piece:
    """A stretch of one recording, in samples at the recipe's rate."""

    id: str
    pack: str
    start: int
    length: int


@dataclass(frozen=True)
class Track:
    id: str  # hash of all that makes it
    kind: str
    split: str
    number: int  # of its kind, for the synthetic ones
    length: int  # samples
    pieces: tuple[Piece, ...]
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Draw:
    """The noise of one mixture. track is -1 when the split has none of the kind."""

    kind: int  # index into the recipe's noises
    track: int
    start: int


def samples(recipe: Recipe) -> int:
    """Samples of a whole track."""
    assert recipe.mix is not None
    return round(recipe.mix.track * recipe.audio.rate)


def fields(whole: int) -> list[Field]:
    """What a sealed shard of tracks of `whole` samples holds."""
    voices = "hashes of who is heard in it; 0 is nobody"
    return [
        Field("samples", "float32", (whole,), "full scale is 1", ("sample",)),
        Field("length", "int64", (), "samples that are not padding", ()),
        Field("kind", "int32", (), "index into noises", ()),
        Field("source", "bytes32", (), "id of the track", ()),
        Field("groups", "int64", (GROUPS,), voices, ("voice",)),
    ]


def render(track: Track, recipe: Recipe, packs: Mapping[str, Pack]) -> np.ndarray:
    """The samples of one track, float32."""
    assert recipe.mix is not None
    rate, quality = recipe.audio.rate, recipe.audio.resample
    if not track.pieces:
        random = rng.stream(recipe.mix.seed, "track", track.kind, track.split, track.number)
        wave = noise.coloured(track.kind, track.length, random, rate)
        return wave * LEVEL
    parts = [
        packs[p.pack].samples(p.id, rate, quality, p.start, p.start + p.length)
        for p in track.pieces
    ]
    if track.kind == "ambient":
        return parts[0]
    wholes = [
        np.concatenate([part, packs[p.pack].samples(p.id, rate, quality, 0, p.start)])
        for p, part in zip(track.pieces, parts, strict=True)
    ]
    try:
        looped = [np.resize(whole, track.length) for whole in wholes]
        return noise.babble(looped, rate) * LEVEL
    except Silent:
        return np.zeros(track.length, np.float32)
