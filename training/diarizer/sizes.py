"""What a smaller diarizer costs less, and how much of the quality is left.

Reads: runs' metrics and what they cost. Writes nothing. Does: lays the runs side by side; the first
one named is what the others are held against.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.diarizer.card import frame_of
from training.diarizer.summary import Summary
from training.diarizer.train import COST, Trained
from training.run import read_metrics
from training.tables import columns, number, scaled


def epoch_seconds(folder: Path) -> float | None:
    """The median epoch with its validation; None before there are two."""
    rows = read_metrics(folder)
    ends = [row["seconds"] for row in rows if row["kind"] == "valid"]
    return float(np.median(np.diff(ends))) if len(ends) > 1 else None


def sizes(runs: Sequence[Trained], told: Sequence[Summary]) -> str:
    """A table a recipe. Quality is what an answer has right: 1 - DER."""
    return "\n".join(_of(runs, one) for one in told)


def _of(runs: Sequence[Trained], one: Summary) -> str:
    head = ["", "size", "frame", "params", "DER", "quality kept", "epoch", "faster", "memory",
            "start", "RTF"]  # fmt: skip
    rows, first = [head], runs[0]
    for run in runs:
        rows.append(_row(run, first, one))
    title = f"{one['recipe']}: what each of the others keeps of {first.folder.name}"
    notes = [
        "quality: 1 - DER, in % of the first one's; epoch: s with its validation",
        "faster: epochs, and answers by RTF; memory: GB at the peak; start: s to the first step",
    ]
    return f"{title}\n\n{columns(rows)}\n\n" + "\n".join(notes) + "\n"


def _row(run: Trained, first: Trained, one: Summary) -> list[str]:
    own, base = (one["systems"][each.folder.name] for each in (run, first))
    epoch, slow = epoch_seconds(run.folder), epoch_seconds(first.folder)
    path = run.folder / COST
    cost: dict[str, Any] = durable.read_json(path) if path.exists() else {}
    profile, frame = run.profile, frame_of(run.facts["config"])
    wrong, least = own["der"]["mean"], base["der"]["mean"]  # none, where nobody speaks
    left = None if wrong is None or least >= 1 else 100 * (1 - wrong) / (1 - least)
    return [
        run.folder.name, f"{profile.width}x{profile.blocks}", f"{1000 * frame:.0f} ms",
        scaled(own["parameters"]), number(None if wrong is None else 100 * wrong, 1),
        number(left, 1),
        number(epoch, 1), f"{_times(slow, epoch)}, {_times(base['rtf'], own['rtf'])}",
        number(cost["peak"] / 1e9 if cost else None, 2),
        number(cost["start"] if cost else None, 1), number(own["rtf"], 4),
    ]  # fmt: skip


def _times(slow: float | None, fast: float | None) -> str:
    return f"{slow / fast:.1f}x" if slow and fast else "-"
