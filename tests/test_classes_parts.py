"""Who is learnt from, judged by and tested on: no group twice, each class wherever it can be.

Reads and writes only in pytest's own folders.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tensorflow")

from pipeline.disk import store  # noqa: E402
from pipeline.formats import hdf5  # noqa: E402
from pipeline.formats.fields import Field  # noqa: E402
from training.classes.parts import Parts, dealt, judged, parts  # noqa: E402
from training.data.index import SPLITS, DataError, Index, load_index  # noqa: E402

FIELDS = [
    Field("label", "int32", (), "", ()),
    Field("source", "bytes8", (), "", ()),
    Field("group", "int64", (), "", ()),
    Field("fold", "int32", (), "", ()),
]
CLASSES = ["birds", "rain", "wind"]
Columns = dict[str, np.ndarray]


def columns(labels: list[int], groups: list[int], folds: list[int] | None = None) -> Columns:
    count = len(labels)
    return {
        "label": np.array(labels, np.int32),
        "source": np.array([f"s{i}" for i in range(count)], "S8"),
        "group": np.array(groups, np.int64),
        "fold": np.array(folds or [-1] * count, np.int32),
    }


def build(
    folder: Path, found: Columns, sizes: tuple[int, ...], fields: list[Field] = FIELDS,
    classes: list[str] = CLASSES,
) -> Index:  # fmt: skip
    """An index over `sizes` examples of train, valid and test; train in two shards."""
    cuts = (sizes[0] // 2, sizes[0] - sizes[0] // 2, *sizes[1:])
    shards, begin = [], 0
    for i, (split, size) in enumerate(zip(("train", *SPLITS), cuts, strict=True)):
        if not size:
            continue
        part = {f.name: found[f.name][begin : begin + size] for f in fields}
        data, path, begin = hdf5.encode(fields, part, {}), folder / f"{split}-{i}.h5", begin + size
        row = {"path": path.name, "split": split, "format": "hdf5", "bytes": len(data)}
        shards.append(row | {"examples": size, "sha256": store.write_bytes(path, data)})
    assert begin == len(found["label"])
    table = {
        "schema": 1, "name": "toy", "key": "k", "fingerprint": "f", "recipe": {},
        "fields": [f.to_json() for f in fields], "classes": classes, "tags": [], "noises": [],
        "names": {}, "statistics": {}, "shards": shards, "receipts": [], "noise": [],
        "noise_fields": [], "counts": {}, "feature_description": {},
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(table)))
    return load_index(folder)


def many(seed: int = 0) -> Columns:
    """Three classes of 9, 12 and 15 groups, of 1 to 6 examples each, in no order."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2], [9, 12, 15])
    names = rng.integers(-(2**63), 2**63 - 1, len(classes))
    who = rng.permutation(np.repeat(np.arange(len(classes)), rng.integers(1, 7, len(classes))))
    return columns(classes[who].tolist(), names[who].tolist())


def masks(one: Parts) -> np.ndarray:
    return np.stack([one.train, one.valid, one.test])


def groups_of(one: Parts) -> list[set[int]]:
    return [set(one.told["group"][mask].tolist()) for mask in masks(one)]


def sizes_for(found: Columns) -> tuple[int, int, int]:
    whole = len(found["label"])
    return whole - 20, 12, 8


# ------------------------------------------------------------------ the index's splits


def test_the_splits_are_the_index_s_own(tmp_path: Path) -> None:
    found = columns([0, 1, 2, 0, 1, 2, 0, 1], [1, 2, 3, 4, 5, 6, 7, 8])
    one = parts(build(tmp_path, found, (5, 2, 1)), None)
    assert np.flatnonzero(one.train).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(one.valid).tolist() == [5, 6]
    assert np.flatnonzero(one.test).tolist() == [7]
    for name, array in found.items():
        assert np.array_equal(one.told[name], array)
    rows = one.rows(one.valid)
    assert rows["labels"].tolist() == [2, 0]
    assert rows["groups"].tolist() == [6, 7]
    assert rows["sources"].tolist() == [b"s5", b"s6"]


@pytest.mark.parametrize(("sizes", "name"), [((6, 0, 2), "valid"), ((6, 2, 0), "test")])
def test_a_split_of_nothing_is_said(tmp_path: Path, sizes: tuple[int, ...], name: str) -> None:
    index = build(tmp_path, columns([0, 1] * 4, list(range(8))), sizes)
    with pytest.raises(DataError, match=f"nothing in {name}.*Add recordings of more groups"):
        parts(index, None)


def test_a_recipe_without_classes_is_refused(tmp_path: Path) -> None:
    found = columns([0] * 8, list(range(8)))
    bare = build(tmp_path, found, (6, 1, 1), [f for f in FIELDS if f.name != "label"])
    with pytest.raises(DataError, match=r"toy has no classes.*such as noise-classifier"):
        parts(bare, None)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no classes"):
        parts(build(tmp_path / "none", found, (6, 1, 1), classes=[]), None)


# ------------------------------------------------------------------ folds by group


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_folds_test_everything_once_and_keep_groups_together(tmp_path: Path, count: int) -> None:
    found = many()
    index = build(tmp_path, found, sizes_for(found))
    each = [parts(index, (k + 1, count)) for k in range(count)]
    assert np.array_equal(sum(one.test.astype(int) for one in each), np.ones(len(found["label"])))
    for one in each:
        assert np.array_equal(masks(one).sum(0), np.ones(len(found["label"])))  # each on one side
        train, valid, test = groups_of(one)
        assert not train & valid
        assert not train & test
        assert not valid & test
        for mask in masks(one):
            assert set(found["label"][mask].tolist()) == {0, 1, 2}
        left = len(one.test) - one.test.sum()
        assert 0.03 * left < one.valid.sum() < 0.25 * left


def test_folds_are_of_one_size(tmp_path: Path) -> None:
    found = many()
    index = build(tmp_path, found, sizes_for(found))
    tested = [int(parts(index, (k + 1, 3)).test.sum()) for k in range(3)]
    assert max(tested) - min(tested) <= 0.2 * len(found["label"]) / 3
    for each in range(3):
        share = [int((found["label"][parts(index, (k + 1, 3)).test] == each).sum())
                 for k in range(3)]  # fmt: skip
        assert max(share) - min(share) <= 6  # the largest group


def test_the_same_data_are_dealt_the_same_way(tmp_path: Path) -> None:
    found = many()
    index = build(tmp_path, found, sizes_for(found))
    one, again, other = (parts(index, (2, 4), seed) for seed in (0, 0, 1))
    assert np.array_equal(masks(one), masks(again))
    assert not np.array_equal(masks(one), masks(other))
    assert np.array_equal(masks(one), masks(parts(index, (2, 4))))


def test_a_part_does_not_depend_on_where_its_examples_stand() -> None:
    found, rng = many(), np.random.default_rng(3)
    moved = rng.permutation(len(found["label"]))
    labels, groups = found["label"], found["group"]
    for deal in (lambda a, b: dealt(a, b, 4, 0), lambda a, b: judged(a, b, 0)):
        assert np.array_equal(deal(labels, groups)[moved], deal(labels[moved], groups[moved]))


def test_fewer_groups_than_folds_are_said_before_the_first(tmp_path: Path) -> None:
    index = build(tmp_path, columns([0, 1, 2, 0] * 5, [1, 2, 3, 4] * 5), (12, 4, 4))
    with pytest.raises(DataError, match=r"fewer groups than folds; expected 5 or more; got 4") as e:
        parts(index, (1, 5))
    assert "Make fewer folds" in str(e.value)
    assert parts(index, (1, 4)).test.any()


def test_too_few_groups_to_judge_by_are_said(tmp_path: Path) -> None:
    index = build(tmp_path, columns([0, 1, 2] * 4, [1, 2, 3] * 4), (6, 3, 3))
    with pytest.raises(DataError, match="nothing in valid.*Add recordings of more groups"):
        parts(index, (1, 3))


cases = st.integers(2, 6).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=count, max_size=40),
        st.integers(0, 9),
    )
)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_every_class_is_wherever_its_groups_reach(
    case: tuple[int, list[tuple[int, int]], int],
) -> None:
    """Of groups with one class each: (class, examples)."""
    count, held, seed = case
    labels = np.concatenate([np.full(size, label) for label, size in held])
    groups = np.concatenate([np.full(size, i) for i, (_, size) in enumerate(held)])
    fold, valid = dealt(labels, groups, count, seed), judged(labels, groups, seed)
    for place in (fold, valid):
        assert all(len(set(place[groups == g].tolist())) == 1 for g in range(len(held)))
    assert set(fold.tolist()) == set(range(count))  # there are groups enough
    for each in set(labels.tolist()):
        mine = labels == each
        number = len(set(groups[mine].tolist()))
        assert len(set(fold[mine].tolist())) == min(number, count)
        sides = set(valid[mine].tolist())
        assert sides == ({False, True} if number > 1 else {False})
        assert len(set(groups[mine & valid].tolist())) <= max(1, round(number / 10))


@pytest.mark.parametrize(
    "recordings",
    [
        [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 2]],
        [[1, 2], [0, 2], [0, 2], [1], [0, 0, 1]],
    ],
)
def test_a_recording_of_several_classes_is_dealt_by_all_of_them(
    recordings: list[list[int]],
) -> None:
    labels = np.concatenate([np.array(row) for row in recordings])
    groups = np.repeat(np.arange(len(recordings)), [len(row) for row in recordings])
    for seed in range(8):
        fold = dealt(labels, groups, 2, seed)
        for each in range(3):
            assert set(fold[labels == each].tolist()) == {0, 1}


def test_a_class_is_spread_though_another_is_uneven() -> None:
    """One recording with 10 of 12 of its class does not draw the others to the other side."""
    labels = np.repeat([0, 0, 1], [10, 2, 12])
    groups = np.concatenate([np.repeat([0, 1], [10, 2]), np.arange(2, 14)])
    for seed in range(8):
        assert np.bincount(dealt(labels, groups, 2, seed)[labels == 1]).tolist() == [6, 6]


def test_what_is_judged_by_is_a_tenth_of_a_class() -> None:
    """A large recording is neither half of what is learnt nor all that is judged by."""
    sizes = [100, 10, 9, 1, 1] + [10] * 10
    labels = np.repeat([0] * 5 + [1] * 10, sizes)
    groups = np.repeat(np.arange(15), sizes)
    for seed in range(10):
        held = judged(labels, groups, seed)
        assert set(groups[held & (labels == 0)].tolist()) == {1}  # nearest to 12.1
        assert held[labels == 1].sum() == 10


# ------------------------------------------------------------------ the corpus' own folds


def own(folds: list[int], groups: list[int]) -> Columns:
    return columns([i % 3 for i in range(len(folds))], groups, folds)


def test_a_corpus_folds_are_taken_in_their_order(tmp_path: Path) -> None:
    folds = [10, 2, 2, 10, 5, 5] * 6
    index = build(tmp_path, own(folds, list(range(36))), (20, 8, 8))
    for number, name in ((1, 2), (2, 5), (3, 10)):
        one = parts(index, (number, 3))
        assert np.array_equal(one.test, np.array(folds) == name)
        assert np.array_equal(masks(one).sum(0), np.ones(36))
        assert one.valid.any()


def test_another_number_of_folds_than_the_corpus_has_is_refused(tmp_path: Path) -> None:
    index = build(tmp_path, own([1, 2, 3] * 6, list(range(18))), (10, 4, 4))
    with pytest.raises(DataError, match="folds of its own; expected 3; got FOLDS=5. Use it"):
        parts(index, (1, 5))


def test_a_group_that_a_corpus_cut_in_two_is_not_learnt_from(tmp_path: Path) -> None:
    """The test is the corpus' own, whole; what else is of its groups is left out."""
    folds = [1, 2] * 12
    groups = [0 if i in (0, 1, 3) else i for i in range(24)]
    index = build(tmp_path, own(folds, groups), (12, 6, 6))
    first, second = parts(index, (1, 2)), parts(index, (2, 2))
    assert np.array_equal(first.test, np.array(folds) == 1)
    assert np.flatnonzero(masks(first).sum(0) == 0).tolist() == [1, 3]
    assert np.flatnonzero(masks(second).sum(0) == 0).tolist() == [0]
    for one in (first, second):
        train, valid, test = groups_of(one)
        assert not (train | valid) & test
        assert not train & valid


def test_folds_that_only_a_part_of_a_corpus_has_are_not_used(tmp_path: Path) -> None:
    found = many()
    index = build(tmp_path, found, sizes_for(found))
    (tmp_path / "some").mkdir()
    some = found | {"fold": np.where(np.arange(len(found["fold"])) % 2, 1, -1).astype(np.int32)}
    other = build(tmp_path / "some", some, sizes_for(found))
    assert np.array_equal(masks(parts(index, (1, 4))), masks(parts(other, (1, 4))))
