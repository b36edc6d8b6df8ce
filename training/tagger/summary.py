"""What an evaluation of taggers comes to: every system's scores, and what ours is ahead.

Reads nothing. Does: takes patches together to tracks and scores systems that answered for the same
ones. Writes: the summary, where it is told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import durable
from training.errors import RunError
from training.tagger.scores import MEASURES, by_track, checked, drawn, interval, scores

Summary = dict[str, Any]  # JSON-able: what was not measured is None
COSTS = ("parameters", "ms")  # ms of one core for a patch


def summary(
    data: Mapping[str, np.ndarray],
    systems: Mapping[str, np.ndarray],
    tags: Sequence[str],
    *,
    recipe: str,
    ours: str,
    costs: Mapping[str, Mapping[str, float | None]] | None = None,
    seed: int = 0,
) -> Summary:
    """Of one recipe. `data` has tags (patches, tags), groups and sources (patches,); `systems`
    name -> probabilities (patches, tags). `ours` is compared with every other one."""
    if ours not in systems:
        raise RunError("no answers of ours", "summary", ours, ", ".join(systems) or "none")
    for held in systems.values():
        checked(data["tags"], held, data["groups"])
    groups, mean, *answers = by_track(
        data["sources"], data["groups"], data["tags"], *systems.values()
    )
    truth, several = mean > 0.5, len(np.unique(groups)) > 1
    each = dict(zip(systems, answers, strict=True))
    draws = {name: drawn(truth, held, groups, seed) if several else None
             for name, held in each.items()}  # fmt: skip
    told = {
        name: {
            **scores(truth, held, draws[name], tags),
            **{cost: (costs or {}).get(name, {}).get(cost) for cost in COSTS},
        }
        for name, held in each.items()
    }
    return {
        "recipe": recipe, "ours": ours, "tags": list(tags), "tracks": len(truth),
        "patches": len(data["tags"]), "groups": len(np.unique(groups)), "systems": told,
        "ahead": {name: _ahead(told, draws, ours, name) for name in systems if name != ours},
    }  # fmt: skip


def _ahead(told: Summary, draws: Mapping[str, Any], ours: str, other: str) -> Summary:
    """On the same draws: ours is better where the whole interval lies above 0."""
    found = {}
    for name in MEASURES:
        mean = told[ours][name]["mean"] - told[other][name]["mean"]
        apart = draws[ours] and draws[ours][name] - draws[other][name]
        found[name] = interval(mean, apart)
    return found


def ordered(told: Summary) -> list[str]:
    """Names of the systems: ours, then by average precision; a file may have them in any order."""
    held = told["systems"]
    return sorted(held, key=lambda n: (n != told["ours"], -held[n]["pr_auc"]["mean"], n))


def save(told: Summary, folder: Path) -> Path:
    """`evaluation-<recipe>.json`, sealed."""
    path = folder / f"evaluation-{told['recipe']}.json"
    durable.write_json(path, told)
    return path
