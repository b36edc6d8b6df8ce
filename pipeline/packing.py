"""One pack: files decoded, or copied from an older pack, and sealed.

Reads: the audio files of one task, older packs. Does: streams each file through its decoder, and
notes which file it is inside, so that one that kills its worker is found. Writes: one pack.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import suspects
from pipeline.audio import codecs
from pipeline.audio.pcm import Pack, PackWriter
from pipeline.disk import stamps, store
from pipeline.errors import MelmillError, Rejected

CHANGED = "written to since the scan: run the same command again"


@dataclass(frozen=True)
class Source:
    id: str
    path: str  # absolute
    stamp: stamps.Stamp | None  # as the scan saw it; None when its cache is gone
    bytes: int


@dataclass(frozen=True)
class Task:
    """One pack."""

    folder: str
    notes: str  # folder where a worker notes which file it is inside
    name: str  # <bits>.<key>.pcm
    key: str
    decoder: str
    sources: tuple[Source, ...]
    older: dict[str, str]  # id -> pack that holds it already
    refused: dict[str, tuple[str, str]]  # id -> why the same decoder rejected it before
    condemned: suspects.Condemned


def listen(path: str) -> None:
    """Decode a file and throw the samples away."""
    with codecs.open_sound(Path(path)) as reader:
        for _ in reader.blocks():
            pass


def make_pack(task: Task) -> list[str]:
    """Write one pack; returns the ids that were decoded rather than copied. Runs in a worker."""
    folder = Path(task.folder)
    older = _open_older(task)
    fresh: list[str] = []
    whole = store.sealed(folder / task.name, hashed=False)
    with suspects.Watch(task.notes) as watch, whole as sink:
        writer = PackWriter(sink, task.key, task.decoder)
        for source in task.sources:
            if source.path in task.condemned:
                writer.rejected[source.id] = task.condemned[source.path]
            elif source.id in task.refused:
                writer.rejected[source.id] = task.refused[source.id]
            elif not _copy(writer, source, older):
                fresh.append(source.id)
                _decode_one(writer, source, watch)
        writer.close()
    return fresh


def _open_older(task: Task) -> dict[str, Pack]:
    packs: dict[str, Pack] = {}
    for path in set(task.older.values()):
        with contextlib.suppress(OSError, MelmillError):
            packs[path] = Pack(Path(path))
    return {
        ident: packs[path]
        for ident, path in task.older.items()
        if path in packs and ident in packs[path].recordings  # else made anew meanwhile
    }


def _copy(writer: PackWriter, source: Source, older: dict[str, Pack]) -> bool:
    """Take a recording from an older pack, if it is there and undamaged."""
    pack = older.get(source.id)
    if pack is None:
        return False
    r = pack.recordings[source.id]
    last = len(r.crc)
    blocks = (pack.raw(source.id, i, i + 1) for i in range(last))
    try:
        writer.add(source.id, r.rate, r.codec, r.dtype, blocks)
    except MelmillError:
        return False
    return True


def _decode_one(writer: PackWriter, source: Source, watch: suspects.Watch) -> None:
    try:
        before = stamps.stamp(os.lstat(source.path))
        if before != source.stamp and stamps.sha256_file(Path(source.path)) != source.id:
            raise Rejected("changed", CHANGED)
        inside = watch.inside(source.path, source.bytes)
        try:
            with inside, codecs.open_sound(Path(source.path)) as reader:
                sound = reader.sound
                blocks = watch.counted(reader.blocks(), sound.rate)
                writer.add(source.id, sound.rate, sound.codec, sound.store, blocks)
        except Rejected:  # what is cut meanwhile looks like a bad file
            _still(source, before)
            raise
        _still(source, before)
    except Rejected as why:
        writer.recordings.pop(source.id, None)
        writer.rejected[source.id] = (why.code, why.detail)
    except MemoryError:
        writer.rejected[source.id] = ("decoder_error", "asked for more memory than a worker may")
    except OSError as err:
        writer.rejected[source.id] = ("unreadable", err.strerror or str(err))


def _still(source: Source, before: stamps.Stamp) -> None:
    if stamps.stamp(os.lstat(source.path)) != before:
        raise Rejected("changed", CHANGED)
