"""What a check found, and the table of all of them.

Reads and writes nothing. Does: turns findings into aligned lines, each with what to do below it.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

OK, NOTE, BAD = "ok", "note", "BAD"
WIDTH = 100  # columns


@dataclass(frozen=True)
class Finding:
    """`do` is what a person can do about it."""

    mark: str  # OK, NOTE or BAD
    what: str
    found: str
    do: str = ""


def lines(finding: Finding) -> str:
    """One row of the table, wrapped below its own column."""
    head = f"{finding.mark:5} {finding.what:10} "
    rest = " " * len(head)
    text = textwrap.fill(
        finding.found, WIDTH, initial_indent=head, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    if finding.do:
        text += "\n" + textwrap.fill(
            finding.do[0].upper() + finding.do[1:], WIDTH, initial_indent=f"{rest}-> ",
            subsequent_indent=f"{rest}   ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return text


def verdict(findings: Iterable[Finding]) -> str:
    marks = [finding.mark for finding in findings]
    bad, notes = marks.count(BAD), marks.count(NOTE)
    more = f", {notes} note{'' if notes == 1 else 's'}" if notes else ""
    return (f"{bad} bad" if bad else "nothing bad") + more


def size(count: float) -> str:
    """Bytes, in a unit that tells something."""
    for unit, one in (("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= one:
            number = count / one
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{count / 1024:.0f} kB"
