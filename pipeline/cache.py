"""What was seen of each file, so that a file whose stamp did not move is not read again.

Reads and writes: one sealed table. Does: drops the whole of it when the folder or the code is
another; losing it costs time only.
"""

import os
import time
from pathlib import Path
from typing import Any

from pipeline import code
from pipeline.audio import codecs
from pipeline.disk import stamps, store
from pipeline.disk.stamps import Stamp
from pipeline.errors import MelmillError

SAVE_EVERY = 30.0  # seconds between saves of the cache: what a kill costs at most


class Cache:
    """path -> (stamp, what was seen), for one data folder and one version of the code."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.head = {"root": os.fspath(root), "code": _version()}
        self.table: dict[str, tuple[Stamp, dict[str, Any]]] = {}
        self.saved = time.monotonic()
        self.dirty = False
        try:
            stored = store.load_sealed(path)
            if stored["head"] == self.head:
                rows = stored["files"].items()
                self.table = {name: (tuple(mark), seen) for name, (mark, seen) in rows}
        except (OSError, MelmillError, KeyError, TypeError, ValueError, AttributeError):
            pass  # a missing or damaged cache costs time only

    def put(self, path: str, mark: Stamp, seen: dict[str, Any]) -> None:
        self.table[path] = (mark, seen)
        self.dirty = True
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def prune(self, present: set[str]) -> None:
        for path in set(self.table) - present:
            del self.table[path]
            self.dirty = True

    def save(self) -> None:
        if self.dirty:
            stamps.settle(max((mark[2] for mark, _ in self.table.values()), default=0))
            value = store.seal({"head": self.head, "files": self.table})
            store.write_bytes(self.path, store.dump_json(value))
        self.saved, self.dirty = time.monotonic(), False


def _version() -> str:
    return store.digest([code.version("audio.codecs"), codecs.library_versions()])
