"""The layer's log-mel spectra: those in the shards, librosa's, and the same in exported files.

Reads and writes: shards of a small corpus in pytest's folder.
"""

import dataclasses
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from pipeline import cookbook, examples  # noqa: E402
from pipeline.items import Item  # noqa: E402
from pipeline.recipe import Feature, Recipe  # noqa: E402
from tests import corpus, here, made  # noqa: E402
from tests.made import RATE, Sounds  # noqa: E402
from training.data.index import load_index  # noqa: E402
from training.data.shards import read_shard  # noqa: E402
from training.errors import RunError  # noqa: E402
from training.graph.frontend import LogMel  # noqa: E402
from training.graph.lite import lite_bytes, load_lite  # noqa: E402
from training.graph.saved import load_saved, saved_files  # noqa: E402

CLOSE = 1e-3  # dB, and of the other logarithms
SHIPPED = ["noise-classifier", "musicnn", "musicnn-2048", "diarization"]
HOPS = 40  # of a window: a diarizer's lasts 100 s


def shipped() -> list[Recipe]:
    """Every recipe with a log-mel feature, its windows short."""
    found = []
    for one in cookbook.load(SHIPPED):
        samples = HOPS * one.features["logmel"].hop
        found.append(dataclasses.replace(one, window=short(one.window, samples)))
    return found


def short(window: Any, samples: int) -> Any:
    return dataclasses.replace(window, samples=samples, hop=samples)


def sounds(samples: int, rate: int) -> dict[str, np.ndarray]:
    random, t = np.random.default_rng(1), np.arange(samples) / rate
    hiss = random.standard_normal(samples)
    found = {
        "noise": 0.1 * hiss,
        "full-scale sine": np.sin(2 * np.pi * 1000.3 * t),
        "100 dB apart": 0.5 * np.sin(2 * np.pi * 440 * t) + 5e-6 * hiss,
        "half silent": np.where(t < t[-1] / 2, 0.3 * hiss, 0),
        "click": np.eye(1, samples, samples // 2)[0],
        "silence": 0 * t,
        "faint": 1e-5 * hiss,
    }
    return {name: wave.astype(np.float32) for name, wave in found.items()}


def reference(wave: np.ndarray, rate: int, f: Feature) -> np.ndarray:
    """librosa's, in float64."""
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=rate, n_fft=f.n_fft, hop_length=f.hop, n_mels=f.mels,
        win_length=f.win or None, fmin=f.fmin, fmax=f.fmax or None, htk=f.scale == "htk",
        norm="slaney" if f.norm == "slaney" else None, pad_mode="constant",
    )  # fmt: skip
    if f.log == "db":
        ref: Any = f.ref or np.max
        return librosa.power_to_db(power, ref=ref, amin=f.amin, top_db=f.top_db or None).T
    return (np.log(power + f.eps) if f.log == "ln" else np.log10(1 + f.c * power)).T


@pytest.mark.parametrize("recipe", shipped(), ids=lambda r: r.name)
def test_every_shipped_recipe_as_librosa_computes_it(recipe: Recipe) -> None:
    front, f = LogMel(recipe.resolved(), "logmel"), recipe.features["logmel"]
    found = sounds(recipe.window.samples, recipe.audio.rate)
    told = front(np.stack(list(found.values()))).numpy()
    assert told.dtype == np.float32
    assert told.shape[1:] == (HOPS + (recipe.window.edges == "window"), f.mels)
    assert front.compute_output_shape((None, front.samples)) == (None, *told.shape[1:])
    for row, (name, wave) in zip(told, found.items(), strict=True):
        expected = reference(wave, recipe.audio.rate, f)[: len(row)]
        assert np.abs(row - expected).max() < CLOSE, name
    assert np.ptp(told[list(found).index("silence")]) == 0


@pytest.mark.parametrize("recipe", shipped(), ids=lambda r: r.name)
def test_every_shipped_recipe_as_the_pipeline_stores_it(recipe: Recipe) -> None:
    """Frames that see their neighbours are those of the whole recording."""
    output = dataclasses.replace(recipe.output, fields=("logmel",))
    stored = dataclasses.replace(recipe, output=output)
    wave = np.concatenate(list(sounds(recipe.window.samples, recipe.audio.rate).values())[:3])
    item = Item("a" * 64, "p", begin=0, length=len(wave), first=0, count=3, group=7, fold=-1)
    packs: Any = {"p": Sounds({"a" * 64: wave})}
    rows = examples.make((item,), stored, 0, packs, None).done()["logmel"]  # type: ignore[arg-type]
    whole = wave[None] if recipe.window.edges == "recording" else wave.reshape(3, -1)
    told = LogMel(recipe.resolved(), "logmel")(whole).numpy()
    assert np.abs(told.reshape(rows.shape) - rows).max() < CLOSE


def test_what_stands_in_shards(tmp_path: Path) -> None:
    data = corpus.small_corpus(tmp_path / "data")
    text = here.changed(corpus.CLASSES, output__fields=["wave", "logmel", "label"])
    here.features(data, tmp_path / "art", corpus.recipes(tmp_path / "recipes", text))
    index = load_index(tmp_path / "art" / "tiny-classes")
    front, seen = LogMel(index.recipe, "logmel"), 0
    for split in ("train", "valid", "test"):
        for shard in index.shards(split, "hdf5"):
            rows = read_shard(index, shard)
            assert np.abs(front(rows["wave"]).numpy() - rows["logmel"]).max() < CLOSE
            seen += len(rows["wave"])
    assert seen >= 10


ODD = [
    {"hop": 100},  # shares few factors with n_fft
    {"hop": 97},  # none
    {"hop": 300},  # is longer
    {"n_fft": 400, "win": 301, "hop": 160},
    {"fmin": 50.0, "fmax": 3000.0, "scale": "htk", "norm": "none"},
    {"ref": 0.0},
    {"top_db": 0.0, "amin": 1e-6},
    {"ref": 0.0, "top_db": 30.0},
    {"ref": 0.5, "amin": 1e-3},
]


@pytest.mark.parametrize("edges", ["window", "recording"])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_numbers_as_librosa_computes_them(odd: dict[str, Any], edges: str) -> None:
    told: dict[str, Any] = {"kind": "mel", "n_fft": 256, "hop": 128, "mels": 12, "log": "db"}
    f = Feature(**(told | {"top_db": 80.0} | odd))  # less is rounding of float32
    recipe = made.recipe(window={"samples": 1500, "edges": edges}, feature=f)
    front = LogMel(recipe.resolved(), "logmel")
    for name, wave in sounds(1500, RATE).items():
        found = front(wave[None]).numpy()[0]
        assert found.shape == front.compute_output_shape((1, 1500))[1:]
        expected = reference(wave, RATE, f)[: len(found)]
        assert np.abs(found - expected).max() < CLOSE, name


def test_the_floor_lies_under_each_windows_own_peak() -> None:
    f = Feature(kind="mel", n_fft=256, hop=128, mels=12, log="db", top_db=20.0)
    front = LogMel(made.recipe(feature=f).resolved(), "logmel")
    wave = sounds(800, RATE)["full-scale sine"]
    loud, soft = front(np.stack([wave, wave / 1000])).numpy()
    assert loud.max() - loud.min() == pytest.approx(20, abs=1e-4)
    assert loud - soft == pytest.approx(np.full_like(loud, 60), abs=1e-3)


@pytest.mark.parametrize("recipe", shipped(), ids=lambda r: r.name)
def test_the_same_as_files(recipe: Recipe) -> None:
    front = LogMel(recipe.resolved(), "logmel")
    found = np.stack(list(sounds(front.samples, recipe.audio.rate).values()))
    expected = front(found).numpy()
    lite = load_lite(lite_bytes(front, {"wave": (front.samples,)}))
    saved = load_saved(saved_files(front, [], {"wave": (front.samples,)}), ["wave"])
    assert np.abs(lite(found) - expected).max() < CLOSE
    assert np.abs(saved(found) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "mfcc"}, "feature logmel: no layer makes this kind; expected mel; got mfcc"),
        ({"log": "none"}, "no layer makes this log; expected db or log10_1p or ln; got none"),
    ],
)
def test_what_it_cannot_make_is_refused(change: dict[str, Any], said: str) -> None:
    f = Feature(**({"kind": "mel", "n_fft": 256, "hop": 128, "mels": 12, "log": "db"} | change))
    with pytest.raises(RunError, match=said):
        LogMel(made.recipe(feature=f).resolved(), "logmel")


def test_a_feature_that_is_not_there() -> None:
    said = r"recipe made: no such feature; expected \['logmel'\]; got vector"
    with pytest.raises(RunError, match=said):
        LogMel(made.recipe().resolved(), "vector")
