"""Small recipes of tags, a tagger's net as small as a net can be, summaries of answers that are
known, and the tagger's own training, to be killed.

Reads the shipped recipe of MusicNN. Does: builds shards from a corpus of seconds; trains with the
shipped profiles, made small. Writes: shards and runs, where it is told. TensorFlow is imported by
what needs it.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from pipeline import cookbook
from tests import corpus, here
from training import run
from training.engine import keras_train
from training.tagger.profiles import chosen
from training.tagger.summary import summary

NAME = "tiny-tags"
RATE, HOP, FRAMES, MELS = 8000, 64, 40, 24
SAMPLES = FRAMES * HOP
RECIPE = here.changed(
    (cookbook.SHIPPED / "musicnn.toml").read_text(),
    name=NAME, audio__rate=RATE, window__samples=SAMPLES, window__hop=SAMPLES,
    features__logmel__n_fft=128, features__logmel__hop=HOP, features__logmel__mels=MELS,
)  # fmt: skip
FEW = here.changed(RECIPE, name="tiny-few", labels__top=2)  # the most frequent tags alone
WIDE = here.changed(RECIPE, name="tiny-wide", features__logmel__mels=32)
PLAIN = here.changed(
    RECIPE, name="tiny-plain", output__fields=["logmel"], labels__kind="none", select__needs="none"
)
TRACKS = 36  # of 1 to 1.75 s, two of each artist
PATCHES = 135
TAGS = ["hum", "rain", "sound", "voice"]  # all have "sound", the others are in all mixtures
BATCH = 8
KNOWN = 12  # numbers that the smallest net knows of a patch


def recipe() -> dict[str, Any]:
    """As an index has it."""
    with tempfile.TemporaryDirectory() as folder:
        (one,) = cookbook.load([corpus.recipes(Path(folder), RECIPE)])
    return one.resolved()


def tags_of(number: int) -> list[str]:
    there = {"hum": number % 2, "rain": number // 2 % 2, "sound": 1, "voice": number // 4 % 2}
    return [tag for tag in TAGS if there[tag]]


def track(number: int) -> np.ndarray:
    """What its tags say, at corpus.RATE."""
    seconds, told = 1.0 + number % 4 * 0.25, tags_of(number)
    wave = 1e-4 * corpus.noise(number, seconds, "rain")
    for tag in ("hum", "rain"):
        wave = wave + (corpus.noise(number, seconds, tag) if tag in told else 0.0)
    return wave + (corpus.voice(number, seconds) if "voice" in told else 0.0)


def recordings(folder: Path) -> Path:
    """The corpus; its second track is FLAC."""
    folder.mkdir(parents=True)
    rows = ["path,role,tags,group"]
    for i in range(TRACKS):
        name = f"track{i}." + ("flac" if i == 1 else "wav")
        sf.write(folder / name, track(i), corpus.RATE, "PCM_16")
        rows.append(f"{name},labelled,{'|'.join(tags_of(i))},artist{i // 2}")
    (folder / "melmill.csv").write_text("\n".join(rows) + "\n")
    return folder


def build(root: Path, *more: str) -> Path:
    """Shards of the recipe, and of `more` ones; to be read only."""
    data = recordings(root / "data")
    here.features(data, root / "artifacts", corpus.recipes(root / "recipes", RECIPE, *more))
    return root / "artifacts"


def tiny(
    name: str, shape: tuple[int, int], tags: int, mean: float, deviation: float, step: float
) -> Any:
    """In the place of the shipped nets: knows the colour of a sound."""
    import keras
    from keras import layers

    given = keras.Input(shape, name="features")
    normal = layers.Normalization(
        axis=None, mean=np.asarray(mean), variance=np.asarray(deviation**2), name="normalised"
    )
    x = layers.GlobalAveragePooling1D(name="mean")(normal(given))
    x = layers.Dense(KNOWN, activation="relu", name="pooled")(x)
    return keras.Model(given, layers.Dense(tags, name="logits")(x), name=name.replace("-", "_"))


def answered(net: Any, patches: np.ndarray) -> np.ndarray:
    """(patches, tags) probabilities of such a net, by NumPy in float64."""
    normal = net.get_layer("normalised")
    (inner, shift), (kernel, bias) = (net.get_layer(n).get_weights() for n in ("pooled", "logits"))
    mean, deviation = (float(np.ravel(v)[0]) for v in (normal.mean, np.sqrt(normal.variance)))
    x = (patches.astype(np.float64).mean(1) - mean) / deviation
    return np.asarray(1 / (1 + np.exp(-(np.maximum(x @ inner + shift, 0) @ kernel + bias))))


def script(
    root: str, *, fault: str = "", epochs: int = 3, profile: str = "demo", net: str = "",
    init: str = "", changed: bool = True,
) -> int:  # fmt: skip
    """The run `a`, saved every 5 steps; returns the exit code."""
    from training.data.index import load_index
    from training.tagger import train

    os.environ["MELMILL_FAULT"] = fault
    vars(keras_train).update(cores=lambda: 1)  # threads: as quick for nets this small
    shipped = chosen(profile, net=net, epochs=epochs, augment=changed)
    settings = replace(shipped.settings, warmup=5, save_steps=5, save_seconds=0, log_steps=5)
    small = replace(shipped, batch=BATCH, settings=settings)

    def work() -> None:
        index, start = load_index(Path(root) / NAME), Path(init) if init else None
        train.train(Path(root), train.configuration(index, small, start), "a")

    return run.main(work)


# ------------------------------------------------------------------ summaries

NAMES = ("drums", "slow", "always", "never")
LIKELY = {  # of twelve tracks, the first half with drums, every third one slow
    "b7": [[0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.4, 0.2, 0.2, 0.1, 0.1, 0.1],
           [0.8, 0.2, 0.1, 0.7, 0.5, 0.2, 0.6, 0.3, 0.2, 0.4, 0.1, 0.1]],
    "MFCC + LR": [[0.6, 0.4, 0.7, 0.3, 0.5, 0.6, 0.5, 0.3, 0.4, 0.2, 0.6, 0.1],
                  [0.5, 0.6, 0.4, 0.2, 0.3, 0.1, 0.4, 0.5, 0.2, 0.6, 0.3, 0.4]],
    "how often": [[0.5] * 12, [0.3] * 12],
}  # fmt: skip


def truth_of(count: int = 12) -> np.ndarray:
    """(tracks, tags of NAMES)"""
    at = np.arange(count)
    return np.stack([at < count // 2, at % 3 == 0, at >= 0, at < 0], 1)


def likely(name: str) -> np.ndarray:
    """(tracks, tags of NAMES) of a system of LIKELY."""
    return np.column_stack([*LIKELY[name], np.full((12, 2), 0.5)])


def told(
    systems: Mapping[str, str] | None = None,
    *,
    patches: int = 2,
    groups: int = 6,
    costs: Mapping[str, Mapping[str, float | None]] | None = None,
) -> Any:
    """The first of `systems` is ours; each answers as the system of LIKELY that it names, all of
    which lies between the answers for its patches. The patches of a track do not stand together."""
    systems = systems or {name: name for name in LIKELY}
    source = np.tile(np.arange(12), patches)
    off = np.repeat(np.linspace(-0.05, 0.05, patches), 12)[:, None] * (patches > 1)
    held = {name: likely(like)[source] + off for name, like in systems.items()}
    data = {"tags": truth_of()[source].astype(np.uint8), "groups": source % groups,
            "sources": np.array([b"%02d" % i for i in source])}  # fmt: skip
    return summary(data, held, NAMES, recipe="mine", ours=next(iter(systems)), costs=costs)


def large(size: int, seed: int = 0, names: Sequence[str] = ()) -> Any:
    """Of as many tags, with long names, and no meaning."""
    random = np.random.default_rng(seed)
    truth = random.random((60, size)) < np.linspace(0.5, 0.1, size)
    systems = {}
    for number, name in enumerate(("b7", "how often", "MFCC + LR", "MTT_musicnn + LR")):
        raw = random.normal(size=truth.shape) + truth * (2 - number / 2)
        systems[name] = 1 / (1 + np.exp(-raw))
    names = names or [f"a_kind_of_music_{i}" for i in range(size)]
    data = {"tags": truth, "groups": np.arange(60) // 3, "sources": np.arange(60)}
    return summary(data, systems, names, recipe="r", ours="b7")
