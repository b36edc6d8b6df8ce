"""Files of a training run that are there whole, or not at all.

Reads: sealed JSON files. Does: writes under a temporary name, fsyncs, renames, fsyncs the folder.
Writes: whatever it is given, where it is told.
"""

import contextlib
import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from training.errors import Damaged, RunError

TEMP = ".tmp-"  # how the name of every unfinished file begins
# What a person can do about an error; the same command goes on with a run, or does its work again.
DO = {
    errno.ENOSPC: "free some space", errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
}  # fmt: skip
AGAIN = ", then give the command again"

_fault_counts: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Die or fail here when MELMILL_FAULT says so ("rename:3" kills, "write:2:ENOSPC" raises)."""
    wanted = os.environ.get("MELMILL_FAULT", "")
    if not wanted.startswith(name + ":"):
        return
    _fault_counts[name] = _fault_counts.get(name, 0) + 1
    count, _, code = wanted[len(name) + 1 :].partition(":")
    if _fault_counts[name] == int(count):
        if code:
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        os.kill(os.getpid(), signal.SIGKILL)


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Seal the parts, one after another, under `path`."""
    temp = path.with_name(f"{TEMP}{os.getpid()}-{path.name}")
    try:
        fault_point("open")
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            for part in parts:
                _put(descriptor, part)
            fault_point("fsync")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fault_point("rename")
        os.replace(temp, path)
        sync_folder(path.parent)
    except OSError as err:
        raise write_error(path, err) from err
    finally:
        with contextlib.suppress(OSError):
            temp.unlink()


def append(path: Path, data: bytes) -> None:
    """Add `data` at the end of a file; a kill may leave a part of it there, never elsewhere."""
    try:
        fault_point("append")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _put(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise write_error(path, err) from err


def _put(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:  # write(2) takes at most 2 GiB, and may take less than it is given
        fault_point("write")
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` survive a power cut."""
    fault_point("syncdir")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, err: OSError) -> RunError:
    """What a person can do about a write that the system refused."""
    do = what_to_do(err) or f"mend the disk{AGAIN}"
    return RunError(f"cannot write: {err.strerror}", path, do=do)


def what_to_do(err: OSError) -> str:
    """About an error that says enough; "" about others."""
    do = DO.get(err.errno or 0, "")
    return f"{do}{AGAIN}" if do else ""


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written. Call with the lock held."""
    for path in folder.glob(f"{TEMP}*"):
        fault_point("unlink")
        path.unlink(missing_ok=True)


def dump_json(value: Any, *, pretty: bool = False) -> bytes:
    """JSON with sorted keys, ASCII only, never NaN."""
    separators = None if pretty else (",", ":")
    text = json.dumps(
        value, sort_keys=True, allow_nan=False, indent=1 if pretty else None, separators=separators
    )
    return text.encode() + b"\n"


def digest(value: Any) -> str:
    """sha256 of a JSON value."""
    return hashlib.sha256(dump_json(value)).hexdigest()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Seal `value` under `path`, with its own hash inside."""
    write(path, [dump_json({**value, "seal": digest(value)}, pretty=True)])


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote; refused when it is not that any more."""
    try:
        value = json.loads(path.read_bytes())
        seal = value.pop("seal", "") if isinstance(value, dict) else ""
        whole = bool(seal) and digest(value) == seal
    except FileNotFoundError:
        raise RunError("no such file", path) from None
    except (OSError, ValueError, RecursionError) as err:
        raise Damaged(f"damaged file ({err})", path, do="put back a copy of it") from err
    if not whole:
        raise Damaged("its content does not match its seal", path, do="put back a copy of it")
    found: dict[str, Any] = value
    return found


def read_or(path: Path, instead: dict[str, Any], say: Callable[[str], object]) -> dict[str, Any]:
    """A note that can be made again: what is taken where it is not there, or damaged."""
    try:
        return read_json(path) if path.exists() else instead
    except Damaged:
        say(f"{path}: damaged, and passed over")
        return instead


def hash_of(path: Path) -> str:
    """sha256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"cannot be read: {error.strerror}", path) from error
