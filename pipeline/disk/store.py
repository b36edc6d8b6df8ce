"""Every path and every write goes through here.

Reads: JSON of ours. Does: atomic writes (temp, fsync, rename, fsync of the folder), path checks,
seals that tell a damaged file from a good one.
Writes: whatever it is given, under the artifacts root only.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import MelmillError

TEMP = ".tmp-"  # every unfinished file's name starts so; see disk/clean.py

_fault_counts: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Die or fail here when MELMILL_FAULT says so ("rename:3" kills, "write:2:ENOSPC" raises).

    For the kill and full-disk tests on systems without system-call injection.
    """
    wanted = os.environ.get("MELMILL_FAULT", "")
    if not wanted.startswith(name + ":"):
        return
    _fault_counts[name] = _fault_counts.get(name, 0) + 1
    count, _, code = wanted[len(name) + 1 :].partition(":")
    if _fault_counts[name] == int(count):
        if code:
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        os.kill(os.getpid(), signal.SIGKILL)


def dump_json(value: Any, *, pretty: bool = False) -> bytes:
    """JSON with sorted keys, ASCII only (odd file names stay escaped), never NaN."""
    text = json.dumps(
        value,
        sort_keys=True,
        ensure_ascii=True,
        allow_nan=False,
        indent=1 if pretty else None,
        separators=None if pretty else (",", ":"),
    )
    return text.encode() + b"\n"


def digest(value: Any) -> str:
    """sha256 of a JSON value: how keys are made."""
    return hashlib.sha256(dump_json(value)).hexdigest()


def load_json(path: Path, limit: int = 1 << 30) -> Any:
    """A JSON file of ours. Damage is an error that says to delete it (it costs time only)."""
    try:
        if path.stat().st_size > limit:
            raise ValueError(f"larger than {limit} bytes")
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise MelmillError(
            f"damaged file ({err})", where=path, do="delete it and run the same command again"
        ) from err


def seal(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with the hash of itself: a flipped bit in a small file must not pass for data."""
    return {**value, "seal": digest({k: v for k, v in value.items() if k != "seal"})}


def load_sealed(path: Path) -> dict[str, Any]:
    """A sealed file, if it stands byte for byte as it was written."""
    value = load_json(path)
    try:
        whole = isinstance(value, dict) and seal(value)["seal"] == value.get("seal")
        forms = (dump_json(value, pretty=pretty) for pretty in (False, True))
        whole = whole and path.read_bytes() in forms
    except ValueError:  # a number that became infinite
        whole = False
    if not whole:
        raise MelmillError(
            "damaged file (its content does not match its seal)",
            where=path,
            do="delete it and run the same command again",
        )
    return dict(value)


def inside(root: Path, relative: str) -> Path:
    """The path of `relative` under `root`; refuses absolute paths, `..` and links that leave."""
    path = root / relative
    if "\0" in relative or os.path.isabs(relative) or ".." in relative.split("/"):
        raise MelmillError("path leaves its folder", where=root, got=repr(relative))
    try:
        held = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle
        held = False
    if not held:
        raise MelmillError("link leaves its folder", where=root, got=repr(relative))
    return path


def sync_folder(folder: Path) -> None:
    """Put the names in it on disk."""
    fault_point("syncdir")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Sink(io.RawIOBase):
    """An unfinished file: counts and hashes what is written to it."""

    def __init__(self, descriptor: int, path: Path, hashed: bool) -> None:
        self.descriptor = descriptor
        self.path = path
        self.size = 0
        self.hashed = hashed
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def rewind(self, size: int) -> None:
        """Drop what was written past `size`: the head of something that turned out bad."""
        if self.hashed:
            raise ValueError("the hash of a file cannot be taken back")
        try:
            os.ftruncate(self.descriptor, size)
            os.lseek(self.descriptor, size, os.SEEK_SET)
        except OSError as err:
            raise write_error(self.path, err) from err
        self.size = size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.hashed:
            self.hash.update(view)
        done = 0
        try:
            while done < len(view):  # write(2) may take less than it is given
                fault_point("write")
                done += os.write(self.descriptor, view[done:])
        except OSError as err:  # told apart here from the errors of what is being read
            raise write_error(self.path, err) from err
        self.size += done
        return done


@contextlib.contextmanager
def sealed(path: Path, hashed: bool = True) -> Iterator[Sink]:
    """Write a file that appears under its name whole, on disk, or not at all."""
    temp = path.parent / f"{TEMP}{os.getpid()}-{uuid.uuid4().hex[:12]}"
    descriptor = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fault_point("open")
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        sink = Sink(descriptor, path, hashed)
        yield sink
        fault_point("fsync")
        os.fsync(descriptor)
        os.close(descriptor)
        descriptor = -1
        fault_point("rename")
        os.rename(temp, path)
        sync_folder(path.parent)
    except OSError as err:
        raise write_error(path, err) from err
    finally:
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        with contextlib.suppress(OSError):
            temp.unlink()


def write_error(path: Path, err: OSError) -> MelmillError:
    """What a person can do about a write that the system refused."""
    hints = {
        errno.ENOSPC: "free some space or set ARTIFACTS= to a larger disk",
        errno.EDQUOT: "your quota is used up: free some space or set ARTIFACTS= elsewhere",
        errno.EROFS: "the disk is read-only: set ARTIFACTS= to a folder you can write",
        errno.EACCES: "you may not write there: set ARTIFACTS= to a folder you can write",
    }
    do = hints.get(err.errno or 0, "mend the disk") + ", then run the same command again"
    free = ""
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(path.parent).free >> 20} MiB free"
    return MelmillError(f"cannot write: {err.strerror}", where=path, got=free, do=do)


def write_bytes(path: Path, data: bytes | bytearray | memoryview) -> str:
    """Seal `data` under `path`; returns its sha256."""
    with sealed(path) as sink:
        sink.write(data)
    return sink.hash.hexdigest()


def write_if_changed(path: Path, data: bytes) -> bool:
    """Seal `data` unless the file holds just that already."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
    write_bytes(path, data)
    return True


def remove(path: Path) -> None:
    fault_point("unlink")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def sha256(data: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def say(text: str) -> None:
    """One line to a person; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)
