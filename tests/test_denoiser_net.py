"""The denoiser's networks: any length, what a sample can depend on, masks, gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.denoiser.net import encoder_parameters, make_net  # noqa: E402
from training.denoiser.spec import SpecNet, dft_bases, fft_size  # noqa: E402
from training.denoiser.unet import FLOOR, LEVEL_BLOCK, LEVEL_SPAN, UNet, local_level  # noqa: E402

torch.set_num_threads(1)
LENGTHS = (1, 15, 16, 17, 1000, 5003)


def noise(*shape: int, seed: int = 0, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def strong(net: torch.nn.Module) -> torch.nn.Module:
    """Weights so large that every path shows in the output."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return net.eval()


def small(arch: str) -> torch.nn.Module:
    return strong(UNet(4) if arch == "unet" else SpecNet(16000, 8, 2))


def masking(real: float, imag: float, rate: int = 22050) -> SpecNet:
    """A spec net that puts the same mask on every bin."""
    net = SpecNet(rate, 4, 1).eval()
    bins = net.hop + 1
    with torch.no_grad():
        net.last.weight.zero_()
        net.last.bias[:bins], net.last.bias[bins:] = real, imag
    return net


@pytest.mark.parametrize("arch", ["unet", "spec"])
@pytest.mark.parametrize("length", LENGTHS)
def test_any_length(arch: str, length: int) -> None:
    wave = noise(2, length)
    with torch.no_grad():
        clean = small(arch)(wave)
    assert clean.shape == wave.shape
    assert clean.isfinite().all()
    assert (clean - wave).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("arch", "low", "high"),
    [
        ("unet", 12e6, 14e6),
        ("unet-small", 1e6, 1.5e6),
        ("spec", 0.1e6, 0.2e6),
        ("spec-large", 0.5e6, 0.8e6),
    ],
)
def test_parameters(arch: str, low: float, high: float) -> None:
    net = make_net(arch, 22050)
    assert low < sum(p.numel() for p in net.parameters()) < high


def test_unknown_architecture_names_the_known() -> None:
    with pytest.raises(ValueError, match="unet-small"):
        make_net("demucs", 16000)


@pytest.mark.parametrize("arch", ["unet-small", "spec"])
def test_a_fresh_net_nearly_keeps_its_input_and_every_weight_learns(arch: str) -> None:
    torch.manual_seed(0)
    net = make_net(arch, 22050)
    wave = noise(1, 6000)
    clean = net(wave)
    assert (clean - wave).std() < 0.1 * wave.std()
    (clean - 0.5 * wave).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("arch", ["unet-small", "spec"])
def test_weights_come_from_the_seed_and_output_repeats(arch: str) -> None:
    wave, outs = noise(1, 3000), []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        outs.append(make_net(arch, 16000)(wave))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("arch", ["unet-small", "spec"])
def test_the_encoder_is_a_part(arch: str) -> None:
    net = make_net(arch, 16000)
    held = {id(p) for p in encoder_parameters(net)}
    first, last = (net.stem, net.head) if arch == "unet-small" else (net.first, net.last)
    assert {id(p) for p in first.parameters()} < held
    assert not {id(p) for p in last.parameters()} & held


def test_the_unet_sees_its_context_and_no_more() -> None:
    net = strong(UNet(2))
    middle = 40 * LEVEL_BLOCK + 777
    wave = noise(1, 80 * LEVEL_BLOCK).requires_grad_()
    net(wave)[0, middle].backward()
    seen = wave.grad[0].abs().nonzero()[:, 0]
    reach = max(middle - int(seen[0]), int(seen[-1]) - middle)
    assert 0.5 * net.context < reach <= net.context


def test_the_spec_net_is_causal_but_for_its_frame() -> None:
    net = small("spec")
    at = 5 * net.hop + 100
    wave = noise(1, 12 * net.hop).requires_grad_()
    net(wave)[0, at].backward()
    seen = wave.grad[0].abs().nonzero()[:, 0]
    assert int(seen[0]) < net.hop
    assert 6 * net.hop <= int(seen[-1]) < 7 * net.hop


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_every_stage_has_a_way_around_the_deeper_ones(stage: int) -> None:
    net = strong(UNet(2))
    for parameter in net.down[stage + 1].parameters():
        torch.nn.init.zeros_(parameter)
    net(noise(1, 2000)).square().mean().backward()
    assert net.down[stage].conv.weight.grad.abs().max() > 0


def test_level_is_the_deviation_nearby() -> None:
    rate = torch.cat([noise(1, 1, 100 * LEVEL_BLOCK), 5 * noise(1, 1, 100 * LEVEL_BLOCK + 100)], 2)
    level = local_level(rate + 0.3)[0, 0].numpy()  # an offset counts for nothing
    assert level[:10000] == pytest.approx(0.1, rel=0.02)
    assert level[-10000:] == pytest.approx(0.5, rel=0.02)
    at = 150  # between the centres of two measurements: the mean of both
    half = LEVEL_SPAN // 2
    spans = [
        rate[0, 0, (i - half) * LEVEL_BLOCK : (i + half + 1) * LEVEL_BLOCK].numpy().std()
        for i in (at - 1, at)
    ]
    assert level[at * LEVEL_BLOCK - 1] == pytest.approx(np.mean(spans), rel=1e-3)
    assert local_level(torch.zeros(1, 1, 3000)).numpy() == pytest.approx(FLOOR)


def test_the_unet_follows_the_level() -> None:
    net, wave = small("unet"), noise(1, 5000)
    with torch.no_grad():
        assert (net(4 * wave) - 4 * net(wave)).abs().max() < 1e-5


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_the_spectrum_is_that_of_numpy_and_comes_back(rate: int) -> None:
    size = {16000: 512, 22050: 768, 44100: 1536}[rate]
    assert fft_size(rate) == size
    frame = noise(size).double().numpy()
    window = np.sin(np.pi * np.arange(size) / size)
    expected = np.fft.rfft(frame * window)
    found = frame @ dft_bases(size)[0].double().numpy()
    assert found == pytest.approx(np.concatenate([expected.real, expected.imag]), abs=1e-5)
    wave = noise(2, 3001)
    with torch.no_grad():
        assert (masking(1.0, 0.0, rate)(wave) - wave).abs().max() < 1e-6


def test_a_mask_is_a_complex_factor() -> None:
    wave = noise(1, 4000)
    with torch.no_grad():
        half, turned = masking(0.5, 0.0)(wave), masking(0.0, 1.0)(wave)
    assert (half - 0.5 * wave).abs().max() < 1e-6
    rate, frequency = 22050, 1000.0
    time = torch.arange(8000) / rate
    sine = torch.sin(2 * torch.pi * frequency * time)[None]
    with torch.no_grad():
        turned = masking(0.0, 1.0)(sine)[0, 2000:6000]
    cosine = torch.cos(2 * torch.pi * frequency * time)[2000:6000]  # a quarter turn ahead
    assert (turned - cosine).abs().max() < 1e-3


# ------------------------------------------------------------------ half precision


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("arch", ["spec", "unet"])
def test_half_precision_changes_what_a_net_does_by_its_rounding_alone(
    arch: str, kind: torch.dtype
) -> None:
    """A tone at full scale, of power 2e5 in its bin, beside noise 60 dB below it. A dozen layers
    round by half of eps each, what is kept as well as the tenth or so that is changed."""
    torch.manual_seed(0)
    net = (UNet(4) if arch == "unet" else SpecNet(48000)).eval()
    tone = torch.sin(2 * torch.pi * 440 / 48000 * torch.arange(12000))
    wave = tone + noise(2, 12000, level=1e-3)
    with torch.no_grad():
        whole = net(wave)
        with torch.autocast("cpu", kind):
            half = net(wave)
    assert half.dtype == torch.float32
    assert (half - whole).norm() < 12 * torch.finfo(kind).eps * (whole - wave).norm()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_spectrum_is_taken_and_undone_in_full_precision(kind: torch.dtype) -> None:
    wave = noise(2, 5003)
    with torch.no_grad(), torch.autocast("cpu", kind):
        assert (masking(1.0, 0.0)(wave) - wave).abs().max() < 1e-6
