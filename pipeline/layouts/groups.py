"""Groups: what may not be parted by a split, and what its corpus says of it.

Reads and writes nothing. Does: gathers files into groups, gives each its place on the line, and
settles the splits that are not ours to choose.

A group is an identity: the same name in two roles is the same source. A file without a group is
its own, under its content id.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipeline import rng
from pipeline.errors import MelmillError

SPLITS = ("train", "valid", "test")
RESOLVE = "SPLITS=groups ignores the official splits, SPLITS=file takes yours from a file"


@dataclass(frozen=True)
class Item:
    """What a split needs to know of one file."""

    id: str  # content hash
    path: str
    group: str  # "" = the file is its own group
    label: str
    role: str
    split: str  # official, or ""
    fold: int | None
    seconds: float = 0.0


@dataclass
class Group:
    """What a group's files say together; `place` is its point on the line from 0 to 1."""

    name: str
    place: float
    kinds: dict[tuple[str, str], int] = field(default_factory=dict)  # (role, label)
    official: dict[str, str] = field(default_factory=dict)  # split -> a file that says so
    may: tuple[str, ...] = SPLITS  # splits it may enter
    seconds: float = 0.0

    @cached_property
    def kind(self) -> tuple[str, str]:
        return min(self.kinds, key=lambda kind: (-self.kinds[kind], kind))


def group_of(item: Item) -> str:
    return item.group or item.id


def _folds(items: Iterable[Item]) -> dict[tuple[str, int], str]:
    """(role, fold) -> split: the highest is test, the next valid if a third is left for train."""
    folds: dict[str, set[int]] = defaultdict(set)
    for item in items:
        if item.fold is not None and not item.split:
            folds[item.role].add(item.fold)
    splits = {}
    for role, numbers in folds.items():
        if len(numbers) > 1:
            first, *rest = sorted(numbers, reverse=True)
            splits.update({(role, fold): "train" for fold in rest})
            splits[role, first] = "test"
            if len(rest) > 1:
                splits[role, rest[0]] = "valid"
    return splits


def read_groups(items: Sequence[Item], seed: int) -> dict[str, Group]:
    folds = _folds(items)
    groups: dict[str, Group] = {}
    for item in items:
        name = group_of(item)
        if name not in groups:
            groups[name] = Group(name, rng.unit(seed, "split", name))
        kind = (item.role, item.label)
        groups[name].kinds[kind] = groups[name].kinds.get(kind, 0) + 1
        groups[name].seconds += item.seconds
        said = item.split or ("" if item.fold is None else folds.get((item.role, item.fold), ""))
        if said:
            path = groups[name].official.setdefault(said, item.path)
            groups[name].official[said] = min(path, item.path)
    return dict(sorted(groups.items()))


def settle(groups: Mapping[str, Group], given: Mapping[str, str]) -> dict[str, str]:
    """The splits that are not ours to choose; official train is open to what its role lacks."""
    fixed = {name: given[name] for name in groups if name in given}
    rest = [group for name, group in groups.items() if name not in fixed and group.official]
    has: dict[str, set[str]] = defaultdict(set)
    for group in rest:
        if len(group.official) > 1:
            said = ", ".join(f"{split} ({path})" for split, path in sorted(group.official.items()))
            raise MelmillError(
                f"group {group.name!r} stands in two official splits", got=said, do=RESOLVE
            )
        has[group.kind[0]].update(group.official)
    for group in rest:
        (split,) = group.official
        if split == "train":
            group.may = ("train", *({"valid", "test"} - has[group.kind[0]]))
        if split != "train" or len(group.may) == 1:
            fixed[group.name] = split
    return fixed
