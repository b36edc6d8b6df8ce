"""Codecs against soundfile's own reading, against hand-built hostile files, and their bounds."""

import gc
import os
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hostile import FORMATS, encoded, pcm16, silent_flac, tone, wav, write_hostile

from pipeline import errors
from pipeline.audio import codecs
from pipeline.audio.codecs import BLOCK, EXTENSIONS, Limits, open_sound, probe
from pipeline.errors import Rejected


def read(path: Path, limits: Limits = codecs.DEFAULT) -> np.ndarray:
    with open_sound(path, limits) as reader:
        blocks = list(reader.blocks())
        assert all(len(block) <= BLOCK and block.ndim == 1 for block in blocks)
        assert {block.dtype.name for block in blocks} == {reader.sound.store}
    return np.concatenate(blocks)


def code_of(path: Path, limits: Limits = codecs.DEFAULT) -> str | None:
    try:
        read(path, limits)
    except Rejected as error:
        return error.code if error.detail else "no detail"
    return None


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_hostile_folder_gives_each_file_its_code(tmp_path: Path) -> None:
    expected = write_hostile(tmp_path)
    before = open_files()
    got = {name: code_of(tmp_path / name) for name in expected}
    assert got == expected
    assert open_files() == before
    assert sum(code is not None for code in expected.values()) >= 100
    assert sum(code is None for code in expected.values()) >= 50
    assert set(expected.values()) - {None} <= set(errors.REASONS)


def test_hostile_folder_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    names = write_hostile(first)
    assert write_hostile(second) == names
    for name in names:
        if (first / name).is_file() and not (first / name).is_symlink():
            assert (first / name).read_bytes() == (second / name).read_bytes()


def test_probe_never_contradicts_the_reading(tmp_path: Path) -> None:
    expected, early = write_hostile(tmp_path), {}
    for name, code in expected.items():
        try:
            sound = probe(tmp_path / name)
        except Rejected as error:
            early[name] = error.code
            continue
        if code is None:
            assert sound.frames in (len(read(tmp_path / name)), None)
    assert early == {name: expected[name] for name in early}


GRID = [
    (rate, subtype, channels)
    for rate in (8000, 11025, 16000, 22050, 44100, 48000, 192000)
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
    for channels in (1, 2, 6)
]


def test_grid_equals_soundfile(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    for rate, subtype, channels in GRID:
        noise = np.random.Generator(np.random.Philox(rate)).uniform(-1, 1, (rate // 50, channels))
        sf.write(path, noise, rate, subtype=subtype)
        narrow = channels == 1 and subtype in ("PCM_U8", "PCM_16", "ULAW", "ALAW")
        want, _ = sf.read(path, dtype="float64", always_2d=True)
        got = read(path)
        assert got.dtype == (np.int16 if narrow else np.float32)
        scaled = got / 32768 if narrow else got
        # int16 and one channel: exact; else float32 rounding of each channel and of the sum
        bound = 0 if narrow else 2e-7
        np.testing.assert_allclose(scaled, want.mean(axis=1), rtol=0, atol=bound)
        sound = probe(path)
        assert (sound.rate, sound.channels, sound.frames) == (rate, channels, rate // 50)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("frames", [BLOCK - 1, BLOCK, BLOCK + 1])
def test_blocks_join_into_what_soundfile_reads_at_once(
    tmp_path: Path, suffix: str, frames: int
) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(encoded(tmp_path, suffix, tone(1, frames)))
    got = read(path)
    if got.dtype == np.int16:
        np.testing.assert_array_equal(got, sf.read(path, dtype="int16")[0])
    else:  # mpg123 rounds the last bit another way after a seek, which sf.read does first
        np.testing.assert_allclose(got, sf.read(path, dtype="float32")[0], rtol=0, atol=1e-6)
    assert len(got) == frames


def test_every_wav_cut_is_seen(tmp_path: Path) -> None:
    raw = wav(np.arange(60, dtype="<i2").tobytes())
    path = tmp_path / "x.wav"
    for length in range(1, len(raw)):
        path.write_bytes(raw[:length])
        assert code_of(path) in (
            ("empty",) if length == 44 else ("not_audio",) if length < 12 else ("truncated",)
        ), length


CHUNKS = {
    "wav": b"bext" + struct.pack("<I", 40),
    "aiff": b"(c) " + struct.pack(">I", 40),
    "caf": b"info" + struct.pack(">q", 40),
    "w64": bytes.fromhex("bc945f92 5a52 d211 86dc 00c04f8edb8a") + struct.pack("<Q", 24 + 40),
}


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "w64", "au"])
def test_sound_behind_the_declared_end_is_no_silent_loss(tmp_path: Path, suffix: str) -> None:
    raw, path = encoded(tmp_path, suffix, tone(1)), tmp_path / "x"
    path.write_bytes(raw + pcm16(2).tobytes())
    with pytest.raises(Rejected, match="bad_header: 32000 bytes of audio declared, 32000 more"):
        read(path)
    if suffix in CHUNKS:
        path.write_bytes(raw + CHUNKS[suffix] + pcm16(2).tobytes()[:40])
        assert probe(path)


@pytest.mark.parametrize("declared", [0x7FFFF000, 0xFFFFFFFF])
def test_a_stream_may_not_outgrow_its_count(tmp_path: Path, declared: int) -> None:
    path, head = tmp_path / "x.wav", wav(b"", size=declared, rate=192000)
    path.write_bytes(head)
    os.truncate(path, len(head) + declared)  # without a byte on the disk
    assert probe(path)
    with path.open("ab") as file:
        file.write(pcm16(1).tobytes())
    with pytest.raises(Rejected, match=f"bad_header: {declared} bytes of audio declared, 32000"):
        probe(path)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "opus"])
def test_every_loss_of_a_sample_is_seen(tmp_path: Path, suffix: str) -> None:
    raw = encoded(tmp_path, suffix, tone(1, 8000))
    path = tmp_path / "x"
    for length in range(1, len(raw), 13):
        path.write_bytes(raw[:length])
        code = code_of(path)
        if code is None:
            assert len(read(path)) == 8000
            assert length > len(raw) - 200  # the encoder's own padding
        known = (None, "truncated", "not_audio", "bad_header", "empty")  # empty: headers alone
        assert code in known, length
        assert code != "bad_header" or length < 300


def test_honest_mp3_of_every_length_and_rate_passes(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    for rate in (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000):
        for frames in (rate // 50, rate // 2 + 7, rate + 1):
            sf.write(path, tone(1, frames), rate, format="MP3")
            assert len(read(path)) == frames


def test_mp3_that_declares_no_length_is_read_to_its_end(tmp_path: Path) -> None:
    # libsndfile alone guesses 155304 of the 321408 samples here
    raw = encoded(tmp_path, "mp3", tone(1, 320000))
    path = tmp_path / "x.mp3"
    path.write_bytes(raw[288:])
    assert probe(path).frames is None
    assert len(read(path)) >= 320000


def test_chained_ogg_is_refused_not_halved(tmp_path: Path) -> None:
    one, path = encoded(tmp_path, "ogg", tone(1)), tmp_path / "x.ogg"
    path.write_bytes(one + one.replace(b"melm", b"mill"))
    assert code_of(path) == "bad_header"


def test_first_bad_frame_is_named_across_blocks(tmp_path: Path) -> None:
    data = np.zeros((BLOCK, 2), "<f4")  # two reads of half a block
    data[BLOCK - 5, 1] = np.nan
    path = tmp_path / "x.wav"
    path.write_bytes(wav(data.tobytes(), tag=3, bits=32, channels=2))
    with pytest.raises(Rejected, match=f"first at frame {BLOCK - 5}"):
        read(path)


def test_eight_is_the_last_sample_value_that_passes(tmp_path: Path) -> None:
    path, data = tmp_path / "x.wav", np.zeros(800, "<f8")
    for value, code in [(8, None), (-8, None), (8.0001, "out_of_range"), (-8.0001, "out_of_range")]:
        data[3] = value
        path.write_bytes(wav(data.tobytes(), tag=3, bits=64))
        assert code_of(path) == code


def test_limits_hold_where_the_header_declares_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(silent_flac(20 * 65535, 16000, declared=0))
    assert probe(path).frames is None
    assert code_of(path) is None
    assert code_of(path, Limits(seconds=60)) == "too_long"
    assert code_of(path, Limits(free_bytes=1 << 20)) == "too_long"
    assert code_of(path, Limits(shortest=100)) == "too_short"


def test_an_hour_of_honest_silence_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(silent_flac(3600 * 48000, 48000, channels=6))
    assert probe(path).frames


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_ten_minutes_of_stereo_stay_in_bounded_memory(tmp_path: Path, suffix: str) -> None:
    path, rate, minutes = tmp_path / f"x.{suffix}", 16000, 10
    second = np.stack([tone(1), tone(2)], axis=1).astype(np.float32)
    form, subtype = FORMATS[suffix]
    with sf.SoundFile(path, "w", rate, 2, format=form, subtype=subtype) as out:
        for _ in range(60 * minutes):
            out.write(second)
    tracemalloc.start()
    with open_sound(path) as reader:
        frames = sum(len(block) for block in reader.blocks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == 60 * minutes * rate
    assert peak < 6 << 20  # of 77 MB as float32


def test_descriptor_is_read_not_the_name(tmp_path: Path) -> None:
    path, other = tmp_path / "x.wav", tmp_path / "y.wav"
    path.write_bytes(wav(np.arange(4000, dtype="<i2").tobytes()))
    other.write_bytes(wav(np.zeros(4000, "<i2").tobytes()))
    with open_sound(path) as reader:
        os.replace(other, path)  # swapped between check and use
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks())), np.arange(4000))


def test_a_write_during_the_reading_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(np.arange(4000, dtype="<i2").tobytes()))
    with open_sound(path) as reader:
        os.utime(path, ns=(0, 0))
        with pytest.raises(Rejected, match="changed"):
            list(reader.blocks())


def test_missing_and_forbidden_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(tmp_path / "no.wav") == "missing"
    closed = tmp_path / "open" / "x.wav"
    closed.parent.mkdir()
    closed.write_bytes(wav(bytes(4000)))
    closed.chmod(0)
    closed.parent.chmod(0o755)
    monkeypatch.chdir(closed.parent)  # a name without folders, as the user below may enter none
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        assert code_of(Path("x.wav")) == "unreadable"
    finally:
        if root:
            os.seteuid(0)


def test_versions_name_what_makes_the_samples() -> None:
    versions = codecs.library_versions()
    assert versions["libsndfile"].count(".") == 2
    assert {"soundfile", "libsndfile"} <= set(versions)


def test_extensions_are_lower_case_suffixes() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in EXTENSIONS)
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm"} <= EXTENSIONS


def test_mp4_without_pyav_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\x00\x00\x00\x1cftypM4A " + bytes(100))
    with pytest.raises(Rejected, match=r"pip install av, or convert") as caught:
        probe(path)
    assert caught.value.code == "unsupported"


def test_chunks_without_end_are_not_walked(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(bytes(4000), before=b"junk\x00\x00\x00\x00" * 9000))
    with pytest.raises(Rejected, match="chunks do not lead"):
        probe(path)


def test_pyav_may_not_guess_the_demuxer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av, asked = pytest.importorskip("av"), []
    opened = av.open
    monkeypatch.setattr(
        av, "open", lambda *a, **k: asked.append(k.get("format")) or opened(*a, **k)
    )
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\x00\x00\x00\x1cftypM4A " + bytes(100))
    assert code_of(path) == "bad_header"
    assert asked == ["mov"]


CONTAINERS = [("m4a", "aac", 44100), ("webm", "libopus", 48000), ("aac", "aac", 44100)]


def encode_with_pyav(path: Path, codec: str, rate: int, samples: np.ndarray) -> None:
    av = pytest.importorskip("av")
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w") as box:
        track = box.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.astype("f4"), format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*track.encode(frame), *track.encode(None)]:
            box.mux(packet)


@pytest.mark.parametrize(("suffix", "codec", "rate"), CONTAINERS)
def test_pyav_containers(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    path, before = tmp_path / f"x.{suffix}", open_files()
    left = 0.4 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)
    encode_with_pyav(path, codec, rate, np.stack([left, left / 2]))
    sound = probe(path)
    assert (sound.rate, sound.channels, sound.store) == (rate, 2, "float32")
    got = read(path)
    assert abs(len(got) - 3 * rate) <= 4096
    middle = got[rate : 2 * rate].astype(np.float64)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
    tones = np.abs(np.fft.rfft(middle))
    assert np.argmax(tones) == 440
    gc.collect()
    assert open_files() == before


def test_cut_or_forged_pyav_containers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    encode_with_pyav(path, "aac", 44100, tone(1, 88200)[None])
    raw = path.read_bytes()
    for percent in range(1, 100, 7):
        path.write_bytes(raw[: len(raw) * percent // 100])
        assert code_of(path) is not None, percent
    path.write_bytes(raw[:16] + b"#EXTM3U\nfile:///etc/hostname\n")
    assert code_of(path) is not None
    web = tmp_path / "x.webm"
    encode_with_pyav(web, "libopus", 48000, tone(1, 96000)[None])
    web.write_bytes(web.read_bytes()[: web.stat().st_size // 2])
    assert code_of(web) == "truncated"
