"""The project's real readers on a damaged file: accepted, refused in its own words, or wrong.

Reads what tests/fuzz_files.py wrote and a file that tests/fuzzed.py damaged. Does: hands it to
everything that reads its kind; what was sealed may be refused, or be what it was. Writes: the
damaged file and what belongs beside it, in a folder of its kind.
"""

import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import cookbook, corpus, schema
from pipeline.audio import codecs
from pipeline.disk import store
from pipeline.errors import MelmillError, Rejected
from pipeline.layouts import recognise, rttm
from tests.fuzz_files import RTTM, SOUND
from tests.fuzz_sealed import READS as SEALED_READS
from tests.fuzz_sealed import Wrong
from tests.fuzzed import kind_of, mutated
from training import recordings, run
from training.data.index import DataError
from training.errors import RunError

OURS = (MelmillError, Rejected, DataError, RunError, MemoryError)  # as a worker catches them
CONTROL = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"}
LONGEST = 5000  # characters of a message: four parts of a thousand, and what to do


def sound(path: Path, number: int) -> None:
    """By the pipeline, then by training's own reader."""
    try:
        recording = recordings.opened(path)
        with recording:
            for block in recordings.blocks(recording, path):
                assert np.isfinite(block).all()
    except DataError:
        pass
    with codecs.open_sound(path) as reader:
        total = 0
        for block in reader.blocks():
            if block.ndim != 1 or block.dtype.name != reader.sound.store or not len(block):
                raise Wrong(f"a block of {block.dtype} {block.shape}")
            if block.dtype.kind == "f" and not np.isfinite(block).all():
                raise Wrong("a sample that is no number")
            total += len(block)
        if not total:
            raise Wrong("no samples, and accepted")


def recipe(path: Path, number: int) -> None:
    for one in cookbook.load([str(path)]):
        store.digest([one.resolved(), one.numbers()])
        schema.fields(one, 1)


def listed(path: Path, number: int) -> None:
    """What a list says must fit into the manifest."""
    folder = path.parent.parent if path.parent.name == "meta" else path.parent
    names = ["talk.wav", "talk.rttm"]
    names += [f"{i}.wav" for i in range(6)] if folder.name == "list" else []
    if folder.name == "esc50":
        names = [f"audio/1-{i}-A-{i}.wav" for i in range(6)]
    if folder.name == "list":
        (folder / "talk.rttm").write_text(RTTM)
    names = sorted({*names, path.relative_to(folder).as_posix()})
    found = recognise.read_listing(folder, names, codecs.EXTENSIONS)
    for entry in found.entries:
        rttm.late(entry.segments, 1.0)
        store.dump_json(asdict(entry))
    store.dump_json(list(found.rejected))
    if found.rejected:
        raise Rejected("bad_list_row", found.rejected[0][2])


READS: dict[str, tuple[str, Callable[[Path, int], Any]]] = {  # the file's name, and its reader
    **dict.fromkeys(SOUND, ("x.wav", sound)),
    **SEALED_READS,
    "recipe": ("x.toml", recipe), "list": ("melmill.csv", listed), "rttm": ("talk.rttm", listed),
    "esc50": ("meta/esc50.csv", listed), "splits": ("x.csv", lambda p, n: corpus.read_splits(p)),
    "metrics": ("metrics.jsonl", lambda p, n: run.read_metrics(p.parent)),
}  # fmt: skip


def read(base: Path, number: int) -> str:
    """What came of one case: accepted, refused, or what went wrong."""
    kind, seed = kind_of(number)
    which, data = mutated(base, kind, seed)
    name, reads = READS[kind]
    path = base / "damaged" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        reads(path, which)
    except OURS as error:
        plain = len(str(error)) < LONGEST and not any(c in CONTROL for c in str(error))
        return "refused" if plain else f"not one plain line: {str(error)!r:.2000}"
    except Exception:
        return traceback.format_exc()
    return "accepted"
