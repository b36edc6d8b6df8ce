"""A denoising recipe's index made by hand: each noise track is a square wave of its own period.

Reads nothing. Does: makes examples and tracks that can be told apart in any mixture. Writes: an
index and its shards into the folder given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.disk import store
from pipeline.formats import hdf5
from pipeline.formats.fields import Field
from training.data.index import Index, load_index

N = 2048  # samples of an example
WHOLE = 4096  # samples of a track
RATE = 8000
EXAMPLES = [
    Field("clean", "float32", (N,), "full scale is 1", ("sample",)),
    Field("source", "bytes32", (), "", ()),
    Field("group", "int64", (), "", ()),
]
TRACKS = [
    Field("samples", "float32", (WHOLE,), "full scale is 1", ("sample",)),
    Field("length", "int64", (), "", ()),
    Field("kind", "int32", (), "", ()),
    Field("source", "bytes32", (), "", ()),
    Field("groups", "int64", (4,), "", ("voice",)),
]


@dataclass(frozen=True)
class Made:
    """A track to make: a square wave of 2 * `half` samples."""

    half: int
    kind: int = 0
    groups: tuple[int, ...] = ()
    split: str = "train"
    length: int = WHOLE

    def wave(self, n: int) -> np.ndarray:
        """Any number of samples of it."""
        return np.where(np.arange(n) // self.half % 2 == 0, 0.5, -0.5).astype(np.float32)


def halves(x: np.ndarray) -> int:
    """The half period of a square wave (n,), from whereever it begins."""
    edges = np.flatnonzero(np.diff(np.signbit(x)))
    return int(np.median(np.diff(edges)))


def index(
    folder: Path,
    tracks: Sequence[Made],
    groups: Sequence[int] = (),
    *,
    shard: int = 3,
    mix: Mapping[str, Any] | None = None,
    name: str = "noisy",
) -> Index:
    """Examples of silence, one for each of `groups`; shards of `shard` tracks or examples."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, noise = [], []
    for at in range(0, len(groups), shard):
        mine = groups[at : at + shard]
        arrays = {
            "clean": np.zeros((len(mine), N), np.float32),
            "source": np.array([f"{at + i:032x}" for i in range(len(mine))], "S32"),
            "group": np.array(mine, np.int64),
        }
        shards.append(_sealed(folder, f"train-{at}.h5", "train", EXAMPLES, arrays))
    for split in sorted({track.split for track in tracks}):
        those = [track for track in tracks if track.split == split]
        for at in range(0, len(those), shard):
            arrays = _arrays(those[at : at + shard])
            noise.append(_sealed(folder, f"noise-{split}-{at}.h5", split, TRACKS, arrays))
    table = {
        "schema": 1, "name": name, "key": "k", "fingerprint": "f", "classes": [], "tags": [],
        "recipe": {
            "audio": {"rate": RATE},
            "mix": {"kind": "level", "values": [0.1, 0.1], **(mix or {})},
        },
        "fields": [f.to_json() for f in EXAMPLES], "noise_fields": [f.to_json() for f in TRACKS],
        "noises": ["white", "ambient", "babble"], "names": {}, "statistics": {},
        "shards": shards or [_sealed(folder, "test-0.h5", "test", EXAMPLES, _one())],
        "noise": noise, "receipts": [], "counts": {}, "feature_description": {},
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(table)))
    return load_index(folder)


def _one() -> dict[str, np.ndarray]:
    return {f.name: np.zeros((1, *f.shape), f.numpy) for f in EXAMPLES}


def _arrays(tracks: Sequence[Made]) -> dict[str, np.ndarray]:
    arrays = {f.name: np.zeros((len(tracks), *f.shape), f.numpy) for f in TRACKS}
    for row, track in enumerate(tracks):
        arrays["samples"][row, : track.length] = track.wave(track.length)
        arrays["length"][row] = track.length
        arrays["kind"][row] = track.kind
        arrays["source"][row] = f"{track.half:032x}".encode()
        arrays["groups"][row, : len(track.groups)] = track.groups
    return arrays


def _sealed(
    folder: Path, path: str, split: str, fields: list[Field], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    data = hdf5.encode(fields, arrays, {})
    return {
        "path": path,
        "split": split,
        "format": "hdf5",
        "examples": len(next(iter(arrays.values()))),
        "bytes": len(data),
        "sha256": store.write_bytes(folder / path, data),
    }
