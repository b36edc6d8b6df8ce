"""Are the small sealed files beside the shards what they were?

Reads: the receipts of a recipe, and the labels that were guessed for it. Does: counts them, and
looks whether each stands as it was sealed, under its own name. Writes nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.disk import clean, store
from pipeline.errors import MelmillError

RUN = "Run `make features`"
EXTRA = f"in no index. {RUN}; what stays then is not ours: move it away"
Said = tuple[list[str], list[Path]]  # (faults, damaged files)


def receipts(folder: Path, wanted: set[str]) -> Said:
    """A receipt for every task, and every receipt as it was sealed."""
    there = {p.name for p in folder.glob("*.json") if clean.SHARD.fullmatch(p.name)}
    there -= {"index.json"}
    faults = [f"{folder / name}: no receipt. {RUN}" for name in sorted(wanted - there)]
    damaged = []
    for name in sorted(there):
        try:
            if store.load_sealed(folder / name)["receipt"] != name:
                raise MelmillError("the receipt of another task", where=folder / name)
        except (MelmillError, OSError, KeyError) as err:
            faults.append(str(err))
            damaged.append(folder / name)
    return faults, damaged


def extra(folder: Path, named: set[str]) -> list[str]:
    """Files that no index names, receipts aside."""
    found = sorted({path.name for path in folder.iterdir()} - named)
    return [
        f"{folder / name}: {EXTRA}"
        for name in found
        if not (name.endswith(".json") and clean.SHARD.fullmatch(name))
    ]


def entries(recipe: Path) -> list[Path]:
    """The labels that were guessed for a recipe."""
    folder = recipe.parent / "labels" / recipe.name
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in names if clean.LABELS.fullmatch(path.name))


def labels(recipe: Path, counts: Mapping[str, Any]) -> Said:
    """As many entries as the index counts recordings with such labels, each as it was sealed and of
    the recording and the key in its name."""
    found, counted = entries(recipe), counts.get("generated", 0)
    faults, damaged = [], []
    if len(found) != counted:
        faults.append(f"{recipe}: labels of {len(found)} recordings, not of {counted}. {RUN}")
    for path in found:
        try:
            entry = store.load_sealed(path)
            if path.name != f"{entry['id'][:16]}.{entry['key'][:12]}.json":
                raise MelmillError("the labels of another recording", where=path)
        except (MelmillError, OSError, KeyError) as err:
            faults.append(str(err))
            damaged.append(path)
    return faults, damaged
