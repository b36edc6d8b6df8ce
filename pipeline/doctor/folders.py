"""The folder of artifacts: can it be written as a run writes, is there room, is it free.

Reads: the folder, or the nearest one above it that is there. Does: writes, syncs, renames and locks
a small file and removes it again. Writes nothing that stays; the folder itself is not made.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from pathlib import Path

from pipeline.disk import guard, store
from pipeline.doctor.finding import BAD, NOTE, OK, Finding, size
from pipeline.errors import MelmillError

PROBE = b"melmill"


def nearest(folder: Path) -> Path:
    """The folder, or the one above it in which it would be made."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def artifacts(folder: Path) -> Finding:
    """Whether a run could write there."""
    place = nearest(folder)
    told = str(folder) if place == folder else f"{folder} (to be made in {place})"
    problem = _tried(place)
    if problem:
        found, _, do = problem.partition(". ")
        return Finding(BAD, "artifacts", f"{told}: {found}", do)
    by = guard.holder(folder)
    if by:
        do = "wait for it or stop it, or set ARTIFACTS= to another folder"
        return Finding(NOTE, "artifacts", f"{told} is in use by {by}", do)
    return Finding(OK, "artifacts", f"{told}: written, synced, renamed, locked")


def _tried(place: Path) -> str:
    """What went wrong with a file in `place`; "" if nothing did."""
    path = place / f"{store.TEMP}doctor-{os.getpid()}-{uuid.uuid4().hex[:12]}"  # swept if we die
    try:
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        store.write_bytes(path, PROBE)
        with open(path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read() != PROBE:
                return "what was written is not what is read. Set ARTIFACTS= to another disk"
    except MelmillError as err:
        return str(err).removeprefix(f"{path}: ")
    except OSError as err:
        if err.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EWOULDBLOCK):
            return f"no locks ({err.strerror}). Set ARTIFACTS= to a disk of this machine"
        return str(store.write_error(place, err)).removeprefix(f"{place}: ")
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return ""


def disk(folder: Path, need: int, told: str) -> Finding:
    """Whether `need` more bytes fit on the volume of the artifacts; `told` says what for."""
    place = nearest(folder)
    try:
        free = shutil.disk_usage(place).free
    except OSError as err:
        return Finding(BAD, "disk", f"{place}: {err.strerror}", "mend the disk")
    found = f"{size(free)} free; {told}"
    if need + guard.SPARE > free:
        lack = size(need + guard.SPARE - free)
        do = f"free {lack} or more, set ARTIFACTS= to a larger disk, or ask for fewer with RECIPE="
        return Finding(BAD, "disk", found, do)
    return Finding(OK, "disk", found)
