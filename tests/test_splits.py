"""Splits: disjoint, filled, stable, and deaf to order; official splits and leaks."""

import random
import sys
from collections import Counter
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MelmillError, UsageError
from pipeline.layouts.splits import SPLITS, Item, assign, check_leaks, group_of, read_csv, write_csv


def item(
    group: str, role: str = "clean", label: str = "", split: str = "", fold: int | None = None,
    content: str = "", path: str = "",
) -> Item:  # fmt: skip
    return Item(
        content or f"id-{group}-{path}", path or f"{group}.wav", group, label, role, split, fold
    )


def speakers(count: int, name: str = "s") -> list[Item]:
    return [item(f"{name}{k}") for k in range(count)]


ITEMS = st.lists(
    st.builds(
        item,
        st.text(min_size=1, max_size=3),
        st.sampled_from(["clean", "noise", "labelled"]),
        st.sampled_from(["", "dog", "cat"]),
    ),
    min_size=1,
    max_size=40,
)


@given(ITEMS, st.randoms(use_true_random=False), st.integers(0, 5))
def test_every_group_has_one_split_whatever_the_order(
    items: list[Item], shuffler: random.Random, seed: int
) -> None:
    split_of = assign(items, seed=seed)
    assert set(split_of) == {group_of(i) for i in items}
    assert set(split_of.values()) <= set(SPLITS)
    shuffled = items[:]
    shuffler.shuffle(shuffled)
    assert assign(shuffled, seed=seed) == split_of
    check_leaks(items, split_of)


@given(st.integers(3, 60), st.integers(0, 50), st.sampled_from([0.05, 0.15, 0.4]))
def test_no_split_of_a_role_is_empty_from_three_groups_on(n: int, seed: int, share: float) -> None:
    for role in ("clean", "noise", "labelled"):
        groups = [item(f"{role}{k}", role) for k in range(n)]
        count = Counter(assign(groups, seed=seed, valid=share, test=share).values())
        shares = {"train": 1 - 2 * share, "valid": share, "test": share}
        assert all(count[split] >= max(1, int(n * shares[split] / 2)) for split in SPLITS)


@given(st.lists(st.integers(1, 3), min_size=3, max_size=30), st.integers(0, 20))
def test_rare_classes_are_known_in_training_and_fill_the_other_splits(
    sizes: list[int], seed: int
) -> None:
    items = [
        item(f"{k}-{g}", "labelled", f"class{k}") for k, n in enumerate(sizes) for g in range(n)
    ]
    split_of = assign(items, seed=seed)
    count = Counter(split_of.values())
    assert all(count[split] for split in SPLITS)
    untaught = {i.label for i in items} - {i.label for i in items if split_of[i.group] == "train"}
    assert len(untaught) <= (0 if 3 in sizes else 2)


def test_two_groups_of_a_class_are_train_and_test_and_one_is_train() -> None:
    assert sorted(assign(speakers(2)).values()) == ["test", "train"]
    assert list(assign(speakers(1)).values()) == ["train"]


def test_many_classes_of_two_fill_valid_and_test_alike() -> None:
    items = [item(f"{k}-{g}", "labelled", f"class{k}") for k in range(200) for g in range(2)]
    count = Counter(assign(items).values())
    assert count["train"] == 200
    assert 70 < count["test"] < 130


def steps(items: list[Item]) -> int:
    """Lines of code that run to split them: a clock would count what else the machine does."""
    count = 0

    def line(_: FrameType, event: str, __: object) -> object:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        assign(items, valid=0.1, test=0.2)
    finally:
        sys.settrace(before)
    return count


def test_large_corpora_are_split_by_share_and_fast() -> None:
    """Ten times as many take ten times as many steps, where looking at every pair takes 100."""
    items = [item(f"s{k}", "labelled", f"c{k % 50}") for k in range(50_000)]
    assert 1000 < steps(items[:5000]) < 12 * steps(items[:500])
    count = Counter(assign(items, valid=0.1, test=0.2).values())
    assert count["valid"] / 50_000 == pytest.approx(0.1, abs=0.006)  # 4 sigma of a binomial
    assert count["test"] / 50_000 == pytest.approx(0.2, abs=0.008)


def moves(before: list[Item], after: list[Item]) -> int:
    old, new = assign(before), assign(after)
    return sum(new[group] != split for group, split in old.items())


def test_adding_a_group_moves_nobody_in_a_large_stratum() -> None:
    assert moves(speakers(1000), speakers(1100)) == 0


@pytest.mark.parametrize(("n", "most"), [(3, 0.75), (5, 0.45), (10, 0.25), (50, 0.1)])
def test_adding_a_group_moves_few_in_a_small_one(n: int, most: float) -> None:
    """Expected: the newcomer is an extreme of n + 1 with chance 2/(n + 1), and replaces one."""
    runs = [moves(speakers(n, f"{k}-"), speakers(n + 1, f"{k}-")) for k in range(200)]
    assert sum(runs) / len(runs) < most
    assert max(runs) <= 2


def test_adding_files_to_a_group_or_another_role_moves_nobody() -> None:
    five = speakers(5)
    assert moves(five, five + [item("s0", path="more.wav")]) == 0
    assert moves(five, five + [item(f"n{k}", "noise") for k in range(7)]) == 0


def test_a_speaker_heard_in_two_roles_has_one_split() -> None:
    items = speakers(20) + [item(f"s{k}", "labelled", path="talk.wav") for k in range(20)]
    assert len(assign(items)) == 20


def test_a_file_without_a_group_is_its_own_by_content() -> None:
    one = Item("abc", "x/1.wav", "", "", "noise", "", None)
    copy = Item("abc", "y/2.wav", "", "", "noise", "", None)
    assert assign([one, copy]) == {"abc": "train"}


def test_official_splits_win_and_valid_is_carved_out_of_official_train() -> None:
    items = [item(f"a{k}", split="train") for k in range(28)]
    items += [item(f"t{k}", split="test") for k in range(2)]
    split_of = assign(items)
    assert split_of["t0"] == split_of["t1"] == "test"
    rest = Counter(split_of[f"a{k}"] for k in range(28))
    assert rest["test"] == 0
    assert 1 <= rest["valid"] <= 10


def test_official_train_alone_is_split_three_ways_and_a_full_set_is_kept() -> None:
    assert set(assign([item(f"a{k}", split="train") for k in range(9)]).values()) == set(SPLITS)
    full = [item(f"{s}{k}", split=s) for s in SPLITS for k in range(3)]
    assert assign(full) == {f"{s}{k}": s for s in SPLITS for k in range(3)}


def test_folds_become_splits() -> None:
    items = [item(f"g{k}", "labelled", fold=1 + k % 5) for k in range(20)]
    split_of = assign(items)
    want = {5: "test", 4: "valid"}
    assert split_of == {f"g{k}": want.get(1 + k % 5, "train") for k in range(20)}


def test_official_splits_that_contradict_are_a_leak_unless_a_file_decides() -> None:
    items = [*speakers(3), item("x", split="train", path="a"), item("x", split="test", path="b")]
    with pytest.raises(MelmillError, match=r"'x'.*test \(b\), train \(a\).*SPLITS=groups"):
        assign(items)
    assert assign(items, {"x": "valid"})["x"] == "valid"


def test_only_official_test_data_leaves_nothing_to_train_on() -> None:
    with pytest.raises(MelmillError, match="nothing is left to train on"):
        assign([item("x", split="test"), item("y", split="valid")])


@given(st.dictionaries(st.integers(0, 11), st.sampled_from(SPLITS), max_size=10))
def test_a_splits_file_goes_before_everything(fixed: dict[int, str]) -> None:
    items = [item(f"s{k}", split="test" if k == 3 else "") for k in range(12)]
    wanted = {f"s{k}": split for k, split in fixed.items()} | {"gone": "test"}
    split_of = assign(items, {**wanted, "s11": "train"})
    assert all(split_of[g] == s for g, s in wanted.items() if g not in ("gone", "s11"))
    assert "gone" not in split_of


def test_new_groups_fill_what_a_splits_file_left_empty() -> None:
    items = speakers(6)
    split_of = assign(items, {f"s{k}": "train" for k in range(4)})
    assert {split_of["s4"], split_of["s5"]} == {"test", "valid"}


def test_check_leaks_names_both_files_and_the_way_out() -> None:
    items = [item("a", content="same", path="1.wav"), item("b", content="same", path="2.wav")]
    with pytest.raises(MelmillError, match=r"1\.wav.*'a'.*2\.wav.*'b'.*leak.*SPLITS"):
        check_leaks(items, {"a": "train", "b": "test"})
    check_leaks(items, {"a": "test", "b": "test"})
    with pytest.raises(MelmillError, match="no split"):
        check_leaks(items, {"a": "train"})
    with pytest.raises(MelmillError, match="'dev'"):
        check_leaks(items, {"a": "train", "b": "dev"})


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0.1), (1.0, 0.0)])
def test_shares_that_leave_no_train_are_refused(valid: float, test: float) -> None:
    with pytest.raises(UsageError, match="valid"):
        assign(speakers(5), valid=valid, test=test)


def test_a_share_of_zero_leaves_its_split_out() -> None:
    assert "valid" not in assign(speakers(30), valid=0.0).values()
    assert set(assign(speakers(2), valid=0.3, test=0.0).values()) == {"train", "valid"}


GROUPS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=()), min_size=1, max_size=5
)


@given(st.dictionaries(GROUPS, st.sampled_from(SPLITS)))
def test_a_splits_file_survives_every_name(split_of: dict[str, str]) -> None:
    text = write_csv(split_of)
    assert read_csv(text) == split_of
    assert text == write_csv(dict(reversed(split_of.items())))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "wrong header"),
        ("group;split\n", "wrong header"),
        ("group,split\na,train\nb,dev\n", r"splits\.csv:3: unknown split"),
        ("group,split\na\n", r":2: wrong row"),
        ("group,split\n,train\n", r":2: wrong row"),
        ("group,split\na,train\n\na,test\n", r":4: group 'a' stands in two"),
    ],
)
def test_a_wrong_splits_file_names_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_csv(text)


def test_an_edited_splits_file_may_be_unquoted_and_start_with_a_mark() -> None:
    assert read_csv("\ufeffgroup,split\r\na,train\r\nb,test\r\n") == {"a": "train", "b": "test"}


def test_one_voice_of_hours_among_many_of_a_minute_stays_in_train() -> None:
    for trial in range(20):
        heavy = [
            Item(f"h{i}", f"h{i}", f"long-{trial}-{i}", "", "clean", "", None, 7200.0)
            for i in range(3)
        ]
        light = [
            Item(f"s{i}", f"s{i}", f"short-{trial}-{i}", "", "clean", "", None, 60.0)
            for i in range(20)
        ]
        split_of = assign([*heavy, *light])
        assert {split_of[item.group] for item in heavy} == {"train"}
        assert set(split_of.values()) == set(SPLITS)


def test_equally_long_voices_still_fill_every_split() -> None:
    for trial in range(20):
        items = [
            Item(f"h{i}", f"h{i}", f"v-{trial}-{i}", "", "clean", "", None, 600.0) for i in range(5)
        ]
        assert set(assign(items).values()) == set(SPLITS)


def test_of_two_unequal_groups_the_longer_is_trained_on() -> None:
    for trial in range(20):
        items = [
            Item("a", "a", f"short-{trial}", "", "clean", "", None, 60.0),
            Item("b", "b", f"long-{trial}", "", "clean", "", None, 600.0),
        ]
        split_of = assign(items)
        assert split_of[f"long-{trial}"] == "train"
        assert split_of[f"short-{trial}"] == "test"
