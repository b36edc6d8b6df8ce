"""Removing what can be made again.

Reads: names in the artifacts folder. Does: tells what the pipeline made from what somebody put
there, by what stands in it and not by its name alone: ARTIFACTS= may have been pointed at a home
folder. Trained models may have cost days: they stay. Writes: removes the first, leaves the rest:
all of it for `make clean`, and in each run what a killed one left and what no index names any more.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.disk import store

RUNS = "runs"  # trained models
FILES = {"manifest.jsonl", "rejected.csv", "splits.csv"}
CACHES = {"scan.json", "hashes.json", "packs.json", "last.json", "done.json", "speeds.json"}
CACHES |= {"inside"}
SHARD = re.compile(
    r"index\.json|[01]+\.[0-9a-f]{12}\.pcm"
    r"|(noise-)?(train|valid|test)-[01]+(-\d+)?\.[0-9a-f]{12}\.(h5|tfrecord|json)"
)
LABELS = re.compile(r"[0-9a-f]{16}\.[0-9a-f]{12}\.json")  # labels/<recipe>/
NOTE = re.compile(r"\d+")  # .cache/inside/: a worker's process
TEMP = re.compile(re.escape(store.TEMP) + r"(doctor-)?\d+-[0-9a-f]{12}")  # half-written
PAGE = b'<meta name="generator" content="melmill report">'  # reports/<recipe>.html, at its head
HEAD = 512  # bytes of a page that hold it


def clean(root: Path) -> list[str]:
    """Remove what the pipeline made in `root`; the names of what was left. Hold the lock."""
    left = []
    for path in sorted(root.iterdir()):
        if not ours(path):
            left += [path.name] if path.name != ".lock" else []
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            store.remove(path)
    return left


def ours(path: Path) -> bool:
    """Whether something in the artifacts folder was made by us, and can be made again."""
    if path.is_symlink() or not path.is_dir():
        return path.name in FILES or TEMP.fullmatch(path.name) is not None
    names = {inner.name for inner in path.iterdir() if not TEMP.fullmatch(inner.name)}
    if path.name == ".cache":
        return names <= CACHES
    if path.name == "labels":
        inside = [inner for folder in path.iterdir() for inner in _inside(folder)]
        return all(LABELS.fullmatch(name) or TEMP.fullmatch(name) for name in inside)
    if path.name == "reports":
        return all(TEMP.fullmatch(p.name) or _page(p) for p in path.iterdir())
    if path.name == "demo" or path.name.startswith(".demo."):
        return path.name != "demo" or "demo.json" in names
    return path.name != RUNS and all(SHARD.fullmatch(name) for name in names)


def _page(path: Path) -> bool:
    """Whether a file says that it is a page of ours: many a tool writes a folder of reports."""
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        return PAGE in file.read(HEAD)


def _inside(folder: Path) -> list[str]:
    """Names in a folder; of what is no folder its own."""
    return [inner.name for inner in folder.iterdir()] if _real(folder) else [folder.name]


def _real(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def sweep(folder: Path, shape: re.Pattern[str], keep: set[str]) -> list[str]:
    """Remove files of a name that we give and that nothing asks for any more; returns the names."""
    gone = []
    for entry in sorted(os.scandir(folder), key=lambda item: item.name) if _real(folder) else ():
        given = shape.fullmatch(entry.name) or TEMP.fullmatch(entry.name)
        if given and entry.name not in keep and not entry.is_dir(follow_symlinks=False):
            store.remove(Path(entry.path))
            gone.append(entry.name)
    return gone


def sweep_temps(root: Path) -> None:
    """Remove what a killed run left half-written. Call with the lock held."""
    for folder in _written(root):
        sweep(folder, TEMP, set())


def _written(root: Path) -> Iterator[Path]:
    """Folders that a run writes into. Those named after recipes are told by what stands in them:
    another may be the artifacts of a run that is at work."""
    yield from (root, root / ".cache", root / "pcm", root / "reports")
    for parent, shape in ((root, SHARD), (root / "labels", LABELS)):
        for folder in sorted(parent.iterdir()) if _real(parent) else ():
            names = []
            with contextlib.suppress(OSError):  # nothing that we may not look into is ours
                names = os.listdir(folder) if _real(folder) else []
            if any(map(shape.fullmatch, names)) or (names and all(map(TEMP.fullmatch, names))):
                yield folder
