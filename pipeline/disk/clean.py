"""Removing what can be made again.

Reads: names in the artifacts folder. Does: tells what the pipeline made from what somebody put
there, by what stands in it and not by its name alone: ARTIFACTS= may have been pointed at a home
folder. Trained models may have cost days: they stay. Writes: removes the first, leaves the rest.
"""

import re
import shutil
from pathlib import Path

from pipeline.disk import store

RUNS = "runs"  # trained models
FILES = {"manifest.jsonl", "rejected.csv", "splits.csv", "bench.json", "bench.png"}
CACHES = {"scan.json", "hashes.json", "packs.json", "last.json", "done.json", "speeds.json"}
CACHES |= {"inside"}
SHARD = re.compile(
    r"index\.json|[01]+\.[0-9a-f]{12}\.pcm"
    r"|(noise-)?(train|valid|test)-[01]+(-\d+)?\.[0-9a-f]{12}\.(h5|tfrecord|json)"
)


LABELS = re.compile(r"[0-9a-f]{16}\.[0-9a-f]{12}\.json")  # labels/<recipe>/
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
        return path.name in FILES or path.name.startswith(store.TEMP)
    names = {inner.name for inner in path.iterdir() if not inner.name.startswith(store.TEMP)}
    if path.name == ".cache":
        return names <= CACHES
    if path.name == "labels":
        inside = [inner for folder in path.iterdir() for inner in _inside(folder)]
        return all(LABELS.fullmatch(name) or name.startswith(store.TEMP) for name in inside)
    if path.name == "reports":
        return all(p.name.startswith(store.TEMP) or _page(p) for p in path.iterdir())
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
    real = folder.is_dir() and not folder.is_symlink()
    return [inner.name for inner in folder.iterdir()] if real else [folder.name]
