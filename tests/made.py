"""A corpus made of names alone: records, their decoded lengths, and sound where a test needs it.

Reads and writes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audio.pcm import Recording, resampled_length
from pipeline.corpus import Corpus, group
from pipeline.decode import Decoded
from pipeline.layouts import splits
from pipeline.recipe import (
    Audio,
    Feature,
    Labels,
    Mix,
    Output,
    Recipe,
    Select,
    Window,
)
from pipeline.scan import Record

RATE = 8000
MEL = Feature(kind="mel", n_fft=256, hop=128, mels=20)


def ident(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def record(path: str, role: str = "clean", **told: Any) -> Record:
    return Record(path, id=ident(path), role=role, **told)


def corpus(
    records: Sequence[Record],
    seconds: float | Mapping[str, float] = 1.0,
    split_of: Mapping[str, str] | None = None,
    rate: int = RATE,
) -> Corpus:
    """Recordings of these lengths; splits from the names unless told."""
    found = {}
    for r in records:
        length = seconds if isinstance(seconds, (int, float)) else seconds[r.path]
        found[r.id] = Recording(0, round(length * rate), rate, "float32", "WAV/FLOAT", ())
    packs = dict.fromkeys(found, "00.pcm")
    decoded = Decoded(Path("pcm"), "decoded", packs, found, {})
    items = [splits.Item(r.id, r.path, group(r), r.label, r.role, r.split, r.fold) for r in records]
    return Corpus(list(records), decoded, split_of or splits.assign(items), "key")


class Sounds:
    """Stands in for a pack: sound by id, at the recipe's own rate."""

    def __init__(self, found: Mapping[str, np.ndarray]) -> None:
        self.found = found

    def samples(self, name: str, rate: int, quality: str, start: int, stop: int) -> np.ndarray:
        whole = self.found[name]
        assert resampled_length(len(whole), rate, rate) == len(whole)
        return whole[max(0, start) : max(0, stop)]


def recipe(
    *,
    fields: Sequence[str] = ("wave",),
    roles: Sequence[str] = ("clean",),
    window: Mapping[str, Any] | None = None,
    mix: Mapping[str, Any] | None = None,
    labels: Labels | None = None,
    needs: str = "none",
    rate: int = RATE,
    feature: Feature = MEL,
    **output: Any,
) -> Recipe:
    """A small recipe: windows of a tenth of a second unless told."""
    cut = {"samples": 800, "hop": 800} | dict(window or {})
    told = {"kind": "snr", "values": (0.0, 10.0), "noises": ("white",), "track": 0.5, "tracks": 2}
    return Recipe(
        name="made",
        about="a test",
        select=Select(tuple(roles), needs),  # type: ignore[arg-type]
        audio=Audio(rate),
        window=Window(**cut),
        output=Output(tuple(fields), **({"formats": ("hdf5",)} | output)),
        mix=None if mix is None else Mix(**(told | dict(mix))),  # type: ignore[arg-type]
        labels=labels or Labels(),
        features={"logmel": feature},
    )
