"""What the rows of an evaluation come to.

Reads nothing. Does: means by level and by noise, intervals, the worst, the damage to clean input,
differences between systems, the spread over runs. Writes: rows and summary, where it is told.

Windows of one speaker are alike, so an interval is drawn over groups (speakers), not over windows:
a bootstrap of DRAWS draws takes whole groups with replacement and leaves 2.5 % out at either end.
Where there is one group only, it takes recordings in their place.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.errors import RunError

Row = dict[str, Any]  # of evaluate.measure; with `run` where there are several
Summary = dict[str, Any]  # JSON-able: what cannot be told is None
INPUT, CLEAN = "input", "clean"  # the system that does nothing; the level of no noise
SCORES = ("gain", "si_sdr", "pesq", "estoi", "dnsmos")
SPAN = (0.0, 15.0)  # dB: the SNRs that the means are taken over
WORST = 0.05  # part of all mixtures
NAMED = 10  # of the worst, those that are named
DRAWS = 2000


def summary(rows: Sequence[Row], ours: str = "melmill") -> Summary:
    """Of one recipe's rows. `ours` is compared with every other system, mixture by mixture."""
    mixed = [row for row in rows if row["level"] != CLEAN]
    alike = {(row["recipe"], row["split"], row["rate"]) for row in rows}
    if len(alike) != 1:
        do = "measure all with the same `rate`"
        raise RunError("rows that cannot be compared", "summary", "one recipe and rate", alike, do)
    systems = list(dict.fromkeys(row["system"] for row in rows))
    levels = sorted({row["level"] for row in mixed})
    once = {(r["source"], r["start"], r["kind"], r["level"]) for r in mixed}
    told = {name: mixed[0][name] for name in ("recipe", "split", "rate", "unit")}
    others = [name for name in systems if name != ours] if ours in systems else []
    return {
        **told,
        "levels": levels,
        "span": sorted({row["level"] for row in spanned(mixed)}),
        "kinds": sorted({row["kind"] for row in mixed}),
        "mixtures": len(once),
        "files": len({row["source"] for row in mixed}),
        "groups": len({row["group"] for row in mixed}),
        "interval_over": _unit(mixed) + "s",
        "systems": {
            name: _system([row for row in rows if row["system"] == name], levels)
            for name in systems
        },
        "ours": ours if others else None,
        "ahead": {name: ahead(mixed, ours, name) for name in others},
    }


def spanned(rows: Iterable[Row]) -> list[Row]:
    """The rows that means are taken over: SNRs within SPAN, all deviations (they are below 1); all
    there are when none is inside."""
    rows = [row for row in rows if row["level"] != CLEAN]
    return [row for row in rows if SPAN[0] <= row["level"] <= SPAN[1]] or rows


def by_group(rows: Sequence[Row], score: str) -> dict[str, float | None]:
    """`mean`, and `low` and `high` of its 95 % interval over groups."""
    unit = _unit(rows)
    held: dict[str, list[float]] = {}
    for row in rows:
        if not math.isnan(row[score]):
            held.setdefault(row[unit], []).append(row[score])
    if not held:
        return {"mean": None, "low": None, "high": None}
    sums, counts = np.array([(sum(values), len(values)) for values in held.values()]).T
    mean = float(sums.sum() / counts.sum())
    if len(held) == 1:
        return {"mean": mean, "low": None, "high": None}
    random = np.random.Generator(np.random.Philox(0))
    drawn = random.integers(0, len(held), (DRAWS, len(held)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return {"mean": mean, "low": float(low), "high": float(high)}


def ahead(rows: Sequence[Row], one: str, other: str) -> dict[str, dict[str, float | None]]:
    """Score -> how far `one` lies above `other`, mixture by mixture, with its interval. One is
    better than the other where the whole interval lies above 0."""
    beside: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["system"] == other:
            beside.setdefault(_mixture(row), []).append(row)
    pairs = []
    for row in spanned(row for row in rows if row["system"] == one):
        theirs = beside.get(_mixture(row), [])
        if theirs:  # the other one's runs together
            gaps = {s: row[s] - float(np.mean([r[s] for r in theirs])) for s in SCORES}
            pairs.append({**row, **gaps})
    return {score: by_group(pairs, score) for score in SCORES}


def save(rows: Sequence[Row], told: Summary, folder: Path) -> None:
    """`evaluation-<recipe>.csv` (every row) and `.json` (the summary, sealed), each whole."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _plain(value) for name, value in row.items()})
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(folder / f"evaluation-{told['recipe']}.csv", [text.getvalue().encode()])
    durable.write_json(folder / f"evaluation-{told['recipe']}.json", told)


def _system(rows: Sequence[Row], levels: Sequence[float]) -> Summary:
    mixed = [row for row in rows if row["level"] != CLEAN]
    inside = spanned(mixed)
    runs = list(dict.fromkeys(row.get("run", "") for row in rows))
    each = [[row for row in inside if row.get("run", "") == run] for run in runs]
    kinds = sorted({row["kind"] for row in mixed})
    return {
        "runs": len(runs),
        "scored": {s: sum(not math.isnan(row[s]) for row in mixed) for s in SCORES},
        "of": len(mixed),
        "over": {score: by_group(inside, score) for score in SCORES},
        "median": _median([row["gain"] for row in inside]),
        "spread": {score: _spread(each, score) for score in SCORES} if len(runs) > 1 else None,
        "levels": _levels(mixed, levels),
        "kinds": {
            kind: {
                "over": _means([row for row in inside if row["kind"] == kind]),
                "levels": _levels([row for row in mixed if row["kind"] == kind], levels),
            }
            for kind in kinds
        },
        "clean": _clean([row for row in rows if row["level"] == CLEAN]),
        "worst": _worst(mixed),
        **{name: _mean([row[name] for row in rows]) for name in ("parameters", "macs", "rtf")},
    }


def _clean(rows: Sequence[Row]) -> Summary:
    """SI-SDR in dB of clean windows that went through the system."""
    held = [row for row in rows if not math.isnan(row["si_sdr"])]
    if not held:
        return {"windows": 0, "median": None, "mean": None, "worst": None, "where": None}
    values = [row["si_sdr"] for row in held]
    least = held[int(np.argmin(values))]
    return {
        "windows": len(held),
        "median": _median(values),
        "mean": _mean(values),
        "worst": least["si_sdr"],
        "where": {"source": least["source"], "start": least["start"]},
    }


def _worst(rows: Sequence[Row]) -> Summary:
    """The lowest gains."""
    held = sorted((row for row in rows if not math.isnan(row["gain"])), key=lambda r: r["gain"])
    held = held[: math.ceil(WORST * len(held))]
    names = ("source", "start", "kind", "level", "gain")
    return {
        "mean": _mean([row["gain"] for row in held]),
        "count": len(held),
        "rows": [{name: row[name] for name in names} for row in held[:NAMED]],
    }


def _levels(rows: Sequence[Row], levels: Sequence[float]) -> Summary:
    return {f"{x:g}": _means([row for row in rows if row["level"] == x]) for x in levels}


def _means(rows: Sequence[Row]) -> dict[str, float | None]:
    return {score: _mean([row[score] for row in rows]) for score in SCORES}


def _spread(runs: Sequence[Sequence[Row]], score: str) -> float | None:
    """Standard deviation of the runs' means."""
    means = [mean for rows in runs if (mean := _mean([r[score] for r in rows])) is not None]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _mean(values: Iterable[float]) -> float | None:
    held = [value for value in values if not math.isnan(value)]
    return float(np.mean(held)) if held else None


def _median(values: Iterable[float]) -> float | None:
    held = [value for value in values if not math.isnan(value)]
    return float(np.median(held)) if held else None


def _unit(rows: Sequence[Row]) -> str:
    """What an interval is drawn over."""
    return "group" if len({row["group"] for row in rows}) > 1 else "source"


def _mixture(row: Row) -> tuple[Any, ...]:
    return row["source"], row["start"], row["kind"], row["level"]


def _plain(value: Any) -> Any:
    """Numbers short enough to read; nothing where there is none."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
