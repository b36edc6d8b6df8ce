"""Speaker turns: RTTM files, and which recordings may not be parted because of them.

Reads: *.rttm under the data folder. Does: parses SPEAKER lines (NIST RT-09 evaluation plan,
appendix A) and ties together what shares a speaker. Writes nothing.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from pipeline.errors import Rejected

LATEST = 1e6  # seconds, far longer than any recording that is read
Segment = tuple[float, float, str]  # start and end in seconds, label or speaker
OTHER_TYPES = {
    *("SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER"),
    *("EDIT", "IP", "SU", "CB", "A/P", "SPKR-INFO"),
}
# Names that annotators and diarizers number anew in every recording: SPEAKER_00, spk1, S2, A, 3.
LOCAL_NAME = re.compile(r"(?:(?:speaker|spkr|spk|s)[ _-]?\d{0,2}|[a-z]|\d{1,2}|unk|unknown)", re.I)


def _turn(cells: list[str]) -> Segment:
    if len(cells) < 8:
        raise ValueError(f"{len(cells)} fields, expected 9 or 10")
    start, length = float(cells[3]), float(cells[4])
    if not (start >= 0 and length > 0 and start + length <= LATEST):  # nor with a NaN
        raise ValueError(f"start {cells[3]} and duration {cells[4]} are no time span")
    return start, start + length, cells[7]


def parse(text: str) -> tuple[dict[str, list[Segment]], dict[str, str]]:
    """Turns per recording, and the first wrong line per recording ("" if it names none)."""
    turns: dict[str, list[Segment]] = {}
    wrong: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells or cells[0].startswith(";;") or cells[0] in OTHER_TYPES:
            continue
        name = cells[1] if len(cells) > 1 else ""
        try:
            if cells[0] != "SPEAKER":
                raise ValueError(f"unknown type {cells[0]!r}")
            turns.setdefault(name, []).append(_turn(cells))
        except ValueError as error:
            wrong.setdefault(name, f"line {number}: {error}")
    return turns, wrong


def names_of(stem: str) -> tuple[str, str]:
    """A recording's own name, and the meeting's: ES2002a for ES2002a.Mix-Headset."""
    return stem, stem.partition(".")[0]


class Turns:
    """RTTM files of one folder, each read once."""

    def __init__(self, root: Path, read_text: Callable[[Path, str], str]) -> None:
        self._root, self._read = root, read_text
        self._files: dict[str, tuple[dict[str, list[Segment]], dict[str, str]]] = {}

    def file(self, path: str) -> tuple[dict[str, list[Segment]], dict[str, str]]:
        if path not in self._files:
            self._files[path] = parse(self._read(self._root, path))
        return self._files[path]

    def of(self, path: str, stem: str) -> tuple[Segment, ...]:
        """The turns of one recording in this file, or of the only one that the file names."""
        turns, wrong = self.file(path)
        known = turns.keys() | (wrong.keys() - {""})
        name = next((name for name in names_of(stem) if name in known), "")
        if not name and len(known) == 1:
            name = next(iter(known))
        own = PurePosixPath(path).stem == stem  # about this recording, so all of it must be
        problem = wrong.get(name) or wrong.get("") or (own and next(iter(wrong.values()), ""))
        if problem:
            raise Rejected("bad_list_row", f"{path}, {problem}")
        others = sorted(known - {name}) if own and name else []
        if strangers := [other for other in others if names_of(other)[1] != names_of(stem)[1]]:
            raise Rejected("bad_list_row", f"{path} names {strangers[0]!r} beside {name!r}")
        if known and not name:
            raise Rejected("bad_list_row", f"{path} has no turns of {stem!r}")
        return tuple(sorted(set(turns.get(name, []))))


def late(segments: Iterable[Segment], length: float) -> str:
    """What is wrong with times of another recording, or in another unit: they begin after the end
    of this one, of `length` seconds; else ""."""
    last = max((start for start, _, _ in segments), default=0.0)
    if last < length:
        return ""
    return f"a segment begins at {last:g} s, the recording ends at {length:g} s"


def match(audio: Iterable[str], rttms: Iterable[str], turns: Turns) -> dict[str, list[str]]:
    """Recording -> its RTTM: beside it, else of its name in any folder, else naming it inside."""
    named: dict[str, list[str]] = {}
    inside: dict[str, list[str]] = {}
    for path in rttms:
        named.setdefault(PurePosixPath(path).stem, []).append(path)
        for recording in turns.file(path)[0].keys() | turns.file(path)[1].keys():
            inside.setdefault(recording, []).append(path)
    chosen = {}
    for path in audio:
        names = names_of(PurePosixPath(path).stem)
        every = [index[n] for index in (named, inside) for n in names if n in index]
        best = every[0] if every else []
        beside = [p for p in best if PurePosixPath(p).parent == PurePosixPath(path).parent]
        chosen[path] = beside[:1] or best
    return chosen


def tie(recordings: Iterable[Iterable[str]]) -> dict[str, str]:
    """Speaker -> the first name among all who are connected to them by shared recordings."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for speakers in recordings:
        names = sorted(speakers)
        for name in names:
            low, high = sorted((find(names[0]), find(name)))
            parent[high] = low
    return {name: find(name) for name in list(parent)}
