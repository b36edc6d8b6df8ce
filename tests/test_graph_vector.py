"""The layer's handcrafted vectors: the pipeline's, librosa's, and the same in exported files.

Reads and writes nothing.
"""

import dataclasses
from functools import lru_cache
from typing import Any

import librosa
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from pipeline import cookbook, examples, schema  # noqa: E402
from pipeline.dsp import features  # noqa: E402
from pipeline.items import Item  # noqa: E402
from pipeline.recipe import Feature, Recipe  # noqa: E402
from tests import made  # noqa: E402
from tests.made import Sounds  # noqa: E402
from training.errors import RunError  # noqa: E402
from training.graph.lite import lite_bytes, load_lite  # noqa: E402
from training.graph.saved import load_saved, saved_files  # noqa: E402
from training.graph.vector import Vector  # noqa: E402

# Both in deviations of a column over the sounds below, which differ about as much as clips do.
CLOSE = 1e-4
LITE = 1e-3
RATE, SAMPLES = 22050, 24 * 512


@lru_cache
def shipped() -> Recipe:
    """The shipped recipe with vectors, its windows short."""
    (hybrid,) = cookbook.load(["hybrid"])
    return here(hybrid.features["vector"], hybrid.audio.rate)


def here(feature: Feature, rate: int) -> Recipe:
    told = made.recipe(fields=("vector",), window={"samples": SAMPLES, "hop": SAMPLES}, rate=rate)
    return dataclasses.replace(told, features={"vector": feature})


@lru_cache
def sounds(rate: int = RATE, samples: int = SAMPLES) -> dict[str, np.ndarray]:
    random, t = np.random.default_rng(1), np.arange(samples) / rate
    hiss = random.standard_normal(samples)
    partials = np.arange(1, 30)[:, None]
    pitch = np.cumsum(120 + 20 * np.sin(9 * t)) / rate
    voice = (np.sin(2 * np.pi * partials * pitch) / partials).sum(0) * (1.1 + np.sin(20 * t))
    low = np.fft.irfft(np.fft.rfft(hiss) * (np.arange(samples // 2 + 1) < 0.36 * samples / 2))
    found = {
        "noise": 0.1 * hiss,
        "full-scale sine": np.sin(2 * np.pi * 1000.3 * t),
        "100 dB apart": 0.5 * np.sin(2 * np.pi * 440 * t) + 5e-6 * hiss,
        "voice": 0.2 * voice,
        "voice of 16 bits": np.round(0.2 * voice * 32767) / 32768,
        "nothing above 4 kHz": 0.1 * low,
        "half silent": np.where(t < t[-1] / 2, 0.3 * hiss, 0),
        "click": np.eye(1, samples, samples // 2)[0],
        "silence": 0 * t,
        "faint": 1e-5 * hiss,
    }
    return {name: wave.astype(np.float32) for name, wave in found.items()}


def expected(waves: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The pipeline's, (sounds, numbers)."""
    spec = schema.vector_spec(recipe.features["vector"], recipe)
    return np.stack([features.vector(wave, spec) for wave in waves])


@lru_cache
def unit() -> np.ndarray:
    return expected(np.stack(list(sounds().values())), shipped()).std(0)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.float32
    assert np.isfinite(one).all()
    return float((np.abs(one - other) / unit()).max())


def test_what_the_pipeline_stores() -> None:
    recipe, found = shipped(), sounds()
    wave = np.concatenate(list(found.values()))
    item = Item(
        "a" * 64, "p", begin=0, length=len(wave), first=0, count=len(found), group=7, fold=-1
    )
    packs: Any = {"p": Sounds({"a" * 64: wave})}
    rows = examples.make((item,), recipe, 0, packs, None).done()["vector"]  # type: ignore[arg-type]
    layer = Vector(recipe.resolved(), "vector")
    told = layer(np.stack(list(found.values()))).numpy()
    assert (layer.rate, layer.samples, layer.pad) == (RATE, SAMPLES, "zero")
    assert layer.compute_output_shape((None, SAMPLES)) == (None, told.shape[1])
    for name, one, row in zip(found, told, rows, strict=True):
        assert apart(one, row) < CLOSE, name


def columns(y: np.ndarray) -> dict[str, np.ndarray]:
    """librosa's own, in float64, by the names that the pipeline has for them."""
    f, k = librosa.feature, {"n_fft": 2048, "hop_length": 512}
    framed: dict[str, Any] = {"frame_length": 2048, "hop_length": 512}
    mfcc = f.mfcc(y=y, sr=RATE, n_mfcc=20, n_mels=128, **k)
    contrast = f.spectral_contrast(y=y, sr=RATE, **k)
    chroma = f.chroma_stft(y=y, sr=RATE, tuning=0, **k)
    onset = librosa.onset.onset_strength(y=y, sr=RATE, n_mels=128, **k)
    return {
        **{f"mfcc_{i + 1:02d}": row for i, row in enumerate(mfcc)},
        "centroid": f.spectral_centroid(y=y, sr=RATE, **k)[0],
        "bandwidth": f.spectral_bandwidth(y=y, sr=RATE, **k)[0],
        "rolloff": f.spectral_rolloff(y=y, sr=RATE, **k)[0],
        "flatness": f.spectral_flatness(y=y, **k)[0],
        **{f"contrast_{i + 1}": row for i, row in enumerate(contrast)},
        "crossings": f.zero_crossing_rate(y, **framed)[0],
        "rms": f.rms(y=y, **framed)[0],
        **{f"chroma_{i + 1:02d}": row for i, row in enumerate(chroma)},
        "onset": onset,
    }


@pytest.mark.parametrize("name", ["voice", "half silent"])
def test_each_number_is_librosas_of_that_name(name: str) -> None:
    recipe, wave = shipped(), sounds()[name]
    told = Vector(recipe.resolved(), "vector")(wave[None]).numpy()[0]
    listed = features.names(schema.vector_spec(recipe.features["vector"], recipe))
    rows = columns(wave.astype(np.float64))
    wanted = {f"{column}_mean": row.mean() for column, row in rows.items()}
    wanted |= {f"{column}_deviation": row.std() for column, row in rows.items()}
    for number, size, name in zip(told, unit(), listed, strict=True):
        assert abs(number - wanted.pop(name)) < CLOSE * size, name
    assert not wanted


@pytest.mark.parametrize("samples", [1, 100, 512, 2047, 2048, 5001, SAMPLES // 2])
def test_any_number_of_samples(samples: int) -> None:
    recipe = shipped()
    begin = SAMPLES // 2 - 30  # the click is heard
    waves = np.stack([wave[begin:][:samples] for wave in sounds().values()])
    told = Vector(recipe.resolved(), "vector")(waves).numpy()
    assert apart(told, expected(waves, recipe)) < CLOSE


ODD = [
    (16000, {"n_fft": 512, "hop": 256, "mels": 96}),
    (44100, {"mels": 64, "count": 13}),
    (16000, {"n_fft": 1000, "hop": 300, "mels": 40}),  # share few factors
    (22050, {"n_fft": 512, "hop": 97, "mels": 40}),  # none
    (22050, {"fmin": 500.0, "log": "db", "top_db": 10.0}),  # which no vector heeds
]


@pytest.mark.parametrize(("rate", "odd"), ODD, ids=str)
def test_odd_numbers(rate: int, odd: dict[str, Any]) -> None:
    told: dict[str, Any] = {"kind": "vector", "n_fft": 2048, "hop": 512, "mels": 128}
    recipe = here(Feature(**(told | odd)), rate)
    waves = np.stack(list(sounds(rate).values()))
    wanted = expected(waves, recipe)
    found = Vector(recipe.resolved(), "vector")(waves).numpy()
    assert (np.abs(found - wanted) / wanted.std(0)).max() < CLOSE


def test_what_fades_below_the_least_of_float32() -> None:
    """Its power there is nothing in the shards, with neither centroid nor chroma."""
    t = np.arange(SAMPLES) / SAMPLES
    wave = (sounds()["noise"] * np.exp(-100 * t)).astype(np.float32)[None]
    told = Vector(shipped().resolved(), "vector")(wave).numpy()
    assert apart(told, expected(wave, shipped())) < 0.01


def test_a_batch_of_any_size_and_neighbours_that_do_not_matter() -> None:
    layer = Vector(shipped().resolved(), "vector")
    waves = np.stack(list(sounds().values()))
    alone = np.concatenate([layer(wave[None]).numpy() for wave in waves])
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, SAMPLES))])
    assert graph(waves[:0]).shape == (0, 92)
    for size in (1, 4, 5, 9):
        assert apart(graph(waves[:size]).numpy(), alone[:size]) < CLOSE / 10
    turned = graph(waves[::-1]).numpy()[::-1]
    assert apart(turned, alone) < CLOSE / 10


def test_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, seen, whole = Vector(shipped().resolved(), "vector"), [], Vector._vector
    monkeypatch.setattr(layer, "_vector", lambda x: seen.append(len(x)) or whole(layer, x))
    layer(np.stack(list(sounds().values())))
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("size", [None, 3, 9])
def test_a_net_behind_it_knows_its_shape(size: int | None) -> None:
    layer = Vector(shipped().resolved(), "vector")
    net = keras.Sequential([keras.Input((SAMPLES,)), layer, keras.layers.Dense(2)])
    assert net.output_shape == (None, 2)
    assert not layer.variables
    traced = tf.function(layer).get_concrete_function(tf.TensorSpec((size, SAMPLES)))
    assert traced.output_shapes == (size, 92)


def test_silence_is_told_in_plain_numbers() -> None:
    recipe = shipped()
    told = Vector(recipe.resolved(), "vector")(np.zeros((1, SAMPLES), np.float32)).numpy()[0]
    listed = features.names(schema.vector_spec(recipe.features["vector"], recipe))
    found = dict(zip(listed, told, strict=True))
    assert found.pop("mfcc_01_mean") == pytest.approx(-100 * np.sqrt(128))  # dB
    assert found.pop("flatness_mean") == pytest.approx(1)
    assert np.abs(list(found.values())).max() < 1e-6


def test_the_same_as_files() -> None:
    recipe = shipped().resolved()
    waves, takes = np.stack(list(sounds().values())), {"wave": (SAMPLES,)}
    layer = Vector(recipe, "vector")
    told = layer(waves).numpy()
    saved = load_saved(saved_files(layer, [], takes), ["wave"])
    assert apart(saved(waves), told) < CLOSE / 10
    lite = load_lite(lite_bytes(Vector(recipe, "vector", exact=False), takes))
    for name, one, wanted in zip(sounds(), lite(waves), told, strict=True):
        assert apart(one, wanted) < LITE, name


def test_what_it_cannot_make_is_refused() -> None:
    told = made.recipe().resolved()
    with pytest.raises(RunError, match=r"no such feature; expected \['logmel'\]; got vector"):
        Vector(told, "vector")
    with pytest.raises(
        RunError, match="feature logmel: not a vector; expected kind vector; got mel"
    ):
        Vector(told, "logmel")
