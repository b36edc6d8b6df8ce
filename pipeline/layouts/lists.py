"""Entries, and reading the tables that lie beside audio.

Reads: text under the data folder, with a size limit. Does: names what is known of one file, and
splits tables into rows. Writes nothing.
"""

import csv
import errno
import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.errors import UsageError
from pipeline.layouts.rttm import Segment

ROLES = ("clean", "noise", "music", "labelled")
# What people call the roles, in a column or as a folder's name.
ROLE_NAMES = {
    **{role: role for role in ROLES},
    **{"speech": "clean", "voices": "clean", "noises": "noise", "conversations": "labelled"},
}
SPLIT_NAMES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "valid" for name in ("valid", "val", "validation", "dev")},
    **{name: "test" for name in ("test", "testing", "eval")},
}
MAX_LIST_BYTES = 256 * 2**20  # two million rows of 128 bytes; no list is larger, a bomb may be

MAX_FOLD = 2**31 - 1  # shards hold 32 bits
MORE = "\0more"  # key of a row's cell count where it has more cells than the header

Reject = tuple[str, str, str]  # path, code, detail


@dataclass(frozen=True)
class Entry:
    """One file and what its folder says about it."""

    path: str  # relative to the root, posix; odd bytes as lone surrogates
    role: str  # clean | noise | music | labelled
    label: str = ""  # class name, "" if none
    group: str = ""  # speaker, source recording, artist; "" = the file is its own group
    split: str = ""  # official train | valid | test, "" if the corpus has none
    fold: int | None = None  # official fold
    tags: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()  # start and end in seconds, label or speaker
    segment_kind: str = ""  # "" | "label" | "speaker"


@dataclass(frozen=True)
class Folder:
    """What every layout is asked about; hidden files are already gone."""

    root: Path
    files: tuple[str, ...]  # sorted
    audio: tuple[str, ...]  # those of them with an audio suffix, sorted
    role: str  # the user's role for files whose layout does not say


@dataclass
class Found:
    """What a layout makes of a folder."""

    entries: list[Entry] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)


def stem(path: str) -> str:
    return PurePosixPath(path).stem


def read_plain(path: Path, most: int = 0) -> bytes:
    """A file that somebody names, in whole: a pipe or a device may have no end."""
    most = most or MAX_LIST_BYTES
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return data


def _at_once(path: str, flags: int) -> int:
    """Without waiting for somebody to write into a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_text(root: Path, path: str) -> str:
    """A list's text; a byte that is not UTF-8 survives as a lone surrogate, as in file names."""
    try:
        data = read_plain(root / path)
    except OSError as error:
        large = error.errno == errno.EFBIG
        what, do = ("list too large", "split it") if large else ("cannot read the list", "")
        raise UsageError(what, where=path, got=error.strerror, do=do) from error
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def read_table(root: Path, path: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header names and (line, row) pairs of a comma, semicolon or tab separated table."""
    text = read_text(root, path)
    head = text.split("\n", 1)[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        header = [name.strip() for name in next(lines, [])]
        if len(set(header)) != len(header):
            raise UsageError("two columns share a name", where=path, got=",".join(header))
        rows = []
        for cells in lines:
            if any(cells):
                row = dict(zip(header, cells, strict=False))
                more = any(cells[len(header) :])
                rows.append((lines.line_num, row | ({MORE: str(len(cells))} if more else {})))
    except csv.Error as error:
        raise UsageError(f"not a table: {error}", where=f"{path}:{lines.line_num}") from error
    return header, rows
