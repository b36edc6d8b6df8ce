"""Which examples a run learns from, is judged by, and is tested on.

Reads: labels, groups and folds of an index's examples. Writes nothing. Does: takes the index's
splits, or makes folds: the corpus' own where all of it has them, else groups dealt out so that
every fold has its part of every class. No group is ever on two sides.

Everything is by position: an example's place in the index's order over all splits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.data.index import SPLITS, DataError, Index
from training.data.tf_data import narrow

JUDGED = 0.1  # part of the groups that are not tested on, which a fold is judged by


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


def known(index: Index) -> dict[str, np.ndarray]:
    """Of each position: label, group, fold, source."""
    if "label" not in {field.name for field in index.fields} or not index.classes:
        do = "name a recipe with classes, such as noise-classifier"
        raise DataError(f"{index.name} has no classes", index.folder, "a label", do=do)
    return narrow(index, SPLITS, ("label", "group", "fold", "source"))


def parts(
    index: Index, fold: tuple[int, int] | None, seed: int = 0,
    told: Mapping[str, np.ndarray] | None = None,
) -> Parts:  # fmt: skip
    """The index's own splits, or fold `fold[0]` (from 1) of `fold[1]`; `told` is what is `known` of
    the index, where it was read before."""
    told = known(index) if told is None else told
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
    labels, groups, own = told["label"], told["group"], np.unique(told["fold"])
    have = len(np.unique(groups))
    if own.min() >= 0:
        if len(own) != count:
            got = f"FOLDS={count}"
            raise DataError(
                "the corpus has folds of its own", index.folder, len(own), got, "use it"
            )
        test = told["fold"] == own[number - 1]
    elif have < count:
        do = "make fewer folds, or add recordings of more groups"
        raise DataError("fewer groups than folds", index.folder, f"{count} or more", have, do)
    else:
        test = dealt(labels, groups, count, seed) == number - 1
    # The corpus' folds may cut a group in two: what is not tested of it is left out.
    rest = np.flatnonzero(~np.isin(groups, groups[test]))
    train, valid = np.zeros((2, len(test)), np.bool_)
    valid[rest] = judged(labels[rest], groups[rest], seed + 1) if len(rest) else False
    train[rest] = ~valid[rest]
    return Parts(train, valid, test, told)


def dealt(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """A number below `count` for each example, the same throughout a group.

    The rarest classes are dealt first, and of each the largest groups: to where most of a group's
    classes are missing, then to where the rarest of them is scarcest. So all folds have what there
    is of a class, as far as its groups allow, and none is empty while there are groups.
    """
    group, held, main = _counted(labels, groups)
    often, size = (held > 0).sum(0), held.sum(1)
    order = sorted(_drawn(len(held), seed), key=lambda g: (often[main[g]], main[g], -size[g]))
    fold, load = np.zeros(len(held), np.int64), np.zeros((count, held.shape[1]), np.int64)
    for g in order:
        there = (load[:, held[g] > 0] > 0).sum(1)
        fold[g] = np.lexsort((load.sum(1), load[:, main[g]], there))[0]
        load[fold[g]] += held[g]
    return fold[group]


def judged(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Marks the examples to judge by: of each class a tenth of its groups, and one at least where
    it has two; those whose size is the nearest to a tenth of the class's examples in all."""
    group, held, main = _counted(labels, groups)
    drawn, size, chosen = _drawn(len(held), seed), held.sum(1), np.zeros(len(held), np.bool_)
    for each in range(held.shape[1]):
        mine = drawn[main[drawn] == each]
        if len(mine) > 1:
            count = max(1, round(JUDGED * len(mine)))
            away = np.abs(size[mine] - JUDGED * size[mine].sum() / count)
            chosen[mine[np.argsort(away, kind="stable")[:count]]] = True
    return chosen[group]


def _counted(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of each example's group, (groups, classes) examples, and each group's class: the
    one of its classes that the fewest groups have."""
    names, group = np.unique(groups, return_inverse=True)
    group = group.reshape(-1)
    held = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(held, (group, labels), 1)
    often = (held > 0).sum(0)
    return group, held, np.where(held > 0, often, len(names) + 1).argmin(1)


def _drawn(count: int, seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).permutation(count)
