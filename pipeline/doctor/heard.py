"""Codecs: a second of sound in every format, decoded by the pipeline's own reader and compared.

Reads nothing. Does: encodes in memory, decodes, counts samples and measures what came back. Writes
nothing but a file in memory.
"""

import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.audio import codecs
from pipeline.demo.files import Kind, encode
from pipeline.doctor.apart import Lost, apart
from pipeline.doctor.finding import BAD, NOTE, OK, Finding
from pipeline.doctor.libraries import LOCK, python
from pipeline.errors import Rejected

RATE = 16000  # Hz; Opus knows no 22.05 or 44.1 kHz
LIMIT = 10.0  # seconds for all of them
FINE = 120.0  # dB: 24 bits and more keep 130 of this sound
COARSE = 80.0  # dB: 16 bits, cut and not rounded, keep 82
LOSSY = 15.0  # dB: silence, noise or a wrong rate have 0 and less, the worst codec here 27
SHIFT = 2112  # samples: AAC's usual priming, which some containers do not tell
# Name -> container and coding, as libsndfile calls them; what must be kept.
FORMATS = {
    "WAV 16 bits": ("WAV", "PCM_16", COARSE),
    "WAV 24 bits": ("WAV", "PCM_24", FINE),
    "WAV 32 bits": ("WAV", "PCM_32", FINE),
    "WAV float": ("WAV", "FLOAT", FINE),
    "FLAC": ("FLAC", "PCM_16", COARSE),
    "OGG": ("OGG", "VORBIS", LOSSY),
    "Opus": ("OGG", "OPUS", LOSSY),
    "MP3": ("MP3", "MPEG_LAYER_III", LOSSY),
    "AIFF": ("AIFF", "PCM_16", COARSE),
    "W64": ("W64", "PCM_16", COARSE),
    "CAF": ("CAF", "PCM_16", COARSE),
    "AU": ("AU", "PCM_16", COARSE),
}
EXTRA = {  # of PyAV: container, coding
    "m4a": ("ipod", "aac"),
    "AAC": ("adts", "aac"),
    "WebM": ("webm", "libopus"),
}


def sound() -> np.ndarray:
    """A second that rises from 200 Hz to 2 kHz under a slow envelope: no two moments alike."""
    t = np.arange(RATE) / RATE
    return 0.5 * np.hanning(RATE) * np.sin(2 * np.pi * (200 * t + 900 * t * t))


def check() -> Iterator[Finding]:
    tests: dict[str, Callable[[], str]] = {
        name: lambda row=row: _sndfile(*row)  # type: ignore[misc]
        for name, row in FORMATS.items()
    }
    versions = codecs.library_versions()
    yield from _rows("codecs", tests, f"libsndfile {versions['libsndfile']}", f"-r {LOCK}")
    if importlib.util.find_spec("av") is None:
        yield Finding(
            NOTE, "PyAV", "not installed: m4a, AAC, WebM, MP4 and the like are rejected",
            f"if you have such files, {python()} -m pip install av",
        )  # fmt: skip
        return
    tests = {
        name: lambda row=row: _pyav(*row)  # type: ignore[misc]
        for name, row in EXTRA.items()
    }
    yield from _rows("PyAV", tests, versions["av"], "av")


def _rows(
    what: str, tests: dict[str, Callable[[], str]], version: str, package: str
) -> Iterator[Finding]:
    """A row for what is as it should be, and one for what is broken."""
    wrong = outcomes(tests)
    good = [name for name in tests if name not in wrong]
    if good:
        yield Finding(OK, what, f"{version}: {', '.join(good)} come back as they were")
    if wrong:
        yield Finding(
            BAD, what, f"{version}: " + "; ".join(f"{name}: {why}" for name, why in wrong.items()),
            f"{python()} -m pip install --force-reinstall {package}; until that helps, do not "
            f"trust what is made of {', '.join(wrong)}",
        )  # fmt: skip


def outcomes(tests: dict[str, Callable[[], str]]) -> dict[str, str]:
    """What is wrong with each that fails. One that kills its process takes no other along."""
    left, wrong = dict(tests), {}
    while left:

        def work(left: dict[str, Callable[[], str]] = left) -> Iterator[tuple[str, str]]:
            for name, test in left.items():
                yield name, _outcome(test)

        left = dict(left)
        try:
            for name, why in apart(work, LIMIT):
                del left[name]
                if why:
                    wrong[name] = why
        except Lost as err:
            first = next(iter(left))
            wrong[first] = str(err)
            del left[first]
    return wrong


def _outcome(test: Callable[[], str]) -> str:
    try:
        return test()
    except Rejected as why:
        return str(why)
    except Exception as err:  # whatever a broken library does
        return f"{type(err).__name__}: {err}"


def _sndfile(container: str, coding: str, least: float) -> str:
    data = encode(sound(), Kind("", container, coding, RATE))
    got, rate = decoded(data)
    if rate != RATE or len(got) != RATE:
        return f"{RATE} samples at {RATE} Hz were {len(got)} at {rate} Hz"
    return _compared(got, least)


def _pyav(container: str, coding: str) -> str:
    got, rate = decoded(_encoded(container, coding))
    got = got[:: rate // RATE] if rate > RATE else got  # Opus comes back at 48 kHz
    if abs(len(got) - RATE) > 2 * SHIFT:
        return f"{RATE} samples were {len(got)}"
    lags = np.correlate(np.pad(got, (0, SHIFT)), sound()[: RATE // 2], "valid")[: SHIFT + 1]
    shifted = got[int(np.argmax(np.abs(lags))) :][:RATE]
    return _compared(np.pad(shifted, (0, RATE - len(shifted))), LOSSY)


def _encoded(container: str, coding: str) -> bytes:
    import av

    rate = 48000 if coding == "libopus" else RATE
    out = io.BytesIO()
    samples = np.repeat(sound(), rate // RATE).astype(np.float32)
    with av.open(out, "w", format=container) as box:
        track: Any = box.add_stream(coding, rate=rate, layout="mono")
        kind = "flt" if coding == "libopus" else "fltp"
        frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
        frame.sample_rate = rate
        for packet in [*track.encode(frame), *track.encode(None)]:
            box.mux(packet)
    return out.getvalue()


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """(samples from -1 to 1, rate) through the pipeline's own reader."""
    with tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else _memory() as file:
        file.write(data)
        file.flush()
        with codecs.Reader(os.dup(file.fileno()), codecs.DEFAULT) as reader:
            blocks = list(reader.blocks())
            scale = 32768.0 if reader.sound.store == "int16" else 1.0
            return np.concatenate(blocks).astype(np.float64) / scale, reader.sound.rate


def _memory() -> Any:
    return open(os.memfd_create("melmill"), "w+b")


def _compared(got: np.ndarray, least: float) -> str:
    """What is wrong with it; "" if no more is lost than may be."""
    wanted = sound()
    power = float(np.mean(wanted**2))
    lost = float(np.mean((got - wanted) ** 2))
    kept = 10 * np.log10(power / max(lost, 1e-30))
    return "" if kept >= least else f"wrong sound: {kept:.0f} dB kept, expected {least:.0f} or more"
