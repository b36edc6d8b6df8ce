"""Compares the sizes that an untrusted file declares with the bytes that it holds.

Reads: an open descriptor, with pread only. Does: finds the audio in files made of chunks, in AU and
in NIST. Less than declared is a cut; more, unless it is a further chunk, a tag or filling, is audio
that would be lost: decoders read both without a word. Writes nothing; a false claim raises
`Rejected`.
"""

import os
import re
import struct

from pipeline.errors import Rejected

W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_PAGE = 65536  # bytes; zeros up to here fill a block of a disk or a cluster of a memory card
_CHUNKS = 4096  # more chunks than this is an attack, not a recording
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # taggers put them behind whatever file they are given

# container: first chunk, chunk header, size counts the header, alignment, the audio's chunk,
# bytes before the first sample inside it (AIFF-C draft 1991: offset, block size; CAF: edit count)
_LAYOUT = {
    "wav": (12, struct.Struct("<4sI"), 0, 2, b"data", 0),
    "rifx": (12, struct.Struct(">4sI"), 0, 2, b"data", 0),
    "aiff": (12, struct.Struct(">4sI"), 0, 2, b"SSND", 8),
    "w64": (40, struct.Struct("<16sQ"), 24, 8, _W64_DATA, 0),
    "caf": (8, struct.Struct(">4sq"), 0, 1, b"data", 4),
}
CHUNKED = frozenset(_LAYOUT)


def check_chunks(fd: int, size: int, head: bytes, family: str) -> None:
    at, form, own, align, wanted, skip = _LAYOUT[family]
    for _ in range(_CHUNKS):
        raw = head[at : at + form.size] if at + form.size <= len(head) else b""
        raw = raw or _read_at(fd, form.size, at, size)
        if len(raw) < form.size:
            raise Rejected("truncated", f"the file ends at {size} bytes, before any audio chunk")
        name, length = form.unpack(raw)
        body, length = at + form.size, length - own
        if name == wanted:
            if head[:4] == b"RF64" and length == 0xFFFFFFFF and head[12:16] == b"ds64":
                length = struct.unpack_from("<Q", head, 28)[0]
            held = max(length, 0)  # CAF's is signed
            ends = {body + held, body + -(-held // align) * align}  # some leave out the padding
            more = any(_is_chunk(fd, place, size, family) for place in ends)
            _compare(fd, length - skip, body + skip, size, more=more)
            return
        if length < 0:
            break
        at = body + -(-length // align) * align
    raise Rejected("bad_header", "its chunks do not lead to the audio")


def check_au(fd: int, size: int, head: bytes) -> None:
    if len(head) < 24:
        raise Rejected("truncated", f"an AU header needs 24 bytes, got {len(head)}")
    start, declared = struct.unpack_from(">II" if head[:1] == b"." else "<II", head, 4)
    _compare(fd, declared, start, size)


def check_nist(fd: int, size: int, head: bytes) -> None:
    fields = {k: int(v) for k, v in re.findall(rb"(sample_\w+|channel_count) -i (\d{1,12})", head)}
    start = re.match(rb"NIST_1A\n\s*(\d{1,6})\n", head)
    if start is None or b"sample_count" not in fields:
        raise Rejected("bad_header", "a NIST header without its size or sample count")
    width = fields.get(b"sample_n_bytes", 1) * fields.get(b"channel_count", 1)
    _compare(fd, fields[b"sample_count"] * width, int(start[1]), size)


def _compare(fd: int, declared: int, start: int, size: int, more: bool = False) -> None:
    """Compare a declared byte count with what the file holds from `start` on; `more`: a further
    chunk follows.

    Streams get a count that means "to the end": 2^32-1 (ffmpeg) or 0x7FFFF000 (SoX), both also
    rounded down to whole frames, hence the two windows.
    """
    held = size - start
    if held <= 0:
        raise Rejected("empty", "a header without audio")
    if declared <= 0:
        if more:
            raise Rejected("empty", "a header that declares 0 bytes of audio")
        # CAF's -1, "to the end", comes here too: libsndfile refuses it.
        raise Rejected("bad_header", f"no bytes of audio declared, {held} bytes follow")
    endless = 0xFFFFFE00 <= declared <= 0xFFFFFFFF or 0x7FFFEE00 <= declared <= 0x80000000
    if declared > held and not endless:
        raise Rejected("truncated", f"{declared} bytes of audio declared, {held} in the file")
    if declared < held and not more and not _idle(fd, start + declared, size):
        rest = held - declared
        raise Rejected("bad_header", f"{declared} bytes of audio declared, {rest} more follow")


def _idle(fd: int, at: int, size: int) -> bool:
    """What follows is no sound: too short for a chunk, a tag, or zeros that fill a block."""
    rest = _read_at(fd, _PAGE, at, size).lstrip(b"\0")
    short = size - at < 8
    return short or rest.startswith(_TAGS) or (not rest and size - at <= _PAGE)


def _is_chunk(fd: int, at: int, size: int, family: str) -> bool:
    """A name and a length that fits: a further chunk, not samples."""
    form, own = _LAYOUT[family][1:3]
    raw = _read_at(fd, form.size, at, size)
    if len(raw) < form.size:
        return False
    name, length = form.unpack(raw)
    named = family == "w64" or re.fullmatch(rb"[ -~]{4}", name)
    return bool(named) and own <= length < size


def _read_at(fd: int, count: int, at: int, size: int) -> bytes:
    """Nothing beyond the end: a forged length of 64 bits is no offset that a system takes."""
    return os.pread(fd, count, at) if at < size else b""
