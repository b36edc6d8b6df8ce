"""Buckets: stable under insertion, blind to order, never over the limit without need.

Reads and writes nothing.
"""

import hashlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.buckets import DEEPEST, DEPTH, partition

IDS = st.lists(
    st.integers(0, 10**6).map(lambda n: hashlib.sha256(str(n).encode()).hexdigest()),
    min_size=1, max_size=80, unique=True,
)  # fmt: skip


def split(idents: list[str], limit: float = 5) -> dict[str, list[str]]:
    return partition(idents, limit, lambda i: i, lambda _: 1)


def bits(ident: str) -> str:
    return f"{int(ident, 16):0256b}"


@given(IDS, st.randoms(use_true_random=False))
def test_order_does_not_matter(idents: list[str], shuffler: random.Random) -> None:
    shuffled = idents[:]
    shuffler.shuffle(shuffled)
    assert split(shuffled) == split(idents)


@given(IDS)
def test_every_item_stands_once_under_its_own_bits_in_order(idents: list[str]) -> None:
    found = split(idents)
    assert sorted(i for group in found.values() for i in group) == sorted(idents)
    assert list(found) == sorted(found)
    for prefix, group in found.items():
        assert group == sorted(group)
        assert all(bits(i).startswith(prefix) for i in group)
        assert len(prefix) >= DEPTH
        assert len(group) <= 5


@given(IDS)
def test_a_group_is_split_only_when_it_must(idents: list[str]) -> None:
    for prefix in split(idents):
        if len(prefix) > DEPTH:
            assert sum(bits(i).startswith(prefix[:-1]) for i in idents) > 5


@given(IDS)
@settings(max_examples=200)
def test_one_more_item_touches_one_group(idents: list[str]) -> None:
    *old, new = idents
    before, after = split(old), split(idents)
    changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    (leaf,) = [p for p in after if new in after[p]]
    # Either the newcomer joined a group, or a group that became too large was divided.
    grown = [p for p in changed & before.keys() if bits(new).startswith(p)]
    assert len(grown) <= 1
    top = grown[0] if grown else leaf
    assert all(p.startswith(top) for p in changed)


def test_weights_count_not_items() -> None:
    idents = [f"{i:02x}" + "0" * 62 for i in range(0, 64)]  # all under 00
    assert len(partition(idents, 64, lambda i: i, lambda _: 1)) == 1
    assert len(partition(idents, 64, lambda i: i, lambda _: 2)) == 2


def test_one_heavy_item_stands_alone_and_equal_bits_end_somewhere() -> None:
    assert list(partition(["0" * 64], 1, lambda i: i, lambda _: 99)) == ["00"]
    twins = [("f" * 16 + "0" * 48, k) for k in range(3)]  # stretches of one recording
    found = partition(twins, 1, lambda t: t[0], lambda _: 1)
    assert found == {"1" * DEEPEST: twins}


def test_nothing_gives_nothing() -> None:
    assert split([]) == {}
