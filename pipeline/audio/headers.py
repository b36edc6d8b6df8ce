"""Reads the first bytes of an untrusted audio file and finds what its header claims.

Reads: an open descriptor, with pread only. Does: names the container by its content, never by its
suffix, and has declared sizes compared with the size of the file, because decoders read cut files
without a word. Writes nothing; a false claim raises `Rejected`.
"""

import os
from dataclasses import dataclass

from pipeline.audio.sizes import CHUNKED, W64_RIFF, check_au, check_chunks, check_nist
from pipeline.errors import Rejected

HEAD = 4096  # bytes; one page holds the header of nearly every file
_SEARCH = 65536  # bytes looked through for the first MPEG frame; the longest Ogg page is 65,307

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_PYAV = {  # offset, magic, demuxer; never one that can point to other files (playlists)
    "mov": ((4, b"ftyp"), (4, b"moov"), (4, b"mdat")),
    "matroska": ((0, b"\x1a\x45\xdf\xa3"),),
    "asf": ((0, _ASF),),
    "amr": ((0, b"#!AMR"),),
}
PYAV_FAMILIES = frozenset(_PYAV) | {"aac"}


@dataclass(frozen=True)
class Claim:
    """What the first bytes say: the container, where decoding starts and what is counted."""

    family: str
    start: int = 0  # bytes before the first MPEG frame that are no audio
    counted: bool = True  # False: MPEG audio that declares no length
    slack: int = 0  # frames by which an honest count may be off


def inspect(fd: int, size: int) -> Claim:
    """Name the container and check its sizes; raises `Rejected`."""
    head = os.pread(fd, HEAD, 0)
    if not head:
        raise Rejected("empty", "0 bytes")
    family = _family(head)
    if family in CHUNKED:
        check_chunks(fd, size, head, family)
    elif family == "au":
        check_au(fd, size, head)
    elif family == "nist":
        check_nist(fd, size, head)
    elif family == "ogg":
        _check_ogg(fd, size, head)
    elif family == "flac" and size < 42:  # RFC 9639: marker, block header, STREAMINFO
        raise Rejected("truncated", f"a FLAC header needs 42 bytes, got {size}")
    elif not family:
        return _mpeg(fd, size, head)
    return Claim(family)


def _family(head: bytes) -> str:
    """Container by magic number; "" where only a search can tell (MPEG audio)."""
    tag = head[:4]
    if head[8:12] == b"WAVE" and tag in (b"RIFF", b"RF64", b"RIFX"):
        return "rifx" if tag == b"RIFX" else "wav"
    if tag == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:16] == W64_RIFF:
        return "w64"
    simple = {b"caff": "caf", b"fLaC": "flac", b"OggS": "ogg", b".snd": "au", b"dns.": "au"}
    if tag in simple:
        return simple[tag]
    if head[:7] == b"NIST_1A":
        return "nist"
    for demuxer, magics in _PYAV.items():
        if any(head[at : at + len(magic)] == magic for at, magic in magics):
            return demuxer
    return ""


def _check_ogg(fd: int, size: int, head: bytes) -> None:
    """The last whole page must belong to the first stream (RFC 3533: serial at byte 14) and end it
    (flag 0x04), or end with the file: some encoders never set the flag, so a cut exactly between
    two pages passes for theirs."""
    first = max(size - _SEARCH, 0)
    tail = os.pread(fd, _SEARCH, first)
    at = tail.rfind(b"OggS")
    while at >= 0:
        segments = tail[at + 26] if at + 27 <= len(tail) else 0
        end = at + 27 + segments + sum(tail[at + 27 : at + 27 + segments])
        if at + 27 + segments <= len(tail) and end <= len(tail):
            if not tail[at + 5] & 4 and end != len(tail):
                break
            if tail[at + 14 : at + 18] != head[14:18]:
                raise Rejected("bad_header", "several streams in one Ogg file; split it")
            return
        at = tail.rfind(b"OggS", 0, at)
    raise Rejected("truncated", "the last Ogg page is cut")


# ISO 11172-3 and 13818-3, layer III: kbit/s by the header's four bits; Hz by version and two bits
_KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame(raw: bytes, at: int) -> tuple[int, int]:
    """Length of the layer III frame at `at` in bytes and in samples; (0, 0) if there is none."""
    if at + 4 > len(raw) or raw[at] != 0xFF or raw[at + 1] & 0xE6 != 0xE2:
        return 0, 0
    version, bits, rate = raw[at + 1] >> 3 & 3, raw[at + 2] >> 4, raw[at + 2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0, 0
    full = version == 3
    kbits = _KBITS[3 if full else 2][bits]
    length = (144000 if full else 72000) * kbits // _RATES[version][rate] + (raw[at + 2] >> 1 & 1)
    return length, 1152 if full else 576


def _mpeg(fd: int, size: int, head: bytes) -> Claim:
    """MPEG audio behind tags and junk: two frames of one kind in a row."""
    base = 0
    while head[:3] == b"ID3" and len(head) >= 10:
        tag = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        base += 10 + tag + (10 if head[5] & 0x10 else 0)
        head = os.pread(fd, HEAD, base)
        if _family(head) == "flac":
            return Claim("flac")
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return Claim("aac")
    raw = os.pread(fd, _SEARCH, base)
    at = raw.find(b"\xff")
    while at >= 0:
        length, samples = _frame(raw, at)
        after = at + length
        tagged = raw.find(b"Xing", at, at + 44) >= 0 or raw.find(b"Info", at, at + 44) >= 0
        same = raw[after : after + 2] == raw[at : at + 2] and _frame(raw, after)[1] == samples
        if length and (same or tagged or base + after == size):
            return _xing(fd, size, base + at, raw[at : at + 200], (length, samples))
        at = raw.find(b"\xff", at + 1)
    raise Rejected("not_audio", f"no known audio format; it begins with {head[:8]!r}")


def _xing(fd: int, size: int, start: int, raw: bytes, first: tuple[int, int]) -> Claim:
    """Read the count of frames and bytes in the Xing or Info tag, where the encoder wrote one."""
    at = max(raw.find(b"Xing", 0, 44), raw.find(b"Info", 0, 44))
    flags = int.from_bytes(raw[at + 4 : at + 8], "big") if at > 0 else 0
    if not flags & 1:
        return Claim("mp3", start, counted=False)
    if flags & 2:
        declared = int.from_bytes(raw[at + 12 : at + 16], "big")
        # Loose (LAME counts 128 bytes too many): a gross lack shows here, the rest in the frames.
        if size - start < declared // 2:
            raise Rejected("truncated", f"{declared} bytes declared, {size - start} in the file")
        rest = os.pread(fd, HEAD, start + declared) if start + declared < size else b""
        length, samples = _frame(rest, 0)
        if length and _frame(rest, length)[1] == samples == first[1]:
            detail = f"audio goes on after the declared end at byte {start + declared}"
            raise Rejected("bad_header", detail)
    # These state their padding, so the count is exact. Others disagree whether the frame with the
    # tag counts: one frame of slack.
    exact = any(name in raw[at:] for name in (b"LAME", b"Lavf", b"Lavc"))
    return Claim("mp3", start, slack=0 if exact else first[1])
