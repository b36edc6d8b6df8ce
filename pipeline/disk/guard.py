"""What must hold before a run may start: nobody else at work, a folder to write to, space.

Reads: the kernel's table of locks. Does: holds the run lock, refuses what cannot end well. Writes:
`.lock` in the artifacts folder.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.disk.store import write_error
from pipeline.errors import MelmillError

SPARE = 64 << 20  # bytes left free on the volume, so that logs and other programs go on


def need_space(folder: Path, need: int) -> None:
    """Refuse to start what cannot fit on the volume of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need + SPARE > free:
        raise MelmillError(
            "too little disk space",
            where=folder,
            expected=f"about {(need + SPARE) >> 20} MiB",
            got=f"{free >> 20} MiB free",
            do="free some space or set ARTIFACTS= to a larger disk",
        )


def _need_writable(root: Path) -> None:
    """Fail at the start of a run, not hours later. Asks the kernel, so that nothing is written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise write_error(root, err) from err
    if not os.access(root, os.W_OK | os.X_OK):
        raise write_error(root, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _need_no_links(root: Path) -> None:
    """A run removes files of names that it gives: behind a link, another's."""
    for folder in (root, root / "labels"):
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.is_symlink() and entry.is_dir() and entry.name != "runs":  # that is training's
                raise MelmillError(
                    "a link to another folder, where a run would write and remove files",
                    where=entry.path,
                    do="remove the link; ARTIFACTS= itself may be one",
                )


UNNAMED = "a process that this machine cannot name"


def holder(root: Path) -> str:
    """Who works in a folder now, as far as this machine can name them; "" if nobody does."""
    with contextlib.suppress(OSError):
        said = _holder((root / ".lock").stat().st_ino)
        return said if said != UNNAMED else ""
    return ""


def _holder(inode: int) -> str:
    """Who holds the lock, from the kernel's own table: nothing is written to name ourselves."""
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and int(words[5].split(":")[2]) == inode:
                process = psutil.Process(int(words[4]))
                since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(process.create_time()))
                command = " ".join(" ".join(process.cmdline()[-6:]).split())
                return f"'{command}', process {process.pid} on {socket.gethostname()} since {since}"
    return UNNAMED


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold `root`/.lock for one run. A second run is refused at once and told who holds it.

    flock, not a pid file: the kernel frees it when the holder dies, however it dies.
    """
    _need_writable(root)
    _need_no_links(root)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(root / ".lock", flags, 0o666)
    except OSError as err:
        raise write_error(root / ".lock", err) from err
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise MelmillError(
                "another run is using this folder",
                where=root,
                got=_holder(os.fstat(descriptor).st_ino),
                do="wait for it, stop it, or set ARTIFACTS= to another folder",
            ) from err
        yield
    finally:
        os.close(descriptor)
