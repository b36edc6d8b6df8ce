"""Stage 2: every file decoded once.

Reads: the manifest and the audio files it names. Does: streams each file through its decoder into
sealed packs at its native rate; a recording that stands in an older pack is copied, and one that
was rejected there stays so: neither is decoded again. Writes: pcm/<bits>.<key>.pcm, then
pcm/index.json, which is the commit point.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import buckets, code, suspects
from pipeline.audio import codecs
from pipeline.audio.pcm import BLOCK, Pack, Recording, check
from pipeline.disk import clean, guard, stamps, store
from pipeline.errors import MelmillError
from pipeline.packing import Source, Task, listen, make_pack
from pipeline.progress import Progress
from pipeline.scan import Manifest, Record

PACK = 32 << 20  # bytes of source files in one pack: what a kill can cost each worker
PASSING = {"changed", "unreadable"}  # reasons that may be gone by the next run
# Reasons that may lie in the machine or in what stands under the name, not in the bytes: an error
# of a decoder may be the disk's, or a lack of memory.
OUTSIDE = PASSING | {"missing", "not_regular", "timeout", "decoder_crash", "decoder_error"}
BARE = 12  # bytes from one byte of a file that declares no length: MP3, 44.1 kHz at 128 kbit/s


@dataclass
class Decoded:
    """What the packs hold."""

    folder: Path
    key: str
    packs: dict[str, str]  # id -> pack name
    recordings: dict[str, Recording]
    rejected: dict[str, tuple[str, str]]
    done: int = 0  # files decoded by this run
    seconds: float = 0.0  # of audio, decoded by this run


def decoder_version() -> str:
    return store.digest(
        [code.version("audio.codecs"), code.version("audio.pcm"), codecs.library_versions()]
    )


def decode(manifest: Manifest, root: Path, artifacts: Path, count: int) -> Decoded:
    """Bring the packs of `artifacts`/pcm up to date with the manifest."""
    folder = artifacts / "pcm"
    notes = artifacts / ".cache" / "inside"
    plan = _plan(manifest, root, folder, notes)
    key = store.digest([task.key for task in plan])
    table = folder / "index.json"
    checked = marks(artifacts)
    decoded = _committed(table, key, plan, checked)
    if decoded is None:
        settled = {i for task in plan for i in (*task.older, *task.refused)}
        guard.need_space(folder, estimate(manifest, settled))
        decoded = _run(plan, folder, key, count, checked)
        store.write_if_changed(table, store.dump_json(store.seal(_index(decoded, plan, checked))))
    clean.sweep(folder, clean.SHARD, {"index.json", *(task.name for task in plan)})
    checked.save()
    return decoded


def marks(artifacts: Path) -> stamps.Hashes:
    """Which packs were found whole, and under which stamp."""
    return stamps.Hashes(artifacts / ".cache" / "packs.json", check)


def _plan(manifest: Manifest, root: Path, folder: Path, notes: Path) -> list[Task]:
    for parent in {os.path.dirname(record.path) for record in manifest.used()}:
        store.inside(root, parent)
    sources = [_source(record, root, manifest) for record in manifest.used()]
    decoder = decoder_version()
    groups = buckets.partition(sources, PACK, lambda s: s.id, lambda s: s.bytes)
    keys = {bits: store.digest([decoder, [s.id for s in group]]) for bits, group in groups.items()}
    names = {bits: f"{bits}.{keys[bits][:12]}.pcm" for bits in groups}
    older, refused = _older(folder, decoder)
    return [
        Task(
            folder=os.fspath(folder),
            notes=os.fspath(notes),
            name=names[bits],
            key=keys[bits],
            decoder=decoder,
            sources=tuple(group),
            older={s.id: older[s.id] for s in group if s.id in older},
            refused={s.id: refused[s.id] for s in group if s.id in refused},
            condemned={},
        )
        for bits, group in groups.items()
    ]


def _source(record: Record, root: Path, manifest: Manifest) -> Source:
    """The folder was found to lie inside; a file that is a link is refused when it is opened."""
    path = os.path.join(root, record.path)
    return Source(record.id, path, manifest.stamps.get(record.path), record.bytes)


def _older(folder: Path, decoder: str) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """(recordings that stand in a pack already, made by the same decoder; what it refused)."""
    found: dict[str, str] = {}
    refused: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("*.pcm")) if folder.is_dir() else ():
        with contextlib.suppress(MelmillError, OSError, ValueError, KeyError):
            pack = Pack(path)
            if pack.decoder == decoder:
                found |= dict.fromkeys(pack.recordings, os.fspath(path))
                refused |= {i: why for i, why in pack.rejected.items() if why[0] not in OUTSIDE}
    return found, {i: why for i, why in refused.items() if i not in found}


def estimate(manifest: Manifest, settled: set[str]) -> int:
    """Bytes the packs will need, about: a header's count is bounded by what a file can hold."""
    total = 0
    for record in manifest.used():
        if record.id not in settled:
            width = 2 if record.store == "int16" else 4
            total += min(record.frames * width, 40 * record.bytes) or BARE * record.bytes
    return total


def _committed(
    table: Path, key: str, plan: Sequence[Task], checked: stamps.Hashes
) -> Decoded | None:
    """The index as it stands, if it is the one wanted and every pack is there and whole."""
    try:
        decoded, packs = stored(table)
        if decoded.key != key or any(why in PASSING for why, _ in decoded.rejected.values()):
            return None
        wanted = {task.name: checked.of(table.parent / task.name) for task in plan}
        return decoded if packs == wanted and "" not in wanted.values() else None
    except (OSError, MelmillError):
        return None


def stored(table: Path) -> tuple[Decoded, dict[str, str]]:
    """The index of the packs, and what `check` must say of each pack."""
    value = store.load_sealed(table)
    try:
        names = list(value["packs"])
        decoded = Decoded(
            folder=table.parent,
            key=value["key"],
            packs={i: names[row[0]] for i, row in value["recordings"].items()},
            recordings={i: Recording.from_row(row[1:]) for i, row in value["recordings"].items()},
            rejected={i: (why, detail) for i, (why, detail) in value["rejected"].items()},
        )
        return decoded, value["packs"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as err:
        raise MelmillError("of another version", where=table, do="run `make features`") from err


def _index(decoded: Decoded, plan: Sequence[Task], checked: stamps.Hashes) -> dict[str, Any]:
    packs = {name: checked.of(decoded.folder / name) for name in sorted(t.name for t in plan)}
    number = {name: i for i, name in enumerate(packs)}
    rows = {
        ident: [number[decoded.packs[ident]], *vars(recording).values()]
        for ident, recording in decoded.recordings.items()
    }
    return {
        "key": decoded.key, "packs": packs, "recordings": rows, "rejected": decoded.rejected,
    }  # fmt: skip


def _run(plan: list[Task], folder: Path, key: str, count: int, checked: stamps.Hashes) -> Decoded:
    decoded = Decoded(folder, key, {}, {}, {})
    waiting = []
    for task in plan:
        if not _take(task, decoded, checked):
            waiting.append(task)
    total = sum(len(task.sources) for task in waiting)
    notes = Path(waiting[0].notes) if waiting else folder
    with Progress("decode", total, working=lambda: suspects.under_way(notes)) as bar:
        for task, fresh in _packs(waiting, notes, count):
            if not _take(task, decoded, checked, final=True):
                raise MelmillError("a pack is gone", where=folder / task.name, do="run it again")
            mine = [decoded.recordings[i] for i in fresh if i in decoded.recordings]
            seconds = sum(r.frames / r.rate for r in mine)
            decoded.done += len(fresh)
            decoded.seconds += seconds
            bar.step(len(task.sources), seconds)
    return decoded


def _take(task: Task, decoded: Decoded, checked: stamps.Hashes, final: bool = False) -> bool:
    """Add a finished pack; false if it is missing, damaged, or worth another try."""
    try:
        pack = Pack(Path(task.folder) / task.name)
    except (OSError, MelmillError, ValueError, KeyError):
        return False
    if pack.key != task.key:
        return False
    if final:  # sealed a moment ago by this run
        checked.learn(pack.path, pack.sha256)
    elif checked.of(pack.path) != pack.sha256 or any(
        why in PASSING for why, _ in pack.rejected.values()
    ):
        return False
    decoded.recordings |= pack.recordings
    decoded.packs |= dict.fromkeys(pack.recordings, task.name)
    decoded.rejected |= pack.rejected
    return True


def _packs(waiting: list[Task], notes: Path, count: int) -> Iterator[tuple[Task, list[str]]]:
    """Make packs in workers. A file that kills its worker is tried once more alone, then left."""
    tasks = {task.name: task for task in waiting}
    files = {source.path: source.bytes for task in waiting for source in task.sources}
    for name, fresh in suspects.run(make_pack, tasks, count, notes, files, listen) if tasks else ():
        yield tasks[name], fresh


def twins(decoded: Decoded, idents: Sequence[str]) -> dict[str, str]:
    """Recordings with the very samples of an earlier one: id -> the earlier. The container, the
    bits of a sample and equal channels are no sound."""
    first: dict[tuple[Any, ...], str] = {}
    found = {}
    for ident in idents:
        recording = decoded.recordings.get(ident)
        if recording is None:
            continue
        other = first.setdefault(recording.sound(), ident)
        if other != ident and _same(decoded, ident, other):
            found[ident] = other
    return found


def _same(decoded: Decoded, one: str, other: str) -> bool:
    packs = [Pack(decoded.folder / decoded.packs[i]) for i in (one, other)]
    stretches = [(at, at + BLOCK) for at in range(0, decoded.recordings[one].frames, BLOCK)]
    return all(
        np.array_equal(packs[0].native(one, *part), packs[1].native(other, *part))
        for part in stretches
    )
