"""The list that a user writes for their own audio: melmill.csv.

Reads: one table at the root of the data folder, and the RTTM files it names. Does: turns its rows
into entries, and every wrong row into a rejection with its line. Writes nothing.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipeline.errors import Rejected, UsageError
from pipeline.layouts.lists import (
    MAX_FOLD,
    MORE,
    ROLE_NAMES,
    SPLIT_NAMES,
    Entry,
    Folder,
    Found,
    Reject,
    read_table,
    read_text,
    stem,
)
from pipeline.layouts.rttm import Segment, Turns

COLUMNS = ("path", "label", "group", "split", "role", "start", "end", "fold", "tags", "rttm")
ALIASES = {"kind": "role", "speaker": "group", "class": "label"}  # used where the column is absent
HAS_PATH = re.compile(rb'(?i)(?:^|[,;\t])(?:\xef\xbb\xbf)?\s*"?path"?\s*(?:[,;\t\r\n]|$)')


def own_list(folder: Folder) -> str:
    """melmill.csv at the root, or the only CSV there that has a path column; "" if none."""
    if "melmill.csv" in folder.files:
        return "melmill.csv"
    tables = [p for p in folder.files if "/" not in p and p.lower().endswith(".csv")]
    named = [path for path in tables if HAS_PATH.search(_head(folder.root, path))]
    return named[0] if len(named) == 1 else ""


def _head(root: Path, path: str) -> bytes:
    try:
        with open(root / path, "rb") as file:
            return file.readline(1 << 16)
    except OSError:
        return b""


def _columns(header: list[str], where: str) -> dict[str, str]:
    """Our column name -> the table's; a misspelt column is an error, never a silent loss."""
    lower = {name.lower(): name for name in header}
    columns = {name: lower[name] for name in COLUMNS if name in lower}
    for alias, name in ALIASES.items():
        if alias in lower:
            columns.setdefault(name, lower[alias])
    for name in lower.keys() - set(COLUMNS) - set(ALIASES):
        near = get_close_matches(name, COLUMNS, 1, 0.75)
        if where == "melmill.csv" or near:
            known = near[0] if near else ", ".join(COLUMNS)
            raise UsageError("unknown column", where=where, expected=known, got=repr(name))
    if "path" not in columns:
        raise UsageError("no path column", where=where, got=", ".join(header) or "an empty file")
    return columns


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise Rejected("bad_list_row", f"{name} is not a number from 0 up: {row[name]!r}")
    return value


def _choice(row: Mapping[str, str], name: str, names: Mapping[str, str]) -> str:
    value = row.get(name, "")
    if value and value.lower() not in names:
        known = ", ".join(dict.fromkeys(names.values()))
        raise Rejected("bad_list_row", f"{name} is one of {known}, not {value!r}")
    return names.get(value.lower(), "")


def _segment(row: Mapping[str, str]) -> tuple[Segment, ...]:
    if not (row.get("start") or row.get("end")):
        return ()
    if not (row.get("start") and row.get("end")):
        raise Rejected("bad_list_row", "start and end go together")
    if row.get("rttm"):
        raise Rejected("bad_list_row", "times come from start and end or from rttm, not both")
    start, end = _number(row, "start"), _number(row, "end")
    if end <= start:
        raise Rejected("bad_list_row", f"end {row['end']} is not after start {row['start']}")
    return ((start, end, row.get("label", "")),)


def check_place(path: str, files: frozenset[str]) -> None:
    """A listed path is used only if the walk found it under the root."""
    if not path or path == "." or "\0" in path:
        raise Rejected("bad_list_row", f"no usable path: {path!r}")
    rooted = path.startswith("/") or PureWindowsPath(path).is_absolute()
    if rooted or ".." in path.replace("\\", "/").split("/"):
        raise Rejected("outside_root", "absolute, or with '..'")
    if path not in files:
        raise Rejected("missing", "the list names it, the folder does not hold it")


def _row_entry(row: Mapping[str, str], role: str, files: frozenset[str]) -> tuple[Entry, str]:
    """One row as an entry with at most one segment, and its RTTM file."""
    check_place(row["path"], files)
    if MORE in row:
        raise Rejected("bad_list_row", f"{row[MORE]} cells, more than there are columns")
    fold = _number(row, "fold") if row.get("fold") else None
    if fold is not None and not (fold.is_integer() and fold <= MAX_FOLD):
        wanted = f"a whole number up to {MAX_FOLD}"
        raise Rejected("bad_list_row", f"fold is not {wanted}: {row['fold']!r}")
    if row.get("rttm") and row["rttm"] not in files:
        raise Rejected("bad_list_row", f"its rttm is not in the folder: {row['rttm']!r}")
    segments = _segment(row)
    entry = Entry(
        path=row["path"],
        role=_choice(row, "role", ROLE_NAMES) or role or "labelled",
        label=row.get("label", ""),
        group=row.get("group", ""),
        split=_choice(row, "split", SPLIT_NAMES),
        fold=None if fold is None else int(fold),
        tags=tuple(sorted({tag.strip() for tag in row.get("tags", "").split("|")} - {""})),
        segments=segments,
        segment_kind="label" if segments else "",
    )
    return entry, row.get("rttm", "")


def _merge(rows: Sequence[tuple[int, Entry, str]]) -> Entry:
    """The rows of one path: equal but for their times and labels."""
    first_line, first, rttm = rows[0]
    segments = {segment for _, entry, _ in rows for segment in entry.segments}
    labels = {entry.label for _, entry, _ in rows}
    for line, entry, other in rows[1:]:
        label = first.label if first.segments else entry.label
        same = replace(entry, segments=first.segments, label=label)
        if (same, other, bool(entry.segments)) != (first, rttm, bool(first.segments)):
            raise Rejected("bad_list_row", f"line {line} contradicts line {first_line}")
    return replace(
        first,
        label=first.label if len(labels) == 1 else "",
        segments=tuple(sorted(segments)),
    )


def read_list(folder: Folder, path: str) -> Found:
    """Every path that the list names, once: as an entry or as a rejection."""
    header, table = read_table(folder.root, path)
    columns = _columns(header, path)
    files, turns = frozenset(folder.files), Turns(folder.root, read_text)
    rows: dict[str, list[tuple[int, Entry, str]]] = {}
    bad: dict[str, Reject] = {}
    for line, cells in table:
        row = {name: cells.get(theirs, "").strip() for name, theirs in columns.items()}
        row |= {MORE: cells[MORE]} if MORE in cells else {}
        for name in {"path", "rttm"} & columns.keys():  # a name may end in a space; ./a//b is a/b
            if cells.get(columns[name]):
                row[name] = str(PurePosixPath(cells[columns[name]]))
        name = row["path"] or f"{path}:{line}"
        try:
            rows.setdefault(name, []).append((line, *_row_entry(row, folder.role, files)))
        except Rejected as error:
            bad.setdefault(name, (name, error.code, f"{path}:{line}: {error.detail}"))
    found = Found(rejected=list(bad.values()))
    for name in rows.keys() - bad.keys():
        try:
            entry, rttm = _merge(rows[name]), rows[name][0][2]
            if rttm:
                spoken = turns.of(rttm, stem(name))
                entry = replace(entry, segments=spoken, segment_kind="speaker")
            found.entries.append(entry)
        except Rejected as error:
            found.rejected.append((name, error.code, f"{path}: {error.detail}"))
    return found
