"""Writes a folder of hostile, broken and odd-but-good audio files, each small and repeatable.

Reads nothing. Does: builds headers by hand and cuts, forges and disguises valid files. Writes the
files below the folder it is given; returns which of them must be rejected, and under which code.
"""

import os
import struct
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 16000
CUTS = (1, 5, 10, 25, 33, 50, 66, 75, 90, 99)  # percent of the file that is kept
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "opus": ("OGG", "OPUS"),
}
Entry = tuple[str, bytes, str | None]
ID3 = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)
LIST = b"LIST\x04\x00\x00\x00INFO"


def tone(seed: int, frames: int = RATE) -> np.ndarray:
    """A different sound for each seed, so that no two good files count as duplicates."""
    noise = np.random.Generator(np.random.Philox(seed)).standard_normal(frames)
    return 0.2 * np.sin(2 * np.pi * (200 + 37 * seed) * np.arange(frames) / RATE) + 0.02 * noise


def pcm16(seed: int, frames: int = RATE) -> np.ndarray:
    return np.round(tone(seed, frames) * 32767).astype("<i2")


def wav(
    data: bytes, *, tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16,
    size: int | None = None, riff: int | None = None, before: bytes = b"", after: bytes = b"",
    extra: bytes = b"",
) -> bytes:  # fmt: skip
    """A WAV file in which every field can lie."""
    align = channels * bits // 8
    speed = rate * align % 2**32
    fmt = struct.pack("<HHIIHH", tag, channels, rate, speed, align % 65536, bits) + extra
    size = len(data) if size is None else size
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", size) + data + after
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def encoded(folder: Path, suffix: str, samples: np.ndarray, rate: int = RATE) -> bytes:
    """One file as libsndfile writes it, with the random Ogg serial number fixed."""
    path = folder / "encoding.tmp"
    form, subtype = FORMATS[suffix]
    sf.write(path, samples, rate, format=form, subtype=subtype)
    raw = path.read_bytes()
    path.unlink()
    return _fixed_ogg(raw) if form == "OGG" else raw


def _crc(bits: int, polynomial: int) -> Callable[[bytes], int]:
    """Most significant bit first, started at 0: the checksums of Ogg and FLAC."""
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)

    def crc(data: bytes) -> int:
        value = 0
        for byte in data:
            value = value << 8 & mask ^ table[value >> bits - 8 ^ byte]
        return value

    return crc


def _fixed_ogg(raw: bytes) -> bytes:
    crc, out, at = _crc(32, 0x04C11DB7), b"", 0
    while at < len(raw):
        segments = raw[at + 26]
        end = at + 27 + segments + sum(raw[at + 27 : at + 27 + segments])
        page = bytearray(raw[at:end])
        page[14:18], page[22:26] = b"melm", bytes(4)
        page[22:26] = struct.pack("<I", crc(bytes(page)))
        out, at = out + bytes(page), end
    return out


def silent_flac(frames: int, rate: int, channels: int = 1, declared: int | None = None) -> bytes:
    """Honest silence in as few bytes as FLAC allows: one constant per 65,535 samples (RFC 9639)."""
    crc8, crc16 = _crc(8, 0x07), _crc(16, 0x8005)
    blocks, block = -(-frames // 65535), 65535
    total = blocks * block if declared is None else declared
    packed = rate << 44 | channels - 1 << 41 | 15 << 36 | total
    info = struct.pack(">HH", block, block) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    out = [b"fLaC\x80\x00\x00\x22" + info]
    for number in range(blocks):
        head = bytes((0xFF, 0xF8, 0x70, channels - 1 << 4 | 8)) + _utf8(number) + b"\xff\xfe"
        frame = head + bytes((crc8(head),)) + bytes(3 * channels)
        out.append(frame + struct.pack(">H", crc16(frame)))
    return b"".join(out)


def _utf8(number: int) -> bytes:
    """FLAC numbers its frames as if they were characters, surrogates included."""
    return chr(number).encode("utf-8", "surrogatepass")


def _cuts(folder: Path) -> Iterator[Entry]:
    for number, suffix in enumerate(FORMATS):
        raw = encoded(folder, suffix, tone(100 + number))
        for percent in CUTS:
            yield f"cut/{percent:02d}.{suffix}", raw[: len(raw) * percent // 100], "truncated"


def _headers() -> Iterator[Entry]:
    data = pcm16(1).tobytes()
    chunk = b"junk\x00\x00\x00\x00"
    yield "bad/nothing.wav", b"", "empty"
    yield "bad/header_only.wav", wav(b""), "empty"
    yield "bad/header_then_list.wav", wav(b"", after=LIST), "empty"
    yield "bad/declares_zero.wav", wav(data, size=0), "bad_header"
    yield "bad/declares_zero_riff_zero.wav", wav(data, size=0, riff=0), "bad_header"
    yield "bad/declares_double.wav", wav(data, size=2 * len(data)), "truncated"
    yield "bad/declares_2_gb.wav", wav(data, size=0x7F000000), "truncated"
    yield "bad/declares_a_tenth.wav", wav(data, size=len(data) // 10), "bad_header"
    yield "bad/declares_9_less.wav", wav(data, size=len(data) - 9, riff=0), "bad_header"
    yield "bad/tenth_then_list.wav", wav(data, size=3200, after=LIST), "bad_header"
    au = b".snd" + struct.pack(">5I", 24, 3200, 3, RATE, 1)
    yield "bad/au_declares_a_tenth.au", au + data, "bad_header"
    yield "bad/nist_declares_a_tenth.sph", _nist(data, RATE // 10), "bad_header"
    yield "bad/a_page_of_zeros.wav", wav(data, after=bytes(70000)), "bad_header"
    yield "bad/no_format.wav", b"RIFF\xff\x00\x00\x00WAVEdata\x10\x00\x00\x00" + data, "bad_header"
    yield "bad/many_chunks.wav", wav(data, before=chunk * 9000), "bad_header"
    yield "bad/chunk_past_end.wav", wav(data, before=b"junk\xff\xff\xff\x7f"), "truncated"
    yield "bad/one_sample.wav", wav(data[:2]), "too_short"
    yield "bad/nearly_10_ms.wav", wav(data[: 2 * 159]), "too_short"
    yield "bad/rate_2e9.wav", wav(data, rate=2_000_000_000), "bad_rate"
    yield "bad/rate_100.wav", wav(data, rate=100), "bad_rate"
    yield "bad/rate_0.wav", wav(data, rate=0), "bad_header"
    yield "bad/channels_0.wav", wav(data, channels=0), "bad_header"
    yield "bad/channels_65.wav", wav(data[: 130 * 200], channels=65), "too_many_channels"
    yield "bad/channels_1500.wav", wav(data[: 3000 * 10], channels=1500), "too_many_channels"
    yield "bad/bits_0.wav", wav(data, bits=0), "unsupported"
    yield "bad/au_zero.au", b".snd" + struct.pack(">5I", 24, 0, 3, RATE, 1) + data, "bad_header"
    yield "bad/rf64_short.wav", _rf64(data, 3 * len(data)), "truncated"
    yield "bad/nist_short.sph", _nist(data, RATE * 3), "truncated"


def _samples() -> Iterator[Entry]:
    values = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf}
    for name, value in values.items():
        for where, at in (("first", 0), ("last", -1)):
            data = tone(2).astype("<f4")
            data[at] = value
            yield f"bad/{name}_{where}.wav", wav(data.tobytes(), tag=3, bits=32), "not_finite"
    data = tone(2).astype("<f8")
    data[RATE // 2] = 1e300
    yield "bad/1e300.wav", wav(data.tobytes(), tag=3, bits=64), "out_of_range"
    data = (tone(2) * 32768).astype("<f4")
    yield "bad/float_as_int16.wav", wav(data.tobytes(), tag=3, bits=32), "out_of_range"
    wide = np.repeat(tone(2).astype("<f4"), 2)
    wide[7], wide[6] = 1e9, -1e9  # averages to 0
    yield "bad/cancels.wav", wav(wide.tobytes(), tag=3, bits=32, channels=2), "out_of_range"


def _garbage() -> Iterator[Entry]:
    noise = np.random.Generator(np.random.Philox(3)).bytes(20000)
    page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20
    files = {
        "html.wav": page,
        "html.mp3": page,
        "text.flac": b"version https://git-lfs.github.com/spec/v1\nsize 123\n",
        "noise.wav": noise,
        "noise.mp3": noise[1:],
        "zeros.wav": bytes(5000),
        "image.wav": b"\x89PNG\r\n\x1a\n" + noise,
        "zip.flac": b"PK\x03\x04" + noise,
        "id3_only.mp3": b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128),
        "id3_endless.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + noise,
        "one_sync.mp3": b"\xff\xfb\x90\x00" + bytes(3000),
        "playlist.m4a": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        "concat.mp4": b"ffconcat version 1.0\nfile /etc/hostname\n",
    }
    for name, data in files.items():
        yield f"bad/{name}", data, "not_audio"


def _forged(folder: Path) -> Iterator[Entry]:
    raw = encoded(folder, "flac", tone(4))

    def with_total(total: int) -> bytes:
        packed = int.from_bytes(raw[18:26], "big") >> 36 << 36 | total
        return raw[:18] + packed.to_bytes(8, "big") + raw[26:]

    yield "bad/declares_2_36.flac", with_total(2**36 - 1), "too_long"
    yield "bad/declares_an_hour.flac", with_total(RATE * 3600), "truncated"
    yield "bad/declares_one_more.flac", with_total(RATE + 1), "truncated"
    yield "bad/day_of_silence.flac", silent_flac(25 * 3600 * 8000, 8000), "too_long"
    yield "bad/bomb.flac", silent_flac(2100 * 65535, 192000, channels=8), "too_long"
    long = encoded(folder, "flac", tone(5, 10 * RATE))
    half = len(long) // 2
    hole = long[:half] + bytes(200) + long[half + 200 :]
    yield "bad/hole.flac", hole, "decoder_error"
    twice = encoded(folder, "mp3", tone(6))
    yield "bad/two_in_one.mp3", twice + twice, "bad_header"
    open_end = _without_end(encoded(folder, "ogg", tone(7)))
    yield "odd/no_end.ogg", open_end, None
    yield "bad/open_end_cut.ogg", open_end[:-1], "truncated"


def _without_end(raw: bytes) -> bytes:
    """The last page dropped: a cut exactly between pages."""
    return raw[: raw.rfind(b"OggS")]


def _nist(data: bytes, count: int) -> bytes:
    fields = f"sample_count -i {count}\nsample_n_bytes -i 2\nchannel_count -i 1\n"
    fields += f"sample_rate -i {RATE}\nsample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    return f"NIST_1A\n   1024\n{fields}".encode().ljust(1024) + data


def _rf64(data: bytes, declared: int) -> bytes:
    """EBU Tech 3306: 32-bit sizes of all ones, the real ones in a first chunk of their own."""
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, declared + 72, declared, declared // 2, 0)
    return b"RF64" + wav(data, size=2**32 - 1, riff=2**32 - 1, before=ds64)[4:]


def _odd_wavs() -> Iterator[Entry]:
    def pcm(seed: int) -> bytes:
        return pcm16(seed).tobytes()

    guid = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
    wide = struct.pack("<HHIH", 22, 24, 4, 1) + guid  # WAVE_FORMAT_EXTENSIBLE, PCM
    ints = np.round(tone(25) * 2**23).astype("<i4")
    three = ints.view("u1").reshape(-1, 4)[:, :3].tobytes()
    behind = b"\r\n", bytes(7), bytes(65536), b"TAG" + bytes(125), b"\0" + ID3
    yield "odd/stream_ffffffff.wav", wav(pcm(20), size=2**32 - 1, riff=2**32 - 1), None
    yield "odd/stream_7ffff000.wav", wav(pcm(21), size=0x7FFFF000, riff=0x7FFFF024), None
    yield "odd/stream_7fffffff.wav", wav(pcm(22), size=0x7FFFFFFF), None
    yield "odd/riff_size_0.wav", wav(pcm(23), riff=0), None
    yield "odd/list_after.wav", wav(pcm(24), after=LIST), None
    for number, after in enumerate((b"\0" + LIST, LIST)):  # its padding is there, or left out
        data = pcm(110 + number)[:15999]
        yield f"odd/list_after_odd_{number}.wav", wav(data, bits=8, after=after), None
    for number, after in enumerate(behind):
        yield f"odd/filled_{number}.wav", wav(pcm(112 + number), after=after), None
    yield "odd/extensible_24.wav", wav(three, tag=0xFFFE, bits=24, extra=wide), None
    yield "odd/odd_chunk.wav", wav(pcm(26), before=b"junk\x03\x00\x00\x00abc\x00"), None
    yield "odd/far_data.wav", wav(pcm(27), before=b"junk\x00\x00\x01\x00" + bytes(65536)), None
    u8 = np.round(tone(28) * 127 + 128).astype("u1").tobytes()
    yield "odd/eight_bit_no_pad.wav", wav(u8[:15999], bits=8), None
    yield "odd/a_law.wav", wav(pcm(29)[::2], tag=6, bits=8), None
    yield "odd/mu_law.wav", wav(pcm(30)[::2], tag=7, bits=8), None
    yield "odd/float64.wav", wav(tone(31).astype("<f8").tobytes(), tag=3, bits=64), None
    loud = 7 * tone(32)
    yield "odd/above_full_scale.wav", wav(loud.astype("<f4").tobytes(), tag=3, bits=32), None
    six = np.round(tone(33, 6 * RATE) * 32767).astype("<i2").tobytes()
    yield "odd/six_channels.wav", wav(six, channels=6), None
    yield "odd/192_khz.wav", wav(pcm16(34, 96000).tobytes(), rate=192000), None
    yield "odd/silence.wav", wav(bytes(2 * RATE)), None
    yield "odd/SHOUTED.WAV", wav(pcm(35)), None
    half = pcm16(36, RATE // 100).tobytes()
    yield "odd/exactly_10_ms.wav", wav(half), None


def _odd_others(folder: Path) -> Iterator[Entry]:
    for number, suffix in enumerate(("flac", "ogg", "mp3", "aiff", "w64", "caf", "au", "opus")):
        yield f"odd/plain.{suffix}", encoded(folder, suffix, tone(40 + number)), None
    mp3 = [encoded(folder, "mp3", tone(seed)) for seed in range(50, 56)]
    yield "odd/junk_before.mp3", b"junk" * 50 + mp3[0], None
    yield "odd/zeros_before.mp3", bytes(1000) + mp3[1], None
    yield "odd/junk_after.mp3", mp3[2] + b"junk" * 500, None
    yield "odd/tags.mp3", ID3 + mp3[3] + b"TAG" + bytes(125), None
    yield "odd/no_length.mp3", mp3[4][288:], None  # without its first frame, the one with the count
    yield "odd/is_mp3.wav", mp3[5], None
    flac = [encoded(folder, "flac", tone(seed)) for seed in (60, 61, 62)]
    yield "odd/is_flac.wav", flac[0], None
    yield "odd/id3.flac", ID3 + flac[1], None
    unsized = flac[2][:21] + bytes((flac[2][21] & 0xF0, 0, 0, 0, 0)) + flac[2][26:]
    yield "odd/no_length.flac", unsized, None
    stereo = np.stack([tone(63), tone(64)], axis=1)
    yield "odd/stereo.ogg", encoded(folder, "ogg", stereo), None
    yield "odd/nist.sph", _nist(pcm16(65).tobytes(), RATE), None
    yield "odd/rf64.wav", _rf64(pcm16(66).tobytes(), 2 * RATE), None
    caf, au = encoded(folder, "caf", tone(67)), encoded(folder, "au", tone(68))
    at = caf.index(b"data") + 4
    yield "bad/stream.caf", caf[:at] + b"\xff" * 8 + caf[at + 8 :], "bad_header"
    yield "odd/stream.au", au[:8] + b"\xff" * 4 + au[12:], None


def _names() -> Iterator[Entry]:
    names = [
        "with space.wav", "new\nline.wav", "tab\t.wav", "'one'.wav", '"double".wav', "$(HOME).wav",
        "`touch pwn`.wav", "; touch pwn;.wav", "-rf.wav", "back\\slash.wav", "star*?.wav", "#.wav",
        "%s%n.wav", "a" * 251 + ".wav", "{x}.wav", "trailing .wav", "\U0001f3b5.wav", "...wav",
        os.fsdecode(b"\xff\xfe.wav"), os.fsdecode(b"latin\xe9.wav"),
        unicodedata.normalize("NFC", "é.wav"), unicodedata.normalize("NFD", "é.wav"),
    ]  # fmt: skip
    for number, name in enumerate(names):
        yield f"names/{name}", wav(pcm16(70 + number).tobytes()), None


def _specials(folder: Path) -> dict[str, str | None]:
    base = folder / "special"
    base.mkdir()
    os.mkfifo(base / "pipe.wav")
    links = {
        "loop_a.wav": "loop_b.wav",
        "loop_b.wav": "loop_a.wav",
        "self.wav": "self.wav",
        "hostname.wav": "/etc/hostname",
        "zero.wav": "/dev/zero",
        "gone.wav": "not_there",
        "good.wav": "../odd/list_after.wav",
        "up": "..",
    }
    for name, target in links.items():
        (base / name).symlink_to(target)
    (base / "folder.wav").mkdir()
    names = [*links, "pipe.wav", "folder.wav"]
    return {f"special/{name}": "not_regular" for name in names}


def write_hostile(folder: Path) -> dict[str, str | None]:
    """Write all files below `folder`; relative path -> reject code, None where it must decode."""
    expected: dict[str, str | None] = {}
    makers = [_cuts(folder), _headers(), _samples(), _garbage(), _forged(folder)]
    makers += [_odd_wavs(), _odd_others(folder), _names()]
    for maker in makers:
        for name, data, code in maker:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            expected[name] = code
    return expected | _specials(folder)
