"""The denoiser's losses against librosa's spectra in float64 and values known beforehand."""

import librosa
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.denoiser.loss import LOSSES, RESOLUTIONS, make_loss  # noqa: E402

torch.set_num_threads(1)
RATE = 16000


def waves(length: int = 8000, noise: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    clean = 0.1 * random.standard_normal((2, length)) * np.linspace(0.1, 1, length)
    noisy = clean + noise * random.standard_normal((2, length))
    return torch.tensor(noisy, dtype=torch.float32), torch.tensor(clean, dtype=torch.float32)


def levelled(estimate: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    level = torch.tensor(np.sqrt(np.mean(clean.numpy() ** 2, axis=1, keepdims=True)))
    return estimate / level, clean / level


def spectra(wave: torch.Tensor, size: int, hop: int, length: int) -> np.ndarray:
    return librosa.stft(
        wave.double().numpy(), n_fft=size, hop_length=hop, win_length=length, pad_mode="constant"
    )


@pytest.mark.parametrize("name", LOSSES)
def test_zero_for_the_clean_wave_and_more_for_more_noise(name: str) -> None:
    loss = make_loss(name, RATE)
    clean = waves()[1]
    found = [float(loss(waves(noise=level)[0], clean)) for level in (0.001, 0.01, 0.1)]
    least = 0.2 * 10 * np.log10(3e-4) if name == "composite-sdr" else 0.0
    assert float(loss(clean, clean)) == pytest.approx(least, abs=1e-6)
    assert least < found[0] < found[1] < found[2]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0])
def test_gradients_are_finite_even_around_silence(name: str, level: float) -> None:
    clean = torch.zeros(1, 700)
    estimate = (level * waves(700)[0][:1]).requires_grad_()
    make_loss(name, RATE)(estimate, clean).backward()
    assert estimate.grad.isfinite().all()
    assert estimate.grad.abs().max() < 1e3


@pytest.mark.parametrize("name", ["composite", "composite-sdr", "mrstft"])
def test_a_quiet_example_counts_as_a_loud_one(name: str) -> None:
    estimate, clean = waves()
    loss = make_loss(name, RATE)
    assert float(loss(0.4 * estimate, 0.4 * clean)) == pytest.approx(float(loss(estimate, clean)))


def test_silence_with_noise_does_not_outweigh_speech() -> None:
    """At the same distance in dB full scale it counts at most as speech 20 dB below its usual."""
    estimate, clean = waves()
    loss = make_loss("composite", RATE)
    assert float(loss(estimate - clean, 0 * clean)) < 2 * float(loss(estimate, 0.1 * clean))


def test_mse_of_a_constant_difference() -> None:
    clean = waves()[1]
    assert float(make_loss("mse", RATE)(clean + 0.1, clean)) == pytest.approx(0.01, rel=1e-5)


def test_composite_against_librosa() -> None:
    estimate, clean = levelled(*waves())
    a, b = (spectra(wave, 512, 128, 512) for wave in (estimate, clean))
    size = (np.abs(a) ** 0.3 - np.abs(b) ** 0.3) ** 2
    turned = [np.abs(s) ** 0.3 * np.exp(1j * np.angle(s)) for s in (a, b)]
    parts = np.stack([turned[0].real - turned[1].real, turned[0].imag - turned[1].imag])
    expected = 0.2 * (estimate - clean).abs().mean() + 0.3 * size.mean() + 0.5 * (parts**2).mean()
    found = make_loss("composite", RATE)(estimate, clean)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("decibels", [0.0, 10.0, 20.0])
def test_the_sdr_term_counts_each_decibel_alike(decibels: float) -> None:
    clean = waves()[1]
    error = torch.roll(clean, 4000, 1) * 10 ** (-decibels / 20)  # as strong but elsewhere
    plain, more = (
        float(make_loss(name, RATE)(clean + error, clean))
        for name in ("composite", "composite-sdr")
    )
    expected = 0.2 * 10 * np.log10(10 ** (-decibels / 10) + 3e-4)
    assert more - plain == pytest.approx(expected, abs=1e-3)


def test_the_phase_counts() -> None:
    """Of a wave upside down the magnitudes are right: only the other terms remain."""
    clean = levelled(*waves())[1]
    power = np.abs(spectra(clean, 512, 128, 512)) ** 0.6
    expected = 0.2 * 2 * float(clean.abs().mean()) + 0.5 * 4 * power.mean() / 2
    assert float(make_loss("composite", RATE)(-clean, clean)) == pytest.approx(expected, rel=1e-3)


def test_multi_resolution_against_librosa() -> None:
    estimate, clean = waves()
    estimate, clean = levelled(estimate, clean)
    expected = float((estimate - clean).abs().mean())
    for size, hop, length in RESOLUTIONS:
        a, b = (np.abs(spectra(wave, size, hop, length)) for wave in (estimate, clean))
        convergence = np.mean([np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in zip(a, b)])  # noqa: B905
        logs = np.abs(np.log(np.maximum(a, 3e-4)) - np.log(np.maximum(b, 3e-4))).mean()
        expected += (convergence + logs) / 2 / len(RESOLUTIONS)
    found = make_loss("mrstft", RATE)(estimate, clean)
    assert float(found) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_full_precision_whatever_comes(name: str) -> None:
    estimate, clean = waves()
    loss = make_loss(name, RATE)
    estimate, clean = estimate.bfloat16(), clean.bfloat16()
    found = loss(estimate, clean)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss(estimate.float(), clean.float())))


def test_unknown_loss_names_the_known() -> None:
    with pytest.raises(ValueError, match="composite"):
        make_loss("mae", RATE)
