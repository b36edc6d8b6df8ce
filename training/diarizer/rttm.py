"""Speaker turns as RTTM files (NIST RT-09 evaluation plan, appendix A).

Reads and writes: .rttm files, a SPEAKER line for each turn. Does: parses what others wrote, and
refuses by line what is no time span; writes so that any of them can read it.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from training import durable
from training.errors import Damaged

FIELDS = 8  # of a line, those that are read; one or two more may follow
WANTED = "SPEAKER file channel start length <NA> <NA> speaker <NA> <NA>"


class Turn(NamedTuple):
    """Somebody speaks, from start to end in seconds."""

    start: float
    end: float
    speaker: str


def read(path: Path) -> dict[str, list[Turn]]:
    """Recording -> its turns, in the order of their starts."""
    found: dict[str, list[Turn]] = {}
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged("no text", path, "an RTTM file in UTF-8", error) from error
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if cells and cells[0] == "SPEAKER":
            try:
                turn = _turn(cells)
            except ValueError as error:
                raise Damaged(f"line {number} is no turn", path, WANTED, error) from error
            found.setdefault(cells[1], []).append(turn)
    return {name: sorted(turns) for name, turns in found.items()}


def lines(name: str, turns: Iterable[Turn]) -> str:
    """Of one recording, in milliseconds; what is shorter than one is left out."""
    word = _word(name, "recording")
    found = []
    for turn in sorted(turns):
        start, end = (round(1000 * time) for time in (turn.start, turn.end))
        if end > start:
            span = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            speaker = _word(turn.speaker, "speaker")
            found.append(f"SPEAKER {word} 1 {span} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(found)


def write(path: Path, name: str, turns: Iterable[Turn]) -> None:
    """Whole or not at all."""
    durable.write(path, [lines(name, turns).encode()])


def _turn(cells: Sequence[str]) -> Turn:
    if len(cells) < FIELDS:
        raise ValueError(f"{len(cells)} fields")
    start, length = float(cells[3]), float(cells[4])
    if not (math.isfinite(start + length) and start >= 0 and length > 0):
        raise ValueError(f"start {cells[3]}, length {cells[4]}")
    return Turn(start, start + length, cells[7])


def _word(name: str, other: str) -> str:
    """A space would part it."""
    return "_".join(name.split()) or other
