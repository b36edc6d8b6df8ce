"""Whether a run has anything to do at all: 50,000 files are looked up in a second, not in five.

Reads: the stamp of every file in the data folder and of everything made from it, the recipes, the
given splits. Does: hashes them with what else a run depends on; equal to what the last run left
means that nothing can have changed, file by file and shard by shard. Writes: .cache/done.json, once
a run has ended well.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from pipeline import code, cookbook, keys, walk
from pipeline.audio import codecs
from pipeline.disk import stamps, store
from pipeline.errors import MelmillError
from pipeline.request import Request

LISTS = ("manifest.jsonl", "rejected.csv", "splits.csv")


class Look:
    """What a run hangs on, as it stood before the run: what is changed meanwhile is not missed."""

    def __init__(self, asked: Request) -> None:
        self.artifacts = asked.artifacts
        self.path = asked.artifacts / ".cache" / "done.json"
        self.newest = 0  # ctime, ns, of all that was looked at
        root, recipes = asked.root(), cookbook.load(asked.recipes)
        self.folders = ("pcm", "labels", *(one.name for one in recipes))
        self.before = {
            "asked": [os.fspath(root), asked.layout, asked.role, asked.max_rejected],
            "splits": _text(asked.splits),
            "recipes": [one.resolved() for one in recipes],
            "code": [code.version("stages"), sys.version],
            "libraries": [code.libraries(*keys.LIBRARIES), codecs.library_versions()],
            "read": self._below(root),
        }

    def told(self) -> str:
        """What the last run would say if it ran again; "" where it may have something to do."""
        with contextlib.suppress(OSError, MelmillError, KeyError):
            kept = store.load_sealed(self.path)
            if kept["key"] == self._key():
                return str(kept["told"])
        stamps.settle(self.newest)  # whoever writes to a file from now on moves its stamp
        return ""

    def note(self, told: str) -> None:
        """The run ended well, and this is what it would say if it ran again."""
        value = {"key": self._key(), "told": told}
        stamps.settle(self.newest)
        store.write_if_changed(self.path, store.dump_json(store.seal(value)))

    def _key(self) -> str:
        made = [self._below(self.artifacts / name) for name in (*LISTS, *self.folders)]
        return store.digest([self.before, made])

    def _below(self, path: Path) -> list[Any]:
        """Every file under `path` with its stamp; `path` itself where it is one."""
        if not path.is_dir():
            return [self._mark(path)]
        audio, every = walk.walk(path)
        heard = {name for name, _, _ in audio}
        marks = [(name, mark, why) for name, mark, why in audio]
        self.newest = max([self.newest, *(mark[2] for _, mark, _ in marks)])
        return [marks, [(name, self._mark(path / name)) for name in every if name not in heard]]

    def _mark(self, path: Path) -> stamps.Stamp:
        try:
            mark = stamps.stamp(os.lstat(path))
        except OSError:
            return walk.NEVER
        self.newest = max(self.newest, mark[2])
        return mark


def _text(path: str) -> str:
    return Path(path).read_bytes().hex() if path not in ("", "groups") else path
