"""A small recipe of raw windows and vectors, the hybrid's nets as small as nets can be, and its own
training on it, to be killed.

Reads nothing. Does: builds shards from a corpus of seconds; trains with the shipped profiles, made
small. Writes: shards and runs, where it is told. TensorFlow is imported by what needs it.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline import cookbook, schema
from pipeline.dsp import features
from tests import corpus, here
from training import run
from training.engine import keras_train
from training.hybrid.profiles import Profile, chosen

NAME = "tiny-hybrid"
RATE, SAMPLES = corpus.RATE, 4096
RECIPE = here.changed(
    (cookbook.SHIPPED / "hybrid.toml").read_text(),
    name=NAME, audio__rate=RATE, window__samples=SAMPLES, window__hop=SAMPLES,
    features__vector__n_fft=512, features__vector__mels=32, features__vector__count=13,
    output__shard_mb=1,
)  # fmt: skip
BARE, MUTE, LONE = "tiny-bare", "tiny-mute", "tiny-lone"  # without classes, vectors, sound
LACKING = [
    here.changed(RECIPE, name=name, output__fields=fields)
    for name, fields in (
        (BARE, ["wave", "vector"]), (MUTE, ["wave", "label"]), (LONE, ["vector", "label"]),
    )
]  # fmt: skip
NUMBERS = 78  # of a vector
RECORDINGS = 30  # of 1 s, half of each class, each a group of its own
CLASSES = ["hum", "rain"]
BATCH = 8
SIZE = (4, 16, (8,))  # filters, their step, channels of the only stage
DILATIONS = (1,)


def recipe() -> dict[str, Any]:
    """As an index has it."""
    return _recipe().resolved()


def _recipe() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        (one,) = cookbook.load([corpus.recipes(Path(folder), RECIPE)])
    return one


def vectors(waves: np.ndarray) -> np.ndarray:
    """(examples, NUMBERS) by the pipeline, of waves of any length."""
    one = _recipe()
    spec = schema.vector_spec(one.features["vector"], one)
    return np.stack([features.vector(wave, spec) for wave in waves])


def build(root: Path, *more: str) -> Path:
    """Shards of the recipe, and of `more` ones; to be read only."""
    data = corpus.labelled(root / "data", RECORDINGS, 1.0, CLASSES)
    here.features(data, root / "artifacts", corpus.recipes(root / "recipes", RECIPE, *more))
    return root / "artifacts"


def shrunk() -> dict[str, Any]:
    """What of training.hybrid.net makes all its nets small."""
    from training.hybrid import net

    return {"SIZES": dict.fromkeys(net.SIZES, net.Size(*SIZE)), "DILATIONS": DILATIONS}


def small(profile: str = "demo", **more: Any) -> Profile:
    """A shipped profile for shards this small: an epoch has ten steps, and mixes in each;
    nets learn from half windows."""
    one = chosen(profile, **more)
    augment = {**one.augment, "crop": 0.5, "mix": 0.5} if one.augment else one.augment
    settings = replace(one.settings, warmup=2, rate=0.01)
    return replace(one, batch=BATCH, augment=augment, settings=settings)


class Stub:
    """A net in whose place a function answers; keeps what it was given, by name."""

    def __init__(self, names: Sequence[str], answer: Callable[[Mapping[str, Any]], Any]) -> None:
        self.inputs = [SimpleNamespace(name=name) for name in names]
        self.answer, self.seen = answer, list[dict[str, Any]]()
        self.training: bool | None = None

    def __call__(self, given: Any, training: bool) -> Any:
        given = given if isinstance(given, list) else [given]
        self.seen.append({x.name: one for x, one in zip(self.inputs, given, strict=True)})
        self.training = training
        return self.answer(self.seen[-1])


def script(
    root: str, *, fault: str = "", epochs: int = 2, profile: str = "demo", variant: str = "",
    parts: int = 1, changed: bool = True,
) -> int:  # fmt: skip
    """The run `a`, saved every 5 steps; returns the exit code."""
    from training.data.index import load_index
    from training.hybrid import net, train

    os.environ["MELMILL_FAULT"] = fault
    vars(keras_train).update(cores=lambda: 1)  # threads: as quick for nets this small
    vars(net).update(shrunk())
    one = small(profile, epochs=epochs, augment=changed)
    settings = replace(one.settings, warmup=5, save_steps=5, save_seconds=0, log_steps=5)
    one = replace(one, settings=settings)

    def work() -> None:
        config = train.configuration(load_index(Path(root) / NAME), one)
        train.train(Path(root), {**config, "variant": variant, "parts": parts}, "a")

    return run.main(work)
