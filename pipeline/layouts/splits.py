"""Which group goes to which split, with no speaker, source or noise file in two.

Reads and writes nothing. Does: gives every group a split from its name alone, corrects what chance
left empty, keeps official splits, and fails on a leak.

Each group has a place on a line from 0 to 1, hashed from its name: the low end is test, the high
end valid, the rest train. In each stratum (a role and a label) the two borders then move just as
far as needed for no split to be empty. So a newcomer moves nobody in a large stratum; among n it
takes a place that another held with chance 2/(n + 1), and that one goes to train.
"""

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pipeline import rng
from pipeline.errors import MelmillError, UsageError
from pipeline.layouts.groups import RESOLVE, SPLITS, Group, Item, group_of, read_groups, settle

__all__ = ["SPLITS", "Item", "assign", "check_leaks", "group_of", "read_csv", "write_csv"]


def _strata(groups: Iterable[Group]) -> list[list[Group]]:
    """Groups that share a role and a label, in a fixed order.

    Speakers, noises and music with fewer than three groups to a label share one stratum: training
    need not have heard their labels. It needs every class, so a rare one stands alone.
    """
    groups = list(groups)
    sizes = Counter(group.kind for group in groups)
    strata: dict[tuple[str, bool, str], list[Group]] = defaultdict(list)
    for group in groups:
        role, label = group.kind
        rare = sizes[group.kind] < 3 and role != "labelled"
        strata[role, rare, "" if rare else label].append(group)
    return [strata[key] for key in sorted(strata)]


def _centre_heavy(groups: Sequence[Group], share: Mapping[str, float]) -> None:
    """Put groups that alone would overfill valid or test in the middle of the line, in train's
    reach: one voice of two hours among fifty of a minute must not become the test set. Where all
    are heavy (five speakers) their order stays, so the ends are cut off as ever."""
    most = max(share["valid"], share["test"]) * sum(group.seconds for group in groups)
    for group in groups:
        if group.seconds > most:
            group.place = 0.5 + (group.place - 0.5) / 10


def _cut(line: Sequence[Group], need: Mapping[str, int], share: Mapping[str, float]) -> list[str]:
    """Splits of groups in the order of their places; all may enter the same splits."""
    may, least, left = line[0].may, dict.fromkeys(SPLITS, 0), len(line)
    for split in need:  # where groups run out, the later split goes without
        least[split] = min(need[split], left) if split in may else 0
        left -= least[split]
    low = sum(group.place < share["test"] for group in line) if "test" in may else 0
    high = sum(group.place >= 1 - share["valid"] for group in line) if "valid" in may else 0
    low = min(max(low, least["test"]), len(line) - least["train"] - least["valid"])
    high = min(max(high, least["valid"]), len(line) - least["train"] - low)
    return ["test"] * low + ["train"] * (len(line) - low - high) + ["valid"] * high


def _stratum(
    groups: Sequence[Group], split_of: dict[str, str], share: Mapping[str, float], seed: int
) -> None:
    """Place the free groups of one stratum; those with a split already count towards its needs.

    At least half of its share goes to each split, and one group if there are that many. The one
    spare group of a class of two is test or valid by the class' own hash, so that many such
    classes fill both.
    """
    size = len(groups)
    _centre_heavy(groups, share)
    later = ["test", "valid"]
    coin = rng.unit(seed, "pair", *groups[0].kind) * (share["test"] + share["valid"])
    if size == 2 and groups[0].kind[0] == "labelled" and coin >= share["test"]:
        later.reverse()
    if size == 2:  # the longer one is for training
        small, large = sorted(groups, key=lambda group: group.seconds)
        if large.seconds > 2 * small.seconds:
            small.place = 0.0 if later[0] == "test" else 1.0
    need = {"train": max(1, math.floor(size * share["train"] / 2))}
    need |= {s: max(1, math.ceil(size * share[s] / 2)) if share[s] else 0 for s in later}
    for group in groups:
        if group.name in split_of:
            need[split_of[group.name]] = max(0, need[split_of[group.name]] - 1)
    lines: dict[tuple[str, ...], list[Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: (group.place, group.name)):
        if group.name not in split_of:
            lines[group.may].append(group)
    for may in sorted(lines, key=lambda may: (len(may), may)):  # the least free first
        splits = _cut(lines[may], need, share)
        split_of.update(zip((group.name for group in lines[may]), splits, strict=True))
        need = {split: max(0, count - splits.count(split)) for split, count in need.items()}


def _fill(
    groups: Sequence[Group],
    split_of: dict[str, str],
    fixed: Mapping[str, str],
    share: Mapping[str, float],
) -> None:
    """Give a role of many rare classes its test and valid group, from the other or from train."""
    for split, other, end in (("test", "valid", 0), ("valid", "test", -1)):
        count = Counter(split_of[group.name] for group in groups)
        spare = {other: 0 if split == "test" else 1, "train": 1}
        source = next((name for name, keep in spare.items() if count[name] > keep), None)
        free = [g for g in groups if split_of[g.name] == source and split in g.may]
        free = [g for g in free if g.name not in fixed]
        if share[split] and free and not count[split]:
            split_of[sorted(free, key=lambda g: (g.place, g.name))[end].name] = split


def assign(
    items: Sequence[Item],
    given: Mapping[str, str] | None = None,
    seed: int = 0,
    valid: float = 0.15,
    test: float = 0.15,
) -> dict[str, str]:
    """Group -> split, for every group of the items and whatever their order.

    `given` (a splits file) goes before official splits, those before folds, those before the hash.
    """
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise UsageError("no such shares", expected="valid + test < 1", got=f"{valid} and {test}")
    share = {"train": 1 - valid - test, "valid": valid, "test": test}
    groups = read_groups(items, seed)
    fixed = settle(groups, given or {})
    split_of = dict(fixed)
    for stratum in _strata(groups.values()):
        _stratum(stratum, split_of, share, seed)
    roles: dict[str, list[Group]] = defaultdict(list)
    for group in groups.values():
        roles[group.kind[0]].append(group)
    for members in roles.values():
        _fill(members, split_of, fixed, share)
    if groups and "train" not in split_of.values():
        found = ", ".join(sorted(set(split_of.values())))
        raise MelmillError("nothing is left to train on", got=f"only {found} groups", do=RESOLVE)
    return {name: split_of[name] for name in groups}


def check_leaks(items: Iterable[Item], split_of: Mapping[str, str]) -> None:
    """Fail on a file without a split, and on the same bytes in two."""
    seen: dict[str, Item] = {}
    for item in items:
        name = group_of(item)
        if split_of.get(name) not in SPLITS:
            got = repr(split_of[name]) if name in split_of else "none"
            raise MelmillError(
                f"group {name!r} has no split", where=item.path, expected="/".join(SPLITS), got=got
            )
        first = seen.setdefault(item.id, item)
        if split_of[group_of(first)] != split_of[name]:
            raise MelmillError(
                f"leak: the same bytes stand in {split_of[group_of(first)]} and {split_of[name]}",
                where=f"{first.path} (group {group_of(first)!r}) and {item.path} (group {name!r})",
                do=f"remove one, or give both one group in melmill.csv; {RESOLVE}",
            )


def write_csv(split_of: Mapping[str, str]) -> str:
    """The text of a splits file, sorted; encode it as UTF-8 with surrogateescape."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerows([("group", "split"), *sorted(split_of.items())])
    return out.getvalue()


def read_csv(text: str, where: str = "splits.csv") -> dict[str, str]:
    """Group -> split from such a text, however it is quoted; a wrong row is an error."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    split_of: dict[str, str] = {}
    try:
        header = next(rows, [])
        if header != ["group", "split"]:
            raise UsageError("wrong header", where=where, expected="group,split", got=str(header))
        for row in filter(None, rows):
            at = f"{where}:{rows.line_num}"
            if len(row) != 2 or not row[0]:
                raise UsageError("wrong row", where=at, expected="a group and a split", got=row)
            if row[1] not in SPLITS:
                raise UsageError("unknown split", where=at, expected=", ".join(SPLITS), got=row[1])
            if split_of.setdefault(row[0], row[1]) != row[1]:
                raise UsageError(f"group {row[0]!r} stands in two splits", where=at)
    except csv.Error as error:
        raise UsageError(f"not a table: {error}", where=f"{where}:{rows.line_num}") from error
    return split_of
