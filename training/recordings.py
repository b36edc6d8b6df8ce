"""Sound files in and out, block by block, at whatever length.

Reads: what libsndfile reads (wav, flac, ogg, opus, mp3, aiff and more), checking that it is whole.
Writes: a file of the same form, under its name only when it is whole. Does: says in one line what
cannot be read or written, and what to do.
"""

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from training.data.index import DataError
from training.durable import sync_folder
from training.errors import RunError

READ = 1 << 16  # frames read at once
WAV_MOST = 0xFFFF0000  # bytes in a WAV, whose length has 32 bits
SENTINEL = 0x7FFF0000  # bytes: from here on a length says that nobody knew it
UNKNOWN = 2**63 - 1  # frames, where a file does not tell
FULL_SCALE = 8.0  # +18 dBFS, as for shards: room for any float recording, none for a wrong scale
KINDS = {
    "WAVE": "WAV", "OGA": "OGG", "OPUS": "OGG", "AIF": "AIFF", "AIFC": "AIFF", "SND": "AU",
    "SPH": "NIST",
}  # fmt: skip
# By their suffix: what libsndfile reads, and sound that it does not.
_HEARD = ".wav .wave .rf64 .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .w64 .caf .au .snd .sph"
_FOREIGN = ".m4a .m4b .aac .mp4 .mov .webm .mkv .mka .wma .amr .3gp"
HEARD, FOREIGN = frozenset(_HEARD.split()), frozenset(_FOREIGN.split())

OTHER = "choose another format, such as .wav"
REPAIR = "repair the file or leave it out"
DISK = "look whether the disk is full or the folder closed"


class Recording(soundfile.SoundFile):
    """soundfile seeks after each read, which costs time and disturbs MP3; this never seeks."""

    def seekable(self) -> bool:
        return False


class _Endless(io.FileIO):
    """A file of endless size. libsndfile guesses the length of MPEG audio that declares none from
    its size, and stops there; so it goes on to the end."""

    at_end = False

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at_end = whence == os.SEEK_END and offset == 0
        return super().seek(offset, whence)

    def tell(self) -> int:
        return 1 << 40 if self.at_end else super().tell()


def opened(source: Path) -> Recording:
    """The recording; a DataError says why it cannot be read."""
    if source.suffix.lower() in FOREIGN:
        do = f"convert it first: ffmpeg -i {source.name} {source.stem}.wav"
        raise DataError(f"libsndfile does not read {source.suffix}", source, do=do)
    try:
        if not source.is_file():
            what = "not a plain file" if source.exists() else "no such file"
            raise DataError(what, source, do="look at its name")
        if not source.stat().st_size:
            raise DataError("an empty file", source, do="leave it out")
        source.open("rb").close()
        recording = Recording(os.fsencode(source))  # names need not be UTF-8
        if recording.format == "MP3" and not _counted(source):
            recording.close()
            recording = Recording(_Endless(source))
        if recording.format == "WAV":
            _check_whole(source)
    except OSError as error:
        do = "make it readable"
        raise DataError("cannot be opened", source, got=error.strerror, do=do) from error
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: samples without a header
        raise DataError("cannot be read", source, got=_said(error), do=REPAIR) from error
    return recording


def _check_whole(source: Path) -> None:
    """Refuses a WAV that declares more sound than it has: libsndfile reads what is there, without a
    word. Programs that do not know the length yet declare 0 or nearly 4 GiB."""
    with source.open("rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 12
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                if at + 8 + length > size and length < SENTINEL:
                    expected = f"{length} bytes of sound as it declares"
                    raise DataError("cut short", source, expected, size - at - 8, REPAIR)
                return
            at += 8 + length + length % 2


def _counted(source: Path) -> bool:
    """Whether MPEG audio declares its length: Xing's or VBRI's table in its first frame, behind an
    ID3v2 tag, whose size has 7 bits a byte."""
    with source.open("rb") as file:
        tag = file.read(10)
        size = sum(byte << 7 * (9 - i) for i, byte in enumerate(tag) if i > 5)
        file.seek(10 + size if tag[:3] == b"ID3" else 0)
        first = file.read(512)
    return any(word in first for word in (b"Xing", b"Info", b"VBRI"))


def _said(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")


def blocks(recording: Recording, source: Path) -> Iterator[np.ndarray]:
    """All samples in order, (frames, channels) float32; a DataError where they end too early."""
    done, rate = 0, recording.samplerate
    while True:
        try:
            block = recording.read(READ, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            said = f"{_said(error)} (after {done / rate:.1f} s)"
            raise DataError("cannot be read to its end", source, got=said, do=REPAIR) from error
        if not len(block):
            break
        _check_samples(block, source, done, rate)
        done += len(block)
        yield block
    if done < recording.frames and recording.format != "MP3":
        expected = f"{recording.frames} frames as it declares"
        raise DataError("cut short", source, expected, done, REPAIR)


def _check_samples(block: np.ndarray, source: Path, done: int, rate: int) -> None:
    """Refuses a block behind `done` frames with what is no number, or no sound at any loudness."""
    if block.min() >= -FULL_SCALE and block.max() <= FULL_SCALE:  # neither is so with a NaN
        return
    good = np.isfinite(block).all(1)
    if not good.all():
        at = (done + int(np.argmin(good))) / rate
        raise DataError("samples that are no numbers", source, got=f"at {at:.3f} s", do=REPAIR)
    loud = np.abs(block).max(1)
    first = int(np.argmax(loud > FULL_SCALE))
    got = f"{loud[first]:g} at {(done + first) / rate:.3f} s"
    expected = f"at most {FULL_SCALE:g}, of 1.0 at full scale"
    raise DataError("samples out of range", source, expected, got, "scale it down or leave it out")


@contextlib.contextmanager
def writing(source: Path, recording: Recording, target: Path) -> Iterator[soundfile.SoundFile]:
    """A file to write what was made of `recording`; it gets its name when the block is left.

    A RunError is about the disk, a DataError about the form.
    """
    form = _form(source, recording, target)
    part = target.with_name(f".{target.name}.part")
    try:
        with _created(part, target, recording, form) as out:
            yield out
            frames = out.frames
        _check(part, target, frames)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        sync_folder(target.parent)
    except soundfile.LibsndfileError as error:
        raise RunError("cannot be written", target, got=_said(error), do=DISK) from error
    except OSError as error:
        raise RunError("cannot be written", target, got=error.strerror, do=DISK) from error
    finally:
        part.unlink(missing_ok=True)


def _check(part: Path, target: Path, frames: int) -> None:
    """Formats have limits that libsndfile does not always tell: no samples, too many."""
    try:
        with soundfile.SoundFile(os.fsencode(part)) as whole:
            found = whole.frames
    except soundfile.LibsndfileError:
        found = 0 if frames else -1
    if found < frames:
        raise DataError(f"this form cannot hold {frames} frames", target, do=OTHER)


def _form(source: Path, recording: Recording, target: Path) -> tuple[str, str]:
    """(format, sample type): the source's own where the names end alike, else what the target's
    name stands for, with the source's sample type where the format has it."""
    kind = KINDS.get(target.suffix[1:].upper(), target.suffix[1:].upper())
    if target.suffix == source.suffix:
        kind = recording.format
    if kind not in soundfile.available_formats():
        known = ", ".join(sorted({*soundfile.available_formats(), *KINDS})).lower()
        raise DataError("unknown format", target, known, target.suffix, "choose another name")
    subtype = "OPUS" if target.suffix.lower() == ".opus" else recording.subtype
    if not soundfile.check_format(kind, subtype):
        subtype = soundfile.default_subtype(kind)
    frames = 0 if recording.frames == UNKNOWN else recording.frames
    if kind == "WAV" and 4 * frames * recording.channels > WAV_MOST:
        kind = "RF64"  # the same with a length of 64 bits
    return kind, subtype


def _created(
    part: Path, target: Path, recording: Recording, form: tuple[str, str]
) -> soundfile.SoundFile:
    kind, subtype = form
    rate, channels = recording.samplerate, recording.channels
    try:
        name = os.fsencode(part)
        return soundfile.SoundFile(name, "w", rate, channels, subtype, format=kind)
    except soundfile.LibsndfileError as error:
        said = f"{_said(error)} ({rate} Hz, {channels} channels)"
        raise DataError("cannot be written", target, got=said, do=OTHER) from error
