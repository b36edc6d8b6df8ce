"""Which examples a run learns from, is judged by, and is tested on.

Reads: labels, groups and folds of an index's examples. Writes nothing. Does: takes the index's
splits, or makes folds: the corpus' own where it has them, else groups dealt out so that every fold
has its part of every class. No group is ever on two sides.

Everything is by position: an example's place in the index's order over all splits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.data.index import SPLITS, DataError, Index
from training.data.tf_data import narrow

JUDGED = 0.1  # part of the groups that are not tested on which a fold is judged by


@dataclass(frozen=True)
class Parts:
    """Masks over all positions, and what is known of each position."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    told: Mapping[str, np.ndarray]  # label, group, fold, source

    def rows(self, part: np.ndarray) -> dict[str, np.ndarray]:
        """What scores are made of: the part's labels, groups and sources."""
        names = {"labels": "label", "groups": "group", "sources": "source"}
        return {name: self.told[field][part] for name, field in names.items()}


def parts(index: Index, fold: tuple[int, int] | None, seed: int = 0) -> Parts:
    """The index's own splits, or fold `fold[0]` (from 1) of `fold[1]`."""
    if "label" not in {field.name for field in index.fields} or not index.classes:
        do = "name a recipe with classes, such as noise-classifier"
        raise DataError(f"{index.name} has no classes", index.folder, "a label", do=do)
    told = narrow(index, SPLITS, ("label", "group", "fold", "source"))
    if fold is None:
        sizes = [index.examples(split) for split in SPLITS]
        split = np.repeat(np.arange(len(SPLITS)), sizes)
        found = Parts(split == 0, split == 1, split == 2, told)
    else:
        found = _folded(told, *fold, index, seed)
    for name in SPLITS:
        if not getattr(found, name).any():
            do = "add recordings of more groups"
            raise DataError(f"nothing in {name}", index.folder, "an example", 0, do)
    return found


def _folded(
    told: Mapping[str, np.ndarray], number: int, count: int, index: Index, seed: int
) -> Parts:
    own = np.unique(told["fold"])
    if own.min() >= 0:
        if len(own) != count:
            got = f"FOLDS={count}"
            raise DataError(
                "the corpus has folds of its own", index.folder, len(own), got, "use it"
            )
        test = told["fold"] == own[number - 1]
    else:
        test = dealt(told["label"], told["group"], count, seed) == number - 1
    rest = np.flatnonzero(~test)
    size = max(2, round(1 / JUDGED))
    judged = dealt(told["label"][rest], told["group"][rest], size, seed + 1) == 0
    valid = np.zeros(len(test), np.bool_)
    valid[rest[judged]] = True
    return Parts(~test & ~valid, valid, test, told)


def dealt(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """A number below `count` for each example, the same throughout a group.

    The rarest classes are dealt first, and of each the largest groups, always to where the class is
    scarcest; so all folds have what there is of a class, as far as its groups allow.
    """
    names, group = np.unique(groups, return_inverse=True)
    group = group.reshape(-1)
    classes = int(labels.max()) + 1
    held = np.zeros((len(names), classes), np.int64)
    np.add.at(held, (group, labels), 1)
    main, size = held.argmax(1), held.sum(1)
    often = np.bincount(main, minlength=classes)
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(len(names))
    order = sorted(drawn, key=lambda g: (often[main[g]], main[g], -size[g]))
    fold, load = np.zeros(len(names), np.int64), np.zeros((count, classes), np.int64)
    for g in order:
        loads = [(load[k, main[g]], load[k].sum()) for k in range(count)]
        fold[g] = loads.index(min(loads))
        load[fold[g]] += held[g]
    return fold[group]
