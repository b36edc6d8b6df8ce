"""The diarizer's network: places, padding, sizes.

Reads and writes nothing.
"""

import pytest

torch = pytest.importorskip("torch")

from training.diarizer.net import Diarizer, evened, recorded  # noqa: E402
from training.diarizer.powerset import coarser  # noqa: E402
from training.diarizer.profiles import PROFILES  # noqa: E402
from training.diarizer.train import make_net  # noqa: E402

MELS = 20


def net_of(shorter: int = 10, blocks: int = 2) -> Diarizer:
    torch.manual_seed(3)
    return Diarizer(MELS, 16, blocks, shorter, 11).eval()


def heard(net: Diarizer, x: torch.Tensor, count: int | None = None) -> torch.Tensor:
    with torch.inference_mode():
        told, voices = net(x, torch.tensor([x.shape[1] if count is None else count]))
    return torch.cat([told, voices], -1)[0]


@pytest.mark.parametrize("shorter", [10, 15, 20])
def test_a_frame_of_the_model_lies_on_those_that_it_stands_for(shorter: int) -> None:
    """The gradient of an answer to the frames, without attention, is about its own middle."""
    net = net_of(shorter, blocks=0)
    x = torch.randn(1, 8 * shorter, MELS, requires_grad=True)
    flat = x
    for step in net.stem:
        flat = step(flat)
    assert flat.shape == (1, 8, 16)
    for place in (2, 5):
        (slope,) = torch.autograd.grad(flat[0, place].sum(), x, retain_graph=True)
        seen = slope.abs().sum((0, 2)).nonzero().flatten()
        assert float(seen.float().mean()) == pytest.approx((place + 0.5) * shorter - 0.5, abs=1)
        assert seen.min() <= place * shorter
        assert seen.max() >= (place + 1) * shorter - 1


@pytest.mark.parametrize("shorter", [10, 15, 20])
def test_what_is_behind_the_end_changes_nothing(shorter: int) -> None:
    net, count = net_of(shorter), 9 * shorter + 3
    x = torch.randn(1, 16 * shorter, MELS)
    other = x.clone()
    other[:, count:] = 100 * torch.randn(1, 16 * shorter - count, MELS)
    apart = heard(net, x, count)[:10] - heard(net, other, count)[:10]
    assert apart.abs().max() < 1e-5
    assert (heard(net, x) - heard(net, other))[:10].abs().max() > 1e-3  # it would
    alone = heard(net, x[:, : 10 * shorter], count)
    assert (alone - heard(net, x, count)[:10]).abs().max() < 1e-5  # whatever the length


def test_neither_level_nor_microphone_matter() -> None:
    net, x = net_of(), torch.randn(1, 200, MELS)
    told = heard(net, x)
    assert (heard(net, x + 3.0) - told).abs().max() < 1e-4
    assert (heard(net, x + torch.linspace(-2, 2, MELS)) - told).abs().max() < 1e-4
    assert (heard(net, x.flip(1)) - told).abs().max() > 1e-3


def test_silence_is_a_number() -> None:
    assert torch.isfinite(heard(net_of(), torch.full((1, 50, MELS), -13.8))).all()
    assert torch.isfinite(heard(net_of(), torch.zeros(1, 10, MELS), 1)).all()
    even = evened(torch.randn(2, 30, MELS), torch.tensor([30, 7]))
    assert even[1, 7:].abs().max() == 0
    assert even[1, :7].mean(0).abs().max() < 1e-5
    assert even[0].square().mean() == pytest.approx(1, abs=1e-4)


def test_no_place_is_numbered() -> None:
    """What stands twice in a sequence gets the same answer twice, away from its edges."""
    net, x = net_of(), torch.randn(1, 400, MELS)
    told = heard(net, x.repeat(1, 4, 1))
    inner = torch.arange(50, 70)  # frames of the model; a block sees 7 to each side, the stem 2
    assert (told[inner] - told[inner + 40]).abs().max() < 1e-4
    assert (told[inner] - told[inner + 20]).abs().max() > 1e-3


def test_frames_and_widths_that_cannot_be_made_are_refused() -> None:
    for shorter, width in ((7, 16), (10, 18)):
        with pytest.raises(ValueError, match="frames by 5s"):
            Diarizer(MELS, width, 1, shorter, 11)


@pytest.mark.parametrize(
    ("name", "millions"), [("original", 4.8), ("optimized", 0.97), ("ultra-fast", 0.2)]
)
def test_sizes_are_those_that_are_told(name: str, millions: float) -> None:
    net = make_net(PROFILES[name], 40)
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.03)


def test_parts_of_longer_frames() -> None:
    activity = torch.tensor([[1, 1, 0, 0, 0, 0, 1]], dtype=torch.uint8)[..., None]
    assert coarser(activity, 3)[0, :, 0].tolist() == pytest.approx([2 / 3, 0])
    assert recorded(4, torch.tensor([0, 3])).tolist() == [[False] * 4, [True] * 3 + [False]]
