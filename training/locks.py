"""Who works on a run: one process at a time.

Reads: the kernel's table of locks. Does: holds a run's lock, says who holds it where it is refused.
Writes: ``.lock`` in the run's folder.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from training.errors import RunError

FILE = ".lock"


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """flock, not a pid file: the kernel frees it when the holder dies, however it dies."""
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            do = "wait for it, stop it, or name a new run with RUN="
            what, got = "another process works on this run", _holder(descriptor)
            raise RunError(what, folder, got=got, do=do) from None
        yield
    finally:
        os.close(descriptor)


def free(folder: Path) -> None:
    """Refuses a run that a process works on; of several processes the first holds it for all."""
    if not any(os.environ.get(name) for name in ("WORLD_SIZE", "TF_CONFIG")):
        with lock(folder):
            pass


def held(folder: Path) -> bool:
    """Whether a process works on the run."""
    try:
        with lock(folder):
            return False
    except RunError:
        return True


def _holder(descriptor: int) -> str:
    """From the kernel's own table: nothing is written to name ourselves."""
    inode = os.fstat(descriptor).st_ino
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and int(words[5].split(":")[2]) == inode:
                one = psutil.Process(int(words[4]))
                since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.create_time()))
                return f"process {one.pid} since {since}"
    return "a process that this machine cannot name"
