"""How a training run can end early, one exit code each.

Reads and writes nothing. Does: gives every error one line: what, where, expected, got, what to do.
"""

from pathlib import Path

DEFAULT = Path("artifacts")  # where runs lie when nothing else is said
LONGEST = 1000  # characters of each part of a message


def plain(text: object) -> str:
    """On one line, whatever bytes are in it, and of a length to be read: names and files are quoted
    in messages, and may hold what moves a terminal's cursor."""
    told = str(text)[:LONGEST]
    told = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)
    return told if len(str(text)) <= LONGEST else f"{told}..."


class RunError(Exception):
    """The run cannot start or go on."""

    exit_code = 1

    def __init__(
        self, what: str, where: object = "", expected: object = "", got: object = "", do: str = ""
    ) -> None:
        parts = [f"{plain(where)}: {plain(what)}" if str(where) else plain(what)]
        parts += [f"expected {plain(expected)}"] if str(expected) else []
        parts += [f"got {plain(got)}"] if str(got) else []
        super().__init__("; ".join(parts) + (f". {do[0].upper()}{do[1:]}" if do else ""))


class Damaged(RunError):
    """A file of the run does not hold what was written into it."""


class Nothing(RunError):
    """There is no run to work on."""


class Changed(RunError):
    """The run is asked to go on with another recipe, data or configuration."""

    exit_code = 2


class Diverged(RunError):
    """A loss, gradient, weight or score that is not a number. Nothing was saved after it."""

    exit_code = 4


class Interrupted(RunError):
    """Stopped by a signal, with everything saved."""

    def __init__(self, signum: int, where: object = "") -> None:
        root = where.parents[2] if isinstance(where, Path) else DEFAULT
        more = "" if root == DEFAULT else f" ARTIFACTS={root}"
        do = f"go on with make resume{more}"
        super().__init__("interrupted; everything is saved", where, do=do)
        self.exit_code = 128 + signum
