"""The demo corpus: about 65 minutes of synthetic audio with a list, made on the spot.

Reads the stamp `demo.json` in the target folder. Writes voices/, noise/, music/, conversations/,
sounds/, songs/, broken/, `melmill.csv` and the stamp. Does: makes every planned file from its name
and the seed alone, and moves the finished folder into place: neither a kill nor a power cut leaves
anything half made.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline import jobs
from pipeline.demo.plan import Item, plan
from pipeline.disk import store
from pipeline.errors import UsageError

VERSION = 5  # raise it whenever any byte of the corpus changes
LIST, STAMP, MADE_BY = "melmill.csv", "demo.json", "melmill demo"
COLUMNS = ("path", "label", "group", "split", "role", "start", "end", "tags", "rttm")
FEW = 16  # files that are made sooner than workers start

Progress = Callable[[int, int], None]


def ensure(folder: Path, seed: int = 0, progress: Progress | None = None) -> bool:
    """Make the corpus unless this version of it with this seed is there; True if it was made."""
    folder = Path(folder)
    if folder.exists() and _stamp(folder) == {"made_by": MADE_BY, "version": VERSION, "seed": seed}:
        return False
    synthesise(folder, seed, progress)
    return True


def synthesise(folder: Path, seed: int = 0, progress: Progress | None = None) -> None:
    """Write the whole corpus, replacing an earlier one of ours."""
    make(Path(folder), seed, plan(seed), progress)


def make(folder: Path, seed: int, items: list[Item], progress: Progress | None = None) -> None:
    """Write these items beside the folder, then move them into place."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not _stamp(folder):
        raise UsageError(
            "will not replace what is not a demo corpus", where=folder,
            expected=f"a new or empty folder, or one with our {STAMP}",
            do="name another folder",
        )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    try:
        _fill(part, seed, items, progress)
        os.sync()  # the files, before the name that says that they are there
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        store.sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(part: Path, seed: int, items: list[Item], progress: Progress | None) -> None:
    tasks = [(part, item) for item in items]
    count = jobs.cores() if len(items) > FEW else 1
    made = jobs.run(_make, tasks, count) if count > 1 else enumerate(map(_make, tasks))
    for done, _ in enumerate(made):
        if progress:
            progress(done + 1, len(items))
    with open(part / LIST, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"path": item.path, **item.row} for item in items)
    stamp = {"made_by": MADE_BY, "version": VERSION, "seed": seed}
    _write(part / STAMP, (json.dumps(stamp) + "\n").encode())


def _make(task: tuple[Path, Item]) -> None:
    """One file, and what lies beside it; it is a function of the plan alone."""
    part, item = task
    _write(part / item.path, item.make())
    for path, text in item.beside.items():
        _write(part / path, text().encode())


def _stamp(folder: Path) -> dict[str, object] | None:
    """The folder's stamp if it is one of ours, else None."""
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("made_by") == MADE_BY else None


def _sweep(folder: Path) -> None:
    """Remove what killed runs left beside the folder."""
    prefix = f".{folder.name}."
    for left in [p for p in folder.parent.iterdir() if p.name.startswith(prefix)]:
        what, _, pid = left.name.removeprefix(prefix).partition("-")
        ours = what in ("part", "old") and pid.isdigit()
        if ours and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
