"""What an evaluation of a classifier comes to: every system's scores, and what ours is ahead.

Reads nothing. Does: scores systems that answered for the same examples, over windows, over whole
recordings and over the folds of a cross-validation. Writes: the summary, where it is told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.classes.baselines import NAMES
from training.classes.scores import MEASURES, by_recording, margin, measured, scores
from training.errors import RunError

Summary = dict[str, Any]  # JSON-able: what was not measured is None
COSTS = ("parameters", "macs", "ms")  # ms of one core for a clip


def summary(
    data: Mapping[str, np.ndarray],
    systems: Mapping[str, np.ndarray],
    classes: Sequence[str],
    *,
    recipe: str,
    ours: str,
    split: str = "test",
    costs: Mapping[str, Mapping[str, float | None]] | None = None,
    seed: int = 0,
) -> Summary:
    """Of one recipe. `data` has labels and groups (n,), and sources and fold (n,) where they are
    known, as `pooled` returns it; `systems` name -> probabilities (n, classes) for the same
    examples. `ours` is compared with every other one; `costs` are of the systems they are known of.
    """
    if ours not in systems:
        raise RunError("no answers of ours", "summary", ours, ", ".join(systems) or "none")
    labels, groups = data["labels"], data["groups"]
    told = {
        name: {
            **scores(labels, held, groups, classes, seed=seed),
            **{cost: (costs or {}).get(name, {}).get(cost) for cost in COSTS},
            "recordings": _recordings(data, held, classes, seed),
            "folds": _folds(data, held),
        }
        for name, held in systems.items()
    }
    return {
        "recipe": recipe,
        "split": split,
        "folds": len(np.unique(data["fold"])) if "fold" in data else None,
        "ours": ours,
        "examples": len(labels),
        "groups": len(np.unique(groups)),
        "largest": _largest(data),
        "classes": list(classes),
        "systems": told,
        "ahead": {
            name: {
                measure: margin(labels, systems[ours], held, groups, measure=measure, seed=seed)
                for measure in MEASURES
            }
            for name, held in systems.items() if name != ours
        },
    }  # fmt: skip


def ordered(told: Summary) -> list[str]:
    """Names of the systems: ours, then by macro-F1; a file may have them in any order."""
    held = told["systems"]
    return sorted(held, key=lambda n: (n != told["ours"], -held[n]["macro_f1"]["mean"], n))


def rival(told: Summary) -> str | None:
    """The baseline with the best macro-F1; of all others, where there is no baseline."""
    others = ordered(told)[1:]
    return next((name for name in others if name in NAMES), others[0] if others else None)


def confusions(told: Summary) -> list[Summary]:
    """What ours takes for what, the most frequent first: `truth`, `answer`, `clips`, `of`."""
    rows = []
    for i, counts in enumerate(told["systems"][told["ours"]]["confusion"]):
        for j, count in enumerate(counts):
            if i != j and count:
                truth, answer = told["classes"][i], told["classes"][j]
                rows.append({"truth": truth, "answer": answer, "clips": count, "of": sum(counts)})
    return sorted(rows, key=lambda row: -row["clips"])


def save(told: Summary, folder: Path) -> Path:
    """`evaluation-<recipe>.json`, sealed."""
    path = folder / f"evaluation-{told['recipe']}.json"
    durable.write_json(path, told)
    return path


def _largest(data: Mapping[str, np.ndarray]) -> int | None:
    """How many of the examples are of the recording that has most of them."""
    if "sources" not in data:
        return None
    return int(np.unique(data["sources"], return_counts=True)[1].max())


def _recordings(
    data: Mapping[str, np.ndarray], held: np.ndarray, classes: Sequence[str], seed: int
) -> Summary | None:
    """Scores of whole recordings, where one of them has several windows."""
    if "sources" not in data:
        return None
    labels, means, groups = by_recording(data["labels"], held, data["sources"], data["groups"])
    if len(labels) == len(data["labels"]):
        return None
    found = scores(labels, means, groups, classes, seed=seed)
    return {name: found[name] for name in ("examples", *MEASURES, "mean_average_precision")}


def _folds(data: Mapping[str, np.ndarray], held: np.ndarray) -> Summary | None:
    """Mean and deviation over the folds, each scored by itself."""
    if "fold" not in data:
        return None
    rows = [data["fold"] == fold for fold in np.unique(data["fold"])]
    each = [measured(data["labels"][some], held[some]) for some in rows]
    told: Summary = {}
    for name in MEASURES:
        values = [one[name] for one in each]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        told[name] = {"mean": float(np.mean(values)), "deviation": deviation, "each": values}
    return told
