"""What the sweeps found, as a table: how many were tried and how many held.

Reads and writes one file of JSON lines, named by MELMILL_SWEEPS, so that several test processes may
note. Does: notes a figure, adds figures of one name up, lays them out.
"""

import json
import os
from pathlib import Path


def note(what: str, held: int, of: int) -> None:
    """`held` of `of` were as promised."""
    if path := os.environ.get("MELMILL_SWEEPS"):
        line = json.dumps({"what": what, "held": held, "of": of}) + "\n"
        with open(path, "a") as file:  # one write: lines of two processes never mix
            file.write(line)


def table(path: Path) -> list[str]:
    """Markdown, as it stands in the README."""
    found: dict[str, list[int]] = {}
    for line in path.read_text().splitlines():
        one = json.loads(line)
        total = found.setdefault(one["what"], [0, 0])
        total[0] += one["held"]
        total[1] += one["of"]
    rows = [f"| {what} | {held:,} of {of:,} |" for what, (held, of) in sorted(found.items())]
    return ["| what was done | held |", "|---|---|", *rows] if rows else []
