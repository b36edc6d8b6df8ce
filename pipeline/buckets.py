"""Which shard an item belongs to: a function of its id and of how full the shard is.

Reads and writes nothing. Does: groups items by the leading bits of their ids (which are hashes);
a group over the limit splits in two by the next bit. So an added item touches one group alone,
and the grouping is the same whatever the order or the history.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 2  # at least four groups, so that a small corpus still feeds several workers
DEEPEST = 40  # bits; past this the limit gives way


def partition(
    items: Sequence[Item],
    limit: float,
    ident: Callable[[Item], str],
    weight: Callable[[Item], float],
) -> dict[str, list[Item]]:
    """Bit prefix -> items in the order of their ids. Empty groups are left out."""
    ranked = sorted(((_bits(ident(item)), item) for item in items), key=lambda pair: pair[0])
    done: dict[str, list[Item]] = {}
    waiting = [("", ranked)]
    while waiting:
        prefix, group = waiting.pop()
        deep = len(prefix)
        total = sum(weight(item) for _, item in group)
        small = deep >= DEPTH and (total <= limit or len(group) == 1)
        if not group or small or deep >= DEEPEST:
            if group:
                done[prefix] = [item for _, item in group]
            continue
        cut = next((i for i, (bits, _) in enumerate(group) if bits[deep] == "1"), len(group))
        waiting += [(prefix + "0", group[:cut]), (prefix + "1", group[cut:])]
    return dict(sorted(done.items()))


def _bits(ident: str) -> str:
    """The first 64 bits of a hex id, then the id itself, so that equal bits still have an order."""
    return f"{int(ident[:16], 16):064b}{ident}"
