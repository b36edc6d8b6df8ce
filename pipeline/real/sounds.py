"""What becomes of a packed file before it is kept: bundles taken apart, G.722 decoded.

Reads and writes nothing on disk. Does: turns the bytes of one packed file into recordings in a
format that the pipeline reads.
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from pipeline.errors import Rejected

G722_RATE = 16000  # Hz; the standard knows no other
_MOST = 4096  # files in one bundle


def bundled(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(title, WAV file) of each sound in one of OpenTTD's bundles.

    A table of (offset, size), 32 bits each, the top bit of the first ones a flag; at each offset a
    length byte, a title of that length, then the file of that size.
    """
    count = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
    if count > _MOST:
        raise Rejected("bad_header", f"a bundle of {count} files")
    for index in range(count):
        at, size = struct.unpack_from("<II", data, 8 * index)
        at &= 0x7FFFFFFF
        begin = at + 1 + data[at]
        title = data[at + 1 : begin].rstrip(b"\0").decode("utf-8", "replace")
        held = data[begin : begin + size]
        begin = held.find(b"RIFF")
        if begin >= 0:
            yield title, held[begin:]


def original(title: str) -> str:
    """The recording that a title of such a bundle says it was made of; "" if it names none."""
    found = re.search(r'"([^"]+)\.(?:wav|mp3|aif|aiff|flac|ogg)"', title)
    return found[1] if found else ""


def from_g722(data: bytes) -> bytes:
    """Raw G.722 as a WAV file of 16 bits."""
    import av  # an extra: whoever lacks it never comes here

    try:
        box: Any = av.open(io.BytesIO(data), format="g722")
        with box:
            pieces = [frame.to_ndarray().ravel() for frame in box.decode(audio=0)]
    except av.FFmpegError as err:
        raise Rejected("decoder_error", str(err)) from None
    if not pieces:
        raise Rejected("empty", "no frame of G.722")
    out = io.BytesIO()
    soundfile.write(out, np.concatenate(pieces), G722_RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()
