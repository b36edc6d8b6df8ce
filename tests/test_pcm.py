"""Packs: what is stored comes back, at any rate, whoever asks; damage is never read as sound.

Reads and writes packs in pytest's own folder.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import pcm
from pipeline.audio.pcm import Pack, PackWriter, resampled_length
from pipeline.disk import store
from pipeline.errors import MelmillError

RATES = [4000, 8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000, 384000]
PIECE = 2  # seconds, in place of 60, so that short sounds have borders


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcm, "PIECE", PIECE)
    monkeypatch.setattr(Pack, "_last", None)


def wave(rate: int, seconds: float = 5.3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.2 * random.standard_normal(int(seconds * rate) + 7)).astype(np.float32)


def write(path: Path, sounds: dict[str, tuple[int, np.ndarray]], block: int = 10000) -> Pack:
    with store.sealed(path, hashed=False) as sink:
        writer = PackWriter(sink, "key", "decoder")
        for ident, (rate, x) in sounds.items():
            blocks = (x[i : i + block] for i in range(0, len(x), block))
            assert writer.add(ident, rate, "WAV/X", str(x.dtype), blocks) == len(x)
        writer.rejected["bad"] = ("truncated", "at 3")
        writer.close()
    return Pack(path)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[np.ndarray, Pack]]:
    folder = tmp_path_factory.mktemp("packs")
    found = {rate: wave(rate) for rate in RATES}
    return {r: (x, write(folder / f"{r}.pcm", {"a": (r, x)})) for r, x in found.items()}


@pytest.mark.parametrize("new", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("old", RATES)
@pytest.mark.parametrize("quality", ["MQ", "HQ", "VHQ"])
def test_every_pair_of_rates_is_what_soxr_makes_of_the_whole(
    packs: dict[int, tuple[np.ndarray, Pack]], old: int, new: int, quality: str
) -> None:
    x, pack = packs[old]
    whole = soxr.resample(x, old, new, quality=quality)
    assert resampled_length(len(x), old, new) == len(whole)
    got = pack.samples("a", new, quality, 0, 1 << 40)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, whole, rtol=0, atol=1e-5)
    if old == new:
        assert np.array_equal(got, x)


@given(st.integers(1, 10**6), st.sampled_from(RATES), st.sampled_from(RATES))
@settings(deadline=None, max_examples=60)
def test_the_length_is_soxrs_own(frames: int, old: int, new: int) -> None:
    frames %= 30000
    got = len(soxr.resample(np.zeros(frames + 1, np.float32), old, new, quality="MQ"))
    assert resampled_length(frames + 1, old, new) == got


def test_a_sample_is_the_same_whoever_asks(packs: dict[int, tuple[np.ndarray, Pack]]) -> None:
    _, pack = packs[44100]
    whole = pack.samples("a", 16000, "HQ", 0, 1 << 40)
    random = np.random.default_rng(3)
    other = Pack(pack.path)
    for _ in range(60):
        start, stop = np.sort(random.integers(-100, len(whole) + 100, 2))
        asked = random.choice([pack, other])
        got = asked.samples("a", 16000, "HQ", int(start), int(stop))
        assert np.array_equal(got, whole[max(0, start) : max(0, stop)])
    border = PIECE * 16000
    one = np.concatenate(
        [pack.samples("a", 16000, "HQ", i, i + 1) for i in range(border - 3, border + 3)]
    )
    assert np.array_equal(one, whole[border - 3 : border + 3])


def test_pieces_of_their_real_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert pcm.PIECE == 60
    x = wave(8000, 125)
    pack = write(tmp_path / "long.pcm", {"a": (8000, x)})
    got = pack.samples("a", 11025, "HQ", 0, 1 << 40)
    np.testing.assert_allclose(got, soxr.resample(x, 8000, 11025, quality="HQ"), rtol=0, atol=1e-5)


def test_the_last_piece_in_memory_is_not_taken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = wave(8000, seed=1), wave(8000, seed=2)
    pack = write(tmp_path / "a.pcm", {"x": (8000, x), "y": (8000, y)})
    first = pack.samples("x", 16000, "HQ", 0, 100)
    others = [("y", 16000, "HQ", 0), ("x", 16000, "MQ", 0), ("x", 22050, "HQ", 0),
              ("x", 16000, "HQ", 40000)]  # fmt: skip
    for ident, rate, quality, start in others:
        assert np.array_equal(pack.samples("x", 16000, "HQ", 0, 100), first)
        other = pack.samples(ident, rate, quality, start, start + 100)
        assert not np.array_equal(other, first)
        monkeypatch.setattr(Pack, "_last", None)
        assert np.array_equal(pack.samples(ident, rate, quality, start, start + 100), other)


@pytest.mark.parametrize("frames", [1, pcm.BLOCK - 1, pcm.BLOCK, pcm.BLOCK + 1, 2 * pcm.BLOCK])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_what_is_stored_comes_back_bit_for_bit(tmp_path: Path, frames: int, dtype: str) -> None:
    full = np.arange(frames) * 7919 % 65536 - 32768
    x = full.astype("<i2") if dtype == "int16" else (full / 32768).astype("<f4")
    pack = write(tmp_path / "a.pcm", {"a": (8000, x), "b": (16000, x[:1])}, block=999)
    got = pack.native("a", 0, frames)
    assert np.array_equal(got, full.astype(np.float32) / 32768)
    assert len(pack.recordings["a"].crc) == -(-frames // pcm.BLOCK)
    assert pack.recordings["b"].frames == 1
    assert pack.native("a", frames, frames + 9).size == 0
    assert pack.native("a", -5, 1).size == 1


def test_the_footer_tells_all(tmp_path: Path) -> None:
    pack = write(tmp_path / "a.pcm", {"a": (8000, wave(8000))})
    r = pack.recordings["a"]
    assert (pack.key, pack.decoder, pack.rejected) == (
        "key",
        "decoder",
        {"bad": ("truncated", "at 3")},
    )
    assert (r.rate, r.dtype, r.codec, r.frames) == (8000, "float32", "WAV/X", len(wave(8000)))


def test_a_recording_that_fails_midway_is_never_named(tmp_path: Path) -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield np.zeros(100000, np.float32)
        raise KeyError("cut")

    with store.sealed(tmp_path / "a.pcm", hashed=False) as sink:
        writer = PackWriter(sink, "k", "d")
        with pytest.raises(KeyError):
            writer.add("bad", 8000, "x", "float32", breaks())
        writer.add("good", 8000, "x", "float32", [wave(8000)])
        writer.close()
    pack = Pack(tmp_path / "a.pcm")
    assert list(pack.recordings) == ["good"]
    assert np.array_equal(pack.native("good", 0, 1 << 30), wave(8000))


def test_no_flipped_bit_is_read_as_sound(tmp_path: Path) -> None:
    x = (np.arange(300) * 91 % 2000 - 1000).astype("<i2")
    path = tmp_path / "a.pcm"
    write(path, {"a": (8000, x)})
    data = path.read_bytes()
    for at in range(len(pcm.MAGIC), len(data)):  # the first magic is for people with a hex viewer
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(MelmillError, match="damaged decoded audio"):
            Pack(path).native("a", 0, 300)


@pytest.mark.parametrize("keep", [0, 1, 40, 300, -1])
def test_a_cut_pack_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.pcm"
    write(path, {"a": (8000, wave(8000))})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MelmillError, match="its footer"):
        Pack(path)


def test_a_footer_that_declares_more_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcm"
    write(path, {"a": (8000, wave(8000))})
    data = bytearray(path.read_bytes())
    data[-48:-40] = (1 << 62).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(MelmillError, match="its footer"):
        Pack(path)
