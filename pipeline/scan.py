"""Stage 1: what is in the folder.

Reads: every file's stamp, and the bytes of those whose stamp moved. Does: names each audio file by
the hash of its bytes, looks at its header, joins what the corpus' own lists say about it. Writes:
manifest.jsonl, one record per file found (used or with a reject code), and a cache of stamps.
"""

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import suspects
from pipeline.audio import codecs
from pipeline.cache import Cache
from pipeline.disk import stamps, store
from pipeline.disk.stamps import Stamp
from pipeline.errors import MelmillError, Rejected
from pipeline.layouts import recognise as layouts
from pipeline.layouts import rttm
from pipeline.progress import Progress
from pipeline.walk import NEVER, Found, walk

SCHEMA = 1
CHUNK_BYTES = 64 << 20  # bytes hashed by one task
CHUNK_FILES = 500


@dataclass(frozen=True)
class Record:
    """One file found. `reject` is empty when it is used."""

    path: str  # relative to the data folder
    id: str = ""  # sha256 of its bytes
    bytes: int = 0
    codec: str = ""
    rate: int = 0  # Hz
    channels: int = 0
    frames: int = 0  # as its header declares; the decoder counts again
    store: str = ""  # int16 or float32
    role: str = ""
    label: str = ""
    group: str = ""
    split: str = ""  # official split, if the corpus has one
    fold: int | None = None
    tags: tuple[str, ...] = ()
    segments: tuple[tuple[float, float, str], ...] = ()  # seconds, seconds, label or speaker
    segment_kind: str = ""
    reject: str = ""
    detail: str = ""


@dataclass
class Manifest:
    """Every file found, in the order of their paths."""

    layout: str
    records: list[Record]
    key: str = ""  # sha256 of the manifest's bytes
    ignored: int = 0  # files that are not audio, nor a list, by their name
    stamps: dict[str, Stamp] = field(default_factory=dict)
    looked: tuple[int, float] = field(default=(0, 0.0), compare=False)  # files read now, seconds

    def used(self) -> list[Record]:
        return [record for record in self.records if not record.reject]


@dataclass(frozen=True)
class Look:
    """A few files to hash and probe."""

    root: str
    notes: str  # folder where a worker notes which file it is inside
    paths: tuple[str, ...]
    condemned: suspects.Condemned


def look(task: Look) -> list[tuple[str, Stamp, dict[str, Any]]]:
    """Hash and probe a few files; runs in a worker."""
    with suspects.Watch(task.notes) as watch:
        return [_look_at(path, task, watch) for path in task.paths]


def probe(path: str) -> None:
    codecs.probe(Path(path))


def _look_at(path: str, task: Look, watch: suspects.Watch) -> tuple[str, Stamp, dict[str, Any]]:
    mark, full = NEVER, os.path.join(task.root, path)
    try:
        before = os.lstat(full)
        mark = stamps.stamp(before)
        if not stat.S_ISREG(before.st_mode):
            raise Rejected("not_regular", "no longer a regular file")
        ident = stamps.sha256_file(Path(full))
        seen: dict[str, Any] = {"id": ident, "bytes": before.st_size}
        try:
            if full in task.condemned:
                raise Rejected(*task.condemned[full])
            with watch.inside(full, before.st_size):
                sound = codecs.probe(Path(full))
        except MemoryError:
            reason = {"reject": "decoder_error", "detail": "asked for more memory than it may"}
            return path, mark, seen | reason
        except Rejected as why:
            tried = NEVER if why.code in ("unreadable", "missing") else mark
            return path, tried, {**seen, "reject": why.code, "detail": why.detail}
        if stamps.stamp(os.lstat(full)) != mark:
            raise Rejected("changed", "written to while it was being read")
    except Rejected as why:
        return path, mark, {"reject": why.code, "detail": why.detail}
    except OSError as err:  # may be gone by the next run: no stamp, so that it is tried again
        return path, NEVER, {"reject": "unreadable", "detail": err.strerror or str(err)}
    facts = {"codec": sound.codec, "rate": sound.rate, "channels": sound.channels}
    return path, mark, {**seen, **facts, "frames": sound.frames or 0, "store": sound.store}


def _chunks(paths: list[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    chunk: list[str] = []
    held = 0
    for path in paths:
        chunk.append(path)
        held += sizes[path]
        if held >= CHUNK_BYTES or len(chunk) >= CHUNK_FILES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def scan(root: Path, artifacts: Path, layout: str, role: str, count: int) -> Manifest:
    """Look at `root` and bring `artifacts`/manifest.jsonl up to date."""
    if not root.is_dir():
        raise MelmillError("no such folder", where=root, do="give DATA=a folder of recordings")
    found, every = walk(root)
    listing = layouts.read_listing(root, every, codecs.EXTENSIONS, layout=layout, role=role)
    heard = {path for path, _, _ in found}
    extra = {e.path for e in listing.entries} & set(every) - heard
    found += [(path, stamps.stamp(os.lstat(root / path)), "") for path in sorted(extra)]
    cache = Cache(artifacts / ".cache" / "scan.json", root)
    looked = _refresh(cache, root, found, count)
    records = _records(found, cache, listing)
    marks = {path: mark for path, mark, _ in found}
    ignored = sum(not p.lower().endswith((".csv", ".rttm")) for p in set(every) - heard - extra)
    manifest = Manifest(listing.layout, records, ignored=ignored, stamps=marks, looked=looked)
    manifest.key = write(artifacts / "manifest.jsonl", manifest)
    return manifest


def _refresh(cache: Cache, root: Path, found: Sequence[Found], count: int) -> tuple[int, float]:
    """Hash and probe what the cache does not know under its present stamp: how many, how long."""
    cache.prune({path for path, _, _ in found})
    marks = {path: mark for path, mark, problem in found if not problem}
    stale = [p for p, mark in marks.items() if cache.table.get(p, (None,))[0] != mark]
    sizes = {path: marks[path][0] for path in stale}
    notes = cache.path.parent / "inside"
    tasks = {
        chunk[0]: Look(os.fspath(root), os.fspath(notes), tuple(chunk), {})
        for chunk in _chunks(stale, sizes)
    }
    files = {os.path.join(root, path): size for path, size in sizes.items()}
    found_in = suspects.run(look, tasks, count, notes, files, probe) if tasks else ()
    with Progress("scan", len(stale)) as bar:
        for _, rows in found_in:
            for path, mark, seen in rows:
                cache.put(path, mark, seen)
            bar.step(len(rows), sum(s.get("frames", 0) / s.get("rate", 1) for _, _, s in rows))
    cache.save()
    return bar.done, bar.hours * 3600


def _records(found: Sequence[Found], cache: Cache, listing: layouts.Listing) -> list[Record]:
    entries = {entry.path: entry for entry in listing.entries}
    refused = {path: (reject, detail) for path, reject, detail in listing.rejected}
    records = {}
    for path, _, problem in found:
        if problem:
            reject, _, detail = problem.partition(":")
            records[path] = Record(path, reject=reject, detail=detail)
            continue
        record = Record(path, **cache.table[path][1])
        if path in entries:
            record = replace(record, **vars(entries[path]))
        if record.frames and not record.reject:
            late = rttm.late(record.segments, record.frames / record.rate)
            record = replace(record, reject="bad_list_row" if late else "", detail=late)
        if path in refused and not record.reject:
            record = replace(record, reject=refused[path][0], detail=refused[path][1])
        records[path] = record
    for path, (reject, detail) in refused.items():
        records.setdefault(path, Record(path, reject=reject, detail=detail))
    return _without_twins([records[path] for path in sorted(records)])


def _without_twins(records: list[Record]) -> list[Record]:
    """Files with the same bytes count as one: the first path is used, the others are listed."""
    first: dict[str, str] = {}
    result = []
    for record in records:
        if not record.reject and first.setdefault(record.id, record.path) != record.path:
            record = replace(record, reject="duplicate", detail=f"same bytes as {first[record.id]}")
        result.append(record)
    return result


def write(path: Path, manifest: Manifest) -> str:
    """Store the manifest (only if it changed); returns its key."""
    head = {"schema": SCHEMA, "layout": manifest.layout, "ignored": manifest.ignored}
    blank = asdict(Record(""))
    lines = [store.dump_json(head)]
    for record in manifest.records:
        row = {k: v for k, v in vars(record).items() if v != blank[k]}
        lines.append(store.dump_json(row))
    data = b"".join(lines)
    store.write_if_changed(path, data := data + _seal(data))
    return store.sha256(data)


def _seal(body: bytes) -> bytes:
    return store.dump_json({"seal": store.sha256(body)})


def read(artifacts: Path, root: Path) -> Manifest:
    """The manifest as the scan of `root` left it, with the stamps that its files had."""
    path = artifacts / "manifest.jsonl"
    try:
        data = path.read_bytes()
        body = data[: data.rindex(b"\n", 0, -1) + 1]
        if data != body + _seal(body):
            raise ValueError("its content does not match its seal")
        head, *rows = [json.loads(line) for line in body.splitlines()]
        if head["schema"] != SCHEMA:
            raise ValueError("another schema")
        records = [Record(**_tuples(row)) for row in rows]
    except FileNotFoundError as err:
        raise MelmillError("no manifest", where=path, do="run `make scan` first") from err
    except (ValueError, KeyError, TypeError) as err:
        raise MelmillError(f"damaged manifest ({err})", where=path, do="run `make scan`") from err
    table = Cache(artifacts / ".cache" / "scan.json", root).table
    marks = {name: mark for name, (mark, _) in table.items()}
    return Manifest(head["layout"], records, store.sha256(data), head["ignored"], marks)


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    row["tags"] = tuple(row.get("tags", ()))
    row["segments"] = tuple((a, b, name) for a, b, name in row.get("segments", ()))
    return row
