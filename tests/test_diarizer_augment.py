"""What a diarizer's batches are turned into: each change beside a plain loop, and nothing else
touched.

Reads and writes nothing.
"""

import random
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.diarizer.augment import Augment, backwards, tones, warped  # noqa: E402

OFF = Augment(warp=0.0, flip=0.0, bands=0, times=0, tone=0.0, part=1.0)
MELS = 20


def batch_of(frames: int = 1200, *counts: int, seed: int = 0) -> dict[str, Any]:
    """Every frame tells its place: band 0 of frame t is t, and labels are its bits."""
    counts = counts or (frames, frames - 7, frames // 2)
    made = torch.Generator().manual_seed(seed)
    place = torch.arange(float(frames))
    logmel = torch.randn(len(counts), frames, MELS, generator=made)
    logmel[:, :, 0] = place
    bits = (torch.arange(frames)[:, None] >> torch.arange(4)) & 1
    return {
        "logmel": logmel, "activity": bits.to(torch.uint8).repeat(len(counts), 1, 1),
        "frames": torch.tensor(counts), "voices": torch.arange(4 * len(counts)).reshape(-1, 4),
    }  # fmt: skip


def done(one: Augment, batch: dict[str, Any], seed: int) -> Any:
    torch.manual_seed(seed)
    return one(batch)


def labels_fit(batch: dict[str, Any]) -> bool:
    """Whether each frame still has the labels that it had, as it tells its place itself."""
    place = batch["logmel"][..., 0].round().long()
    bits = (place[..., None] >> torch.arange(4)) & 1
    return bool((bits == batch["activity"]).all())


def test_off_is_off() -> None:
    batch = batch_of()
    found = done(OFF, batch, 0)
    assert found.keys() == batch.keys()
    assert all(torch.equal(found[name], batch[name]) for name in batch)


def test_every_change_can_be_asked_for_alone() -> None:
    batch = batch_of()
    for field in fields(Augment):
        one = replace(OFF, **{field.name: getattr(Augment(), field.name)})
        if field.name in ("bands", "times"):
            one = replace(one, bands=6, times=1)
        assert any(
            not torch.equal(done(one, batch, seed)["logmel"], batch["logmel"]) for seed in range(9)
        ), field.name


def test_what_is_given_is_left_as_it_is() -> None:
    batch = batch_of()
    before = {name: value.clone() for name, value in batch.items()}
    for seed in range(8):
        found = done(Augment(), batch, seed)
        assert found["voices"] is batch["voices"]
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_draws_are_those_of_torch_alone() -> None:
    batch, told = batch_of(), []
    for other in (1, 2):
        np.random.seed(other)  # noqa: NPY002
        random.seed(other)
        told.append(done(Augment(), batch, 5))
    assert all(torch.equal(told[0][name], told[1][name]) for name in batch)
    lengths = {tuple(done(Augment(), batch, seed)["logmel"].shape) for seed in range(30)}
    assert len(lengths) > 1


# ---- cut ---------------------------------------------------------------------------------------

CUT = replace(OFF, part=0.2)


@pytest.mark.parametrize("frames", [6000, 2000, 1200, 800, 150])
def test_a_cut_is_of_frames_in_a_row_with_their_labels(frames: int) -> None:
    batch = batch_of(frames)
    seen = set()
    for seed in range(40):
        found = done(CUT, batch, seed)
        kept = found["logmel"].shape[1]
        assert found["activity"].shape[1] == kept
        assert max(60, 0.2 * frames - 600) <= kept <= frames
        assert kept % (600 if kept > 600 else 60) == 0 or kept == frames  # frames of any model
        first = int(found["logmel"][0, 0, 0])
        for name in ("logmel", "activity"):
            assert torch.equal(found[name], batch[name][:, first : first + kept])
        wanted = [min(max(count - first, 1), kept) for count in batch["frames"].tolist()]
        assert found["frames"].tolist() == wanted
        assert first < batch["frames"].min()  # something of each is heard
        seen.add((first, kept))
    assert len(seen) > 10


def test_of_a_cut_every_place_can_be_the_first() -> None:
    firsts = {int(done(CUT, batch_of(240, 240), seed)["logmel"][0, 0, 0]) for seed in range(300)}
    assert min(firsts) == 0
    assert max(firsts) > 120


def test_one_frame_that_is_recorded_is_kept() -> None:
    for seed in range(20):
        found = done(CUT, batch_of(900, 1, 900), seed)
        assert found["frames"][0] == 1
        assert int(found["logmel"][0, 0, 0]) == 0


# ---- backwards ---------------------------------------------------------------------------------


def test_backwards_is_from_the_last_that_is_recorded() -> None:
    batch = batch_of(9, 9, 4, 1)
    found = backwards(batch["logmel"], batch["frames"])
    for at, count in enumerate(batch["frames"].tolist()):
        for frame in range(9):
            source = count - 1 - frame if frame < count else frame
            assert torch.equal(found[at, frame], batch["logmel"][at, source])


def test_about_half_of_the_batches_run_backwards_with_their_labels() -> None:
    one, turned = replace(OFF, flip=0.5), 0
    batch = batch_of(60)
    for seed in range(200):
        found = done(one, batch, seed)
        assert labels_fit(found)
        turned += bool(found["logmel"][0, 0, 0] == 59)
    assert 70 < turned < 130
    assert all(
        bool(done(replace(OFF, flip=1.0), batch, s)["logmel"][0, 0, 0] == 59) for s in (1, 2)
    )


# ---- bands -------------------------------------------------------------------------------------


def test_bands_are_read_between_two_of_their_neighbours() -> None:
    logmel = batch_of(3, 3, 3, 3, 3)["logmel"]
    factors = torch.tensor([0.9, 1.0, 1.05, 1.3])
    found = warped(logmel, factors)
    for at, factor in enumerate(factors.tolist()):
        for frame in range(3):
            row = logmel[at, frame].tolist()
            for band in range(MELS):
                where = min(band * factor, MELS - 1)
                low = min(int(where), MELS - 2)
                wanted = row[low] + (where - low) * (row[low + 1] - row[low])
                assert float(found[at, frame, band]) == pytest.approx(wanted, abs=1e-4)
    assert torch.allclose(found[1], logmel[1], atol=1e-5)


def test_each_example_has_a_warp_of_its_own_up_to_so_much() -> None:
    ramp = torch.arange(float(MELS)).expand(64, 5, MELS)
    batch = {**batch_of(5, *[5] * 64), "logmel": ramp}
    found = done(replace(OFF, warp=0.2), batch, 0)["logmel"]
    factors = found[:, 0, 10] / 10
    assert 0.8 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.2
    assert len(set(factors.tolist())) == 64
    assert (found == found[:, :1]).all()  # the same in every frame


def test_a_few_bands_in_a_row_hold_their_mean() -> None:
    batch = batch_of(50)
    widths = []
    for seed in range(60):
        found = done(replace(OFF, bands=6, times=1), batch, seed)["logmel"]
        for at in range(3):
            hidden = (found[at] != batch["logmel"][at]).any(0).nonzero().flatten().tolist()
            widths.append(len(hidden))
            assert hidden == list(range(hidden[0], hidden[-1] + 1) if hidden else ())
            for band in hidden:
                mean = batch["logmel"][at, :, band].mean().expand(50)
                assert torch.allclose(found[at, :, band], mean, atol=1e-5)
    assert set(widths) == set(range(7))


@pytest.mark.parametrize("times", [0, 1, 3])
def test_so_often(times: int) -> None:
    most = max(
        int((done(replace(OFF, bands=1, times=times), batch_of(20), seed)["logmel"]
             != batch_of(20)["logmel"]).any(1).sum(1).max())
        for seed in range(40)
    )  # fmt: skip
    assert most == times


# ---- all of it ---------------------------------------------------------------------------------


def test_what_is_masked_or_turned_keeps_its_labels() -> None:
    """With band 0 left alone: no warp moves it, and what hides it is seen by its sameness."""
    for seed in range(40):
        found = done(replace(Augment(), bands=0, tone=0), batch_of(), seed)
        assert labels_fit(found)
        assert found["logmel"].shape[:2] == found["activity"].shape[:2]
        assert (found["frames"] >= 1).all()
        assert (found["frames"] <= found["logmel"].shape[1]).all()


def test_each_stretch_of_speech_sounds_otherwise_and_silence_as_it_was() -> None:
    rows = [(50, 0, 0), (70, 1, 0), (30, 1, 1), (60, 0, 0), (90, 1, 0)]
    activity = torch.cat([torch.tensor([[a, b]]).repeat(n, 1) for n, a, b in rows])[None]
    torch.manual_seed(0)
    found = tones(activity.to(torch.uint8).repeat(200, 1, 1), 40)
    at, curves = 0, []
    for count, a, b in rows:
        part = found[:, at : at + count]
        assert torch.equal(part, part[:, :1].expand(part.shape))
        assert bool((part == 0).all()) == (not a and not b)
        curves.append(part[:, 0])
        at += count
    heard = torch.stack([curves[k] for k in (1, 2, 4)])
    assert float(heard[..., [0, -1]].std()) == pytest.approx(1, abs=0.1)
    assert (heard.diff(dim=-1)).abs().max() < 1.5  # smooth: knots lie 8 bands apart
    alike = torch.corrcoef(heard[..., 0])  # nobody sounds the same a second time
    assert alike[0, 2].abs() < 0.2
    assert alike[0, 1].abs() < 0.2
