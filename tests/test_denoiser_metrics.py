"""Scores of mixtures known beforehand, costs counted by hand."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.denoiser import metrics as metrics  # noqa: E402

torch.set_num_threads(1)
RATE = 16000


def sine(frequency: float, level: float = 1.0, seconds: float = 1.0) -> np.ndarray:
    """Whole periods: two of them are orthogonal, and each has the mean 0."""
    return level * np.sin(2 * np.pi * frequency * np.arange(round(RATE * seconds)) / RATE)


def speechlike(seconds: float = 3.0) -> np.ndarray:
    """Syllables of a harmonic tone with changing pitch."""
    t = np.arange(round(RATE * seconds)) / RATE
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    tone = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25))
    return 0.1 * tone * np.clip(np.sin(2 * np.pi * 2.5 * t), 0, None)


@pytest.mark.parametrize("decibels", [-10, 0, 20, 60])
def test_si_sdr_of_a_known_mixture(decibels: float) -> None:
    clean, noise = sine(440), sine(1000, 10 ** (-decibels / 20))
    assert metrics.si_sdr(clean + noise, clean) == pytest.approx(decibels, abs=1e-6)
    assert metrics.si_sdr(0.01 * (clean + noise) + 0.5, clean - 2) == pytest.approx(decibels)


def test_si_sdr_at_its_ends() -> None:
    clean = sine(440)
    assert metrics.si_sdr(clean, clean) == metrics.CEILING
    assert metrics.si_sdr(3 * clean.astype("f4"), clean.astype("f4")) == metrics.CEILING
    assert metrics.si_sdr(0 * clean, clean) == -metrics.CEILING
    assert metrics.si_sdr(sine(1000), clean) == -metrics.CEILING
    assert np.isnan(metrics.si_sdr(clean, 0 * clean))


def test_a_batch_is_its_waves() -> None:
    random = np.random.default_rng(0)
    clean, noisy = random.standard_normal((2, 3, 4, 2000)).astype("f4")
    clean[1, 2] = 0
    each = [[metrics.si_sdr(noisy[i, j], clean[i, j]) for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(metrics.si_sdr(noisy, clean), each, rtol=1e-9)
    assert np.isnan(each[1][2])


def test_gain_is_what_the_noise_lost() -> None:
    clean, noise = sine(440), sine(1000, 0.3)
    found = metrics.si_sdr_gain(clean + noise / 2, clean + noise, clean)
    assert found == pytest.approx(20 * np.log10(2))


def test_perceptual_scores_follow_the_noise() -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    clean = speechlike()
    noise = np.random.default_rng(0).standard_normal(len(clean))
    for score, best, margin in ((metrics.pesq_wb, 4.6439, 1e-3), (metrics.estoi, 1.0, 1e-6)):
        found = [score(clean + level * noise, clean, RATE) for level in (0, 0.003, 0.03)]
        assert found[0] == pytest.approx(best, abs=margin)
        assert found[0] > found[1] > found[2]
        assert np.isnan(score(noise, 0 * clean, RATE))
        assert np.isnan(score(clean[:2000], clean[:2000], RATE))


def test_pesq_hears_16_khz_of_any_rate() -> None:
    pytest.importorskip("pesq")
    soxr = pytest.importorskip("soxr")
    clean = speechlike()
    noisy = clean + 0.01 * np.random.default_rng(0).standard_normal(len(clean))
    there = [soxr.resample(wave, RATE, 44100) for wave in (noisy, clean)]
    there[0] += 0.05 * np.sin(2 * np.pi * 12000 / 44100 * np.arange(len(there[0])))
    at = metrics.pesq_wb(noisy, clean, RATE)
    assert metrics.pesq_wb(*there, 44100) == pytest.approx(at, abs=0.05)


def test_estoi_is_the_extended_one_with_the_clean_wave_first() -> None:
    pystoi = pytest.importorskip("pystoi")
    clean = speechlike()
    noisy = clean + 0.02 * np.random.default_rng(0).standard_normal(len(clean))
    plain, other = pystoi.stoi(clean, noisy, RATE), pystoi.stoi(noisy, clean, RATE, True)
    found = metrics.estoi(noisy, clean, RATE)
    assert found == pytest.approx(pystoi.stoi(clean, noisy, RATE, True))
    assert min(abs(found - plain), abs(found - other)) > 0.01


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", metrics)
    assert metrics.missing() == ["PESQ is left out: pip install pesq to have it"]


class Chain(torch.nn.Module):
    """One of each kind that is counted: 3 channels out, then 5 states."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 3, 8, 4)
        self.gru = torch.nn.GRU(3, 5, batch_first=True)
        self.drop = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(5, 2)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.conv(wave[:, None]).transpose(1, 2))
        return self.out(self.gru(x)[0])


def test_parameters_and_multiplications_by_hand() -> None:
    net = Chain().train()
    assert metrics.parameters(net) == (3 * 8 + 3) + 3 * (5 * 3 + 5 * 5 + 2 * 5) + (5 * 2 + 2)
    steps = (4 * 8000 - 8) // 4 + 1
    each = 3 * 8 + 3 * (5 * 3 + 5 * 5) + 5 * 2
    assert metrics.macs_per_second(net, 8000, 4.0) == pytest.approx(steps * each / 4)
    assert net.training
    net.conv.weight.requires_grad_(False)
    assert metrics.parameters(net) == 3 + 150 + 12
