"""A recording block by block gives what the whole gives, at any rate and number of channels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

torch = pytest.importorskip("torch")

from training.data.index import DataError  # noqa: E402
from training.denoiser import stream as stream  # noqa: E402
from training.denoiser.spec import SpecNet  # noqa: E402
from training.denoiser.stream import denoise_blocks, denoise_file  # noqa: E402
from training.denoiser.unet import LEVEL_BLOCK, UNet  # noqa: E402

torch.set_num_threads(1)
RATE = 16000  # the nets'
TOLERANCE = 1e-5  # of full scale


def net_of(arch: str) -> torch.nn.Module:
    """Weights so large that a state lost or a context cut short shows."""
    torch.manual_seed(1)
    net = UNet(2) if arch == "unet" else SpecNet(RATE, 8, 2)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    if arch == "spec":
        torch.nn.init.ones_(net.last.bias)  # as loud as the input
    return net.eval()


def keeping(rate: int = RATE) -> SpecNet:
    """A net that changes nothing."""
    net = SpecNet(rate, 4, 1)
    with torch.no_grad():
        net.last.weight.zero_()
    return net


def sound(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise whose level wanders by 20 dB."""
    random = np.random.default_rng(seed)
    swell = 10 ** np.sin(np.arange(frames) / 20000)
    return (0.03 * swell[:, None] * random.standard_normal((frames, channels))).astype("f4")


def blocks(wave: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (wave[at : at + size] for at in range(0, len(wave), size))


def cleaned(net: torch.nn.Module, wave: np.ndarray, size: int, rate: int = RATE) -> np.ndarray:
    parts = list(denoise_blocks(net, RATE, rate, wave.shape[1], blocks(wave, size)))
    return np.concatenate(parts)


def whole(net: torch.nn.Module, wave: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(wave.T.copy())).numpy().T


@pytest.mark.parametrize("arch", ["unet", "spec"])
@pytest.mark.parametrize(("frames", "size"), [(150_001, 65536), (60_000, 777), (300, 1), (1, 9)])
def test_blocks_give_what_the_whole_gives(
    arch: str, frames: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "WORK", 8 * LEVEL_BLOCK)
    net, wave = net_of(arch), sound(frames)
    expected = whole(net, wave)
    assert np.abs(expected - wave).max() > 10 * TOLERANCE
    assert np.abs(cleaned(net, wave, size) - expected).max() < TOLERANCE


@pytest.mark.parametrize("arch", ["unet", "spec"])
def test_a_recording_without_samples(arch: str) -> None:
    assert cleaned(net_of(arch), sound(10), 10)[:0].shape == (0, 1)
    assert sum(map(len, denoise_blocks(net_of(arch), RATE, 48000, 1, []))) == 0


def test_channels_do_not_meet() -> None:
    net, wave = net_of("spec"), sound(20_000, 3)
    together = cleaned(net, wave, 4096, 48000)
    for i in range(3):
        alone = cleaned(net, wave[:, i : i + 1], 4096, 48000)
        assert np.abs(together[:, i : i + 1] - alone).max() < TOLERANCE


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("frames", [70_001, 12_345])
def test_another_rate_is_resampled_there_and_back(rate: int, frames: int) -> None:
    net, wave = net_of("spec"), sound(frames, 2)
    inner = whole(net, soxr.resample(wave, rate, RATE))
    expected = soxr.resample(inner, RATE, rate)
    found = cleaned(net, wave, 10_000, rate)
    assert found.shape == wave.shape
    inside = slice(rate // 10, frames - rate // 10)
    assert np.abs(found[inside] - expected[inside]).max() < TOLERANCE


def test_sound_stays_where_it_was() -> None:
    time = np.arange(48000) / 48000
    wave = (0.3 * np.sin(2 * np.pi * np.outer(time, (500, 3000)))).astype("f4")
    found = cleaned(keeping(), wave, 5000, 48000)
    assert np.abs(found - wave)[2000:-2000].max() < 1e-3


def test_little_is_held() -> None:
    work, reach, size = stream.WORK, net_of("unet").context, 5000
    held = stream.Overlapped(net_of("unet"), 1)
    for block in blocks(sound(3 * work), size):
        held.push(torch.from_numpy(block.T.copy()))
        assert held.held.shape[1] < work + 2 * reach + size
    carried = stream.Carried(net_of("spec"), 1)
    for block in blocks(sound(100_000), 777):
        carried.push(torch.from_numpy(block.T.copy()))
        assert carried.rest.shape[1] < carried.net.hop
        assert carried.taken - carried.given < 2 * carried.net.hop


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_24"), ("a.flac", "PCM_24"), ("b.ogg", "VORBIS")]
)
def test_a_file_keeps_its_form(name: str, subtype: str, tmp_path: Path) -> None:
    wave = sound(30_000, 2)
    soundfile.write(tmp_path / "in.wav", wave, 48000, "PCM_24")
    assert denoise_file(keeping(), RATE, tmp_path / "in.wav", tmp_path / name) == 30_000
    info = soundfile.info(tmp_path / name)
    assert (info.samplerate, info.channels, info.frames) == (48000, 2, 30_000)
    assert info.subtype == subtype
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.wav", name])


def test_a_file_tells_how_far_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", sound(200_000, 2), 48000)
    told: list[float] = []
    denoise_file(keeping(), RATE, tmp_path / "in.wav", tmp_path / "out.wav", told.append)
    assert sum(told) == pytest.approx(200_000 / 48000)
    assert len(told) > 3


def test_a_file_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", sound(0, 2), 48000)
    assert denoise_file(keeping(), RATE, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.frames, info.channels, info.samplerate) == (0, 2, 48000)


def test_a_loud_file_is_clipped_not_wrapped(tmp_path: Path) -> None:
    wave = np.sign(np.sin(2 * np.pi * 100 * np.arange(44100) / 44100))  # rings beyond full scale
    soundfile.write(tmp_path / "in.wav", wave, 44100, "PCM_16")
    denoise_file(keeping(), RATE, tmp_path / "in.wav", tmp_path / "out.wav")
    found = soundfile.read(tmp_path / "out.wav")[0]
    assert found.max() > 0.999
    assert (found * wave)[4000:-4000].min() > -0.5  # no sample far on the other side


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [("nan.wav", "out.wav", "no numbers"), ("in.wav", "out.xyz", "unknown format"),
     ("none.wav", "out.wav", "no such file"), ("text.wav", "out.wav", "cannot be read")],
)  # fmt: skip
def test_what_cannot_be_done_leaves_nothing(
    source: str, target: str, said: str, tmp_path: Path
) -> None:
    wave = sound(1000)
    soundfile.write(tmp_path / "in.wav", wave, RATE)
    wave[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, RATE, "FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(DataError, match=said):
        denoise_file(keeping(), RATE, tmp_path / source, tmp_path / target)
    assert not list(tmp_path.glob("*out*"))
