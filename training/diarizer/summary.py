"""What scores of recordings come to: each system's errors, and what ours is ahead.

Reads nothing. Does: sums over recordings, by how many speak and how much they overlap, with
intervals. Writes: rows and summary, where it is told.

Rates are those of all recordings together, so a long one counts for more. An interval is drawn over
recordings: a bootstrap of DRAWS draws takes whole ones with replacement and leaves 2.5 % out at
either end. Of JER the mean is over all true speakers.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.diarizer.rttm import Turn
from training.diarizer.scores import ALONE, TOGETHER, Errors, errors, jaccard, overlapped, speakers
from training.errors import RunError

Summary = dict[str, Any]  # JSON-able: what cannot be told is None
COLLAR = 0.25  # seconds
OVERLAP = 0.1  # of the speech: from here on a recording is one of much overlap
LITTLE, MUCH = "little", "much"
DRAWS = 2000
COLLARED = "collar"  # the field of Scored


@dataclass(frozen=True)
class Scored:
    """How one system did on one recording."""

    recording: str
    system: str
    true: int  # speakers
    found: int
    exact: Errors  # without a collar
    collar: Errors  # COLLAR around each boundary is not scored
    alone: Errors  # without a collar, where the truth has one speaker or none
    together: Errors  # and where it has several
    jaccard: float
    overlap: float  # part of the speech in which several speak
    seconds: float  # of sound
    computing: float = math.nan  # seconds


def score(
    recording: str, system: str, truth: Sequence[Turn], found: Sequence[Turn], seconds: float,
    computing: float = math.nan,
) -> Scored:  # fmt: skip
    alone, together = (errors(truth, found, 0.0, bucket) for bucket in (ALONE, TOGETHER))
    return Scored(
        recording, system, len(speakers(truth)), len(speakers(found)), alone + together,
        errors(truth, found, COLLAR), alone, together, jaccard(truth, found), overlapped(truth),
        seconds, computing,
    )  # fmt: skip


def summary(
    rows: Sequence[Scored],
    *,
    recipe: str = "",
    ours: str = "melmill",
    parameters: Mapping[str, float] | None = None,
) -> Summary:
    """Of systems that answered for the same recordings. `ours` is compared with every other."""
    held: dict[str, dict[str, Scored]] = {}
    for row in rows:
        held.setdefault(row.system, {})[row.recording] = row
    names = sorted({row.recording for row in rows})
    if not rows or any(sorted(one) != names for one in held.values()) or (
        len(rows) != len(held) * len(names)
    ):  # fmt: skip
        got = {name: len(one) for name, one in held.items()}
        do = "score every system once on each recording"
        raise RunError("rows that cannot be compared", "summary", len(names), got, do)
    each = {system: [one[name] for name in names] for system, one in held.items()}
    first = next(iter(each.values()))
    others = [name for name in each if name != ours] if ours in each else []
    return {
        "recipe": recipe,
        "ours": ours if others else None,
        "recordings": len(names),
        "seconds": sum(row.seconds for row in first),
        "speech": sum(row.exact.speech for row in first),
        "speakers": _counts(str(row.true) for row in first),
        "overlaps": _counts(_much(row) for row in first),
        "systems": {
            name: _system(one, (parameters or {}).get(name, math.nan)) for name, one in each.items()
        },
        "ahead": {name: _ahead(each[ours], each[name]) for name in others},
    }


def ordered(told: Summary) -> list[str]:
    """Names of the systems: ours, then by error rate; a file may have them in any order."""
    held = told["systems"]
    return sorted(held, key=lambda name: (name != told["ours"], held[name]["der"]["mean"], name))


def save(rows: Sequence[Scored], told: Summary, folder: Path) -> None:
    """`evaluation-<recipe>.csv` (every row) and `.json` (the summary, sealed), each whole."""
    flat = [_flat(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(folder / f"evaluation-{told['recipe']}.csv", [text.getvalue().encode()])
    durable.write_json(folder / f"evaluation-{told['recipe']}.json", told)


def _system(rows: Sequence[Scored], parameters: float) -> Summary:
    whole = sum((row.exact for row in rows), Errors())
    true = sum(row.true for row in rows)
    return {
        "der": _rate([row.exact for row in rows]),
        "der_collar": _rate([row.collar for row in rows]),
        **{part: _share(getattr(whole, part), whole.speech)
           for part in ("missed", "false", "confused")},
        "alone": _rate([row.alone for row in rows])["mean"],
        "together": _rate([row.together for row in rows])["mean"],
        "jer": _share(sum(row.jaccard * row.true for row in rows), true),
        "counted": sum(row.true == row.found for row in rows) / len(rows),
        "miscounted": sum(abs(row.true - row.found) for row in rows) / len(rows),
        "rtf": _told(sum(row.computing for row in rows) / sum(row.seconds for row in rows)),
        "parameters": _told(parameters),
        "speakers": _parts(rows, lambda row: str(row.true)),
        "overlaps": _parts(rows, _much),
        "speakers_collar": _parts(rows, lambda row: str(row.true), COLLARED),
        "overlaps_collar": _parts(rows, _much, COLLARED),
    }  # fmt: skip


def _parts(rows: Sequence[Scored], of: Any, errors: str = "exact") -> Summary:
    """DER of the recordings that are of one kind."""
    kinds = sorted({of(row) for row in rows})
    return {kind: _rate([getattr(r, errors) for r in rows if of(r) == kind]) for kind in kinds}


def _rate(held: Sequence[Errors]) -> dict[str, float | None]:
    """`mean` of all seconds together, and `low` and `high` of its 95 % interval; nothing where
    nobody speaks."""
    wrong, speech = _sums(held)
    mean = _share(wrong.sum(), speech.sum())
    if mean is None or len(held) == 1:
        return {"mean": mean, "low": None, "high": None}
    drawn = _draws(len(held))
    return {"mean": mean, **_bounds(_shares(wrong[drawn].sum(1), speech[drawn].sum(1)))}


def _ahead(ours: Sequence[Scored], other: Sequence[Scored]) -> dict[str, float | None]:
    """How much lower the DER of ours is, on the same draws: better where the whole interval lies
    above 0."""
    mine, speech = _sums([row.exact for row in ours])
    gap = _sums([row.exact for row in other])[0] - mine
    mean = _share(gap.sum(), speech.sum())
    if mean is None or len(ours) == 1:
        return {"mean": mean, "low": None, "high": None}
    drawn = _draws(len(ours))
    return {"mean": mean, **_bounds(_shares(gap[drawn].sum(1), speech[drawn].sum(1)))}


def _sums(held: Sequence[Errors]) -> tuple[np.ndarray, np.ndarray]:
    wrong = np.array([one.missed + one.false + one.confused for one in held])
    return wrong, np.array([one.speech for one in held])


def _draws(count: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(0)).integers(0, count, (DRAWS, count))


def _shares(wrong: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Draws in which nobody speaks say nothing."""
    return wrong[speech > 0] / speech[speech > 0]


def _bounds(found: np.ndarray) -> dict[str, float | None]:
    low, high = np.quantile(found, (0.025, 0.975))
    return {"low": float(low), "high": float(high)}


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _told(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _much(row: Scored) -> str:
    return MUCH if row.overlap >= OVERLAP else LITTLE


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    held = list(kinds)
    return {kind: held.count(kind) for kind in sorted(set(held))}


def _flat(row: Scored) -> dict[str, Any]:
    """Numbers short enough to read; nothing where there is none."""
    found: dict[str, Any] = {}
    for key, value in asdict(row).items():
        inner = value if isinstance(value, dict) else {"": value}
        for part, number in inner.items():
            name = f"{key}_{part}" if part else key
            short = f"{number:.6g}" if isinstance(number, float) else number
            found[name] = "" if short == "nan" else short
    return found
