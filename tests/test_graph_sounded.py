"""Sound made of spectra: heard again it has these spectra, as near as bands without phases go.

Reads and writes nothing.
"""

import dataclasses

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from pipeline import cookbook  # noqa: E402
from training.graph.frontend import LogMel  # noqa: E402
from training.graph.sounded import sounded  # noqa: E402

NAMES = ["noise-classifier", "musicnn"]  # decibels, and log10(1 + c power)
SECONDS = 1.5


def front(name: str, **changes: object) -> LogMel:
    (one,) = cookbook.load([name])
    feature = dataclasses.replace(one.features["logmel"], **changes)  # type: ignore[arg-type]
    hops = int(SECONDS * one.audio.rate) // feature.hop
    samples = hops * feature.hop
    window = dataclasses.replace(one.window, samples=samples, hop=samples)
    made = dataclasses.replace(one, window=window, features={"logmel": feature})
    return LogMel(made.resolved(), "logmel")


def sounds(made: LogMel) -> dict[str, np.ndarray]:
    random, t = np.random.default_rng(3), np.arange(made.samples) / made.rate
    hiss = random.standard_normal(made.samples)
    rain = np.convolve(hiss, np.ones(8) / 8, "same")  # less in the treble
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 554.4, 1318.5, 3520.0))
    return {
        "hiss": 0.05 * hiss,
        "loud": 0.25 * hiss,
        "rain that stops": np.where(t < t[-1] / 2, 0.2, 0.002) * rain,
        "chord in hiss": 0.05 * chord + 0.003 * hiss,
        "swelling": 0.1 * (0.05 + t / t[-1]) * rain,
    }


@pytest.fixture(scope="module", params=NAMES)
def heard(request: pytest.FixtureRequest) -> tuple[LogMel, list[str], np.ndarray, np.ndarray]:
    """Names, spectra as stored, and those of the sound that is made of them."""
    made = front(request.param)
    found = sounds(made)
    stored = made(np.stack(list(found.values())).astype(np.float32)).numpy()
    waves = sounded(stored, made)
    assert waves.dtype == np.float32
    assert waves.shape == (len(found), made.samples)
    assert np.abs(waves).max() <= 1
    return made, list(found), stored, made(waves).numpy()


Heard = tuple[LogMel, list[str], np.ndarray, np.ndarray]


def decibels(made: LogMel, x: np.ndarray) -> np.ndarray:
    """Of either logarithm, with a floor 60 dB below the loudest."""
    if made.feature["log"] == "log10_1p":
        x = 10 * np.log10(np.maximum(10 ** x.astype(np.float64) - 1, 1e-12) / made.feature["c"])
    return np.asarray(np.maximum(x, x.max((1, 2), keepdims=True) - 60))


def test_noise_has_nearly_the_same_spectra(heard: Heard) -> None:
    """The mean over frames to a part of a decibel; single frames spread as noise's own do."""
    made, names, stored, again = heard
    for name, x, y in zip(names, decibels(made, stored), decibels(made, again), strict=True):
        if "chord" not in name:
            assert np.abs(x.mean(0) - y.mean(0)).mean() < 1.0, name
            assert np.abs(x - y).mean() < 3.0, name


def test_what_varies_varies_alike(heard: Heard) -> None:
    """In time or over bands; a tone is spread over its band, and leaks into those beside it."""
    made, names, stored, again = heard
    x, y = decibels(made, stored), decibels(made, again)
    for name, least in (("rain that stops", 0.95), ("swelling", 0.9), ("chord in hiss", 0.75)):
        k = names.index(name)
        assert np.corrcoef(x[k].ravel(), y[k].ravel())[0, 1] > least, name


def test_the_level_is_kept(heard: Heard) -> None:
    made, names, stored, again = heard
    x, y = (10 ** (decibels(made, one) / 10) for one in (stored, again))
    change = 10 * np.log10(y.mean((1, 2)) / x.mean((1, 2)))
    assert np.abs(change).max() < 1.0, dict(zip(names, change, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_silent(name: str) -> None:
    made = front(name)
    quiet = made(np.zeros((1, made.samples), np.float32)).numpy()
    assert np.abs(sounded(quiet, made)).max() < 1e-4


def test_the_same_spectra_make_the_same_sound() -> None:
    made = front(NAMES[0])
    clips = made(np.stack(list(sounds(made).values())[:2]).astype(np.float32)).numpy()
    one, again = sounded(clips, made), sounded(clips, made)
    assert np.array_equal(one, again)
    assert not np.array_equal(one[0], one[1])


def test_of_natural_logarithms_and_of_a_window_s_own_peak() -> None:
    natural, peak = front(NAMES[0], log="ln", eps=1e-6), front(NAMES[0], ref=0.0)
    wave = np.random.default_rng(0).normal(0, 0.003, (1, natural.samples)).astype(np.float32)
    assert not sounded(natural(0 * wave).numpy(), natural).any()
    x = natural(wave).numpy()
    y = natural(sounded(x, natural)).numpy()
    assert np.abs(x - y).mean() < 3.0 / 10 * np.log(10)
    x = peak(wave).numpy()
    assert x.max() == 0
    assert np.abs(x - peak(sounded(x, peak)).numpy()).mean() < 3.0
