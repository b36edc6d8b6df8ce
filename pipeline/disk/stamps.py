"""Which files changed: stamps, and hashes that are read again only when a stamp moved.

Reads: files, and a table of what was read before. Does: sha256, stamps, waits for the clock of the
file system. Writes: the table.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.disk.store import dump_json, load_json, write_bytes
from pipeline.errors import MelmillError

READ = 1 << 20  # bytes per read when hashing: past this size the read call no longer matters
Stamp = tuple[int, int, int, int]


def sha256_file(path: Path) -> str:
    result = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(READ):
            result.update(chunk)
    return result.hexdigest()


def stamp(status: os.stat_result) -> Stamp:
    """What must be unchanged for a file not to be read again.

    ctime is the kernel's own clock: a tool can set mtime back, but not ctime.
    """
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def settle(newest_ctime_ns: int) -> None:
    """Wait until a later change of a file must show in its ctime.

    A file changed twice within one tick of the file system's clock shows one stamp. Kernel
    ticks are at most 10 ms; a stamp of whole seconds tells of a file system that counts in those.
    """
    tick = 2_000_000_000 if newest_ctime_ns % 1_000_000_000 == 0 else 20_000_000
    wait = newest_ctime_ns + tick - time.time_ns()
    if 0 < wait <= tick:
        time.sleep(wait / 1e9)


class Hashes:
    """What `read` says of a file (its sha256), asked again only when its stamp moved.

    Lives in one JSON file.
    """

    def __init__(self, path: Path, read: Callable[[Path], str] = sha256_file) -> None:
        self.path = path
        self.read = read
        self.known: dict[str, tuple[Stamp, str]] = {}
        self.seen: dict[str, tuple[Stamp, str]] = {}
        with contextlib.suppress(OSError, MelmillError, ValueError, TypeError, AttributeError):
            for name, (mark, sha) in load_json(path).items():
                self.known[name] = (tuple(mark), str(sha))
        self.stored = dict(self.known)

    def learn(self, path: Path, sha: str) -> None:
        """Take the hash of a file that this run has just written."""
        self.seen[os.fspath(path)] = (stamp(os.stat(path)), sha)

    def knows(self, path: Path) -> bool:
        """Whether the file was read under the stamp that it has now."""
        found = self.seen.get(os.fspath(path)) or self.known.get(os.fspath(path))
        return found is not None and found[0] == stamp(os.stat(path))

    def of(self, path: Path) -> str:
        name = os.fspath(path)
        mark = stamp(os.stat(path))
        found = self.seen.get(name) or self.known.get(name)
        if found is None or found[0] != mark:
            found = (mark, self.read(path))
        self.seen[name] = found
        return found[1]

    def forget(self, path: Path) -> None:
        self.seen.pop(os.fspath(path), None)
        self.known.pop(os.fspath(path), None)

    def save(self) -> None:
        """Store what is known now; files that are gone are left out."""
        table = {n: row for n, row in (self.known | self.seen).items() if os.path.exists(n)}
        if table == self.stored:
            return
        settle(max((mark[2] for mark, _ in table.values()), default=0))
        write_bytes(self.path, dump_json(table))
