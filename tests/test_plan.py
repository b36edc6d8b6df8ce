"""The plan: which windows, with which labels, in which shard, under which key.

Reads and writes nothing.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import code, keys, plan, schema
from pipeline.cookbook import load
from pipeline.items import Item, Task
from pipeline.layouts.splits import SPLITS
from pipeline.plan import windows
from pipeline.recipe import Labels, Recipe
from tests.made import MEL, RATE, corpus, ident, recipe, record

MUSICNN, LONG = load(["musicnn"])[0], load(["musicnn-2048"])[0]


def cut(**window: object) -> Recipe:
    return recipe(window={"samples": 100, "hop": 100} | window)


# ------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    ("length", "count"),
    [(0, 0), (-5, 0), (1, 1), (49, 1), (100, 1), (149, 1), (150, 2), (200, 2), (249, 2), (250, 3)],
)
def test_a_last_window_counts_when_it_is_half_full(length: int, count: int) -> None:
    assert windows(length, cut()) == count


@pytest.mark.parametrize(
    ("fill", "length", "count"),
    [(0.0, 100, 1), (0.0, 101, 2), (1.0, 199, 1), (1.0, 200, 2), (0.07, 106, 1), (0.07, 107, 2)],
)
def test_the_edge_of_the_fill_is_exact(fill: float, length: int, count: int) -> None:
    assert windows(length, cut(min_fill=fill)) == count


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 400), st.integers(0, 100))
def test_windows_are_those_filled_well_enough(n: int, size: int, hop: int, percent: int) -> None:
    """Counted one by one, with exact fractions."""
    asked = recipe(window={"samples": size, "hop": hop, "min_fill": percent / 100})
    count = 1
    while True:
        left = n - count * hop
        if left < 1 or Fraction(left, size) < Fraction(percent, 100):
            break
        count += 1
    assert windows(n, asked) == count


def test_at_most_so_many_of_a_recording() -> None:
    assert windows(1000, cut(most=3)) == 3
    assert windows(150, cut(most=3)) == 2


@pytest.mark.parametrize("asked", [MUSICNN, LONG], ids=lambda r: r.name)
@given(n=st.integers(1, 10**6))
@settings(max_examples=80, deadline=None)
def test_patches_are_those_of_the_published_extractor(asked: Recipe, n: int) -> None:
    """MusicNN (Pons and Serra 2019): librosa's frames of the whole clip (one more than its hops),
    cut into patches that do not overlap; a last one that is not full is dropped. It gives nothing
    for a clip shorter than one patch; here such a clip is repeated until it fills one."""
    hop, patch = asked.features["logmel"].hop, schema.frames(asked.features["logmel"], asked)
    frames = 1 + n // hop
    assert windows(n, asked) == max(1, len(range(0, frames - patch + 1, patch)))


def test_one_frame_decides() -> None:
    n = 2 * 187 * 256
    assert windows(n - 256, MUSICNN) == 2  # 374 frames
    assert windows(n - 257, MUSICNN) == 1  # 373


# ------------------------------------------------------------------ items and labels


def items(found: plan.Plan, split: str = "") -> list[Item]:
    return [i for task in found.tasks if split in ("", task.split) for i in task.items]


CLASSES = recipe(
    roles=("noise",), fields=("logmel", "label"), labels=Labels("class"), needs="label"
)


def test_segments_are_windows_of_their_own_within_the_recording() -> None:
    told = ((0.0, 0.25, "dog"), (0.9, 5.0, "cat"), (0.5, 0.6, ""), (2.0, 3.0, "cow"))
    records = [record("a", "noise", segments=told, segment_kind="label")]
    made = plan.plan(CLASSES, corpus(records, 1.0, {ident("a"): "train"}))
    assert made.classes == ("cat", "cow", "dog")
    found = sorted((i.begin, i.length, i.count, made.classes[i.label]) for i in items(made))
    assert found == [(0, 2000, 3, "dog"), (7200, 800, 1, "cat")]  # a cow past the end, no name


def test_lengths_are_at_the_recipes_rate() -> None:
    found = corpus([record("a")], 1.0, {ident("a"): "train"}, rate=44100)
    (item,) = items(plan.plan(recipe(rate=16000), found))
    assert (item.length, item.count) == (16000, 20)


def test_two_classes_at_least() -> None:
    records = [record(f"{k}", "noise", label="dog", group=f"{k}") for k in range(3)]
    assert plan.lacks(CLASSES, corpus(records)) == "two classes or more; here: dog"
    records.append(record("cat", "noise", label="cat", group="cat"))
    assert plan.lacks(CLASSES, corpus(records)) == ""


def test_the_most_frequent_tags_in_the_order_of_their_names() -> None:
    tags = [("rock", "loud"), ("rock", "calm"), ("jazz", "calm"), ("rare",), ()]
    records = [record(f"{k}", "music", tags=t, group=f"{k}") for k, t in enumerate(tags)]
    asked = recipe(
        roles=("music",), fields=("logmel", "tags"), labels=Labels("tags", top=3), needs="tags"
    )
    made = plan.plan(asked, corpus(records))
    assert made.tags == ("calm", "jazz", "rock")  # jazz before loud and rare: equally frequent
    assert {i.id: i.tags for i in items(made)} == {
        ident("0"): (2,), ident("1"): (2, 0), ident("2"): (1, 0), ident("3"): (),
    }  # fmt: skip


def test_speakers_turns_travel_only_with_the_windows_they_reach() -> None:
    turns = ((0.0, 0.1, "a"), (0.15, 0.25, "b"), (0.9, 1.0, "a"))
    records = [record("t", "labelled", segments=turns, segment_kind="speaker")]
    asked = recipe(
        roles=("labelled",), fields=("activity",), labels=Labels("activity", frame=80),
        needs="speakers", shard_mb=1,
    )  # fmt: skip
    made = plan.plan(asked, corpus(records, 1.0, {ident("t"): "train"}))
    (item,) = items(made)
    assert item.turns == ((0, 800, "a"), (1200, 2000, "b"), (7200, 8000, "a"))
    part = list(plan._parts([item], 2, asked))
    assert [len(p) for p in part] == [1] * 5
    assert [p[0].turns for p in part] == [
        ((0, 800, "a"), (1200, 2000, "b")), ((1200, 2000, "b"),), (), (), ((7200, 8000, "a"),),
    ]  # fmt: skip


def test_folds_and_groups_are_told() -> None:
    records = [record("a", group="ann", fold=3), record("b")]
    made = {
        i.id: i
        for i in items(
            plan.plan(recipe(), corpus(records, 1.0, {"ann": "train", ident("b"): "test"}))
        )
    }
    assert (made[ident("a")].fold, made[ident("b")].fold) == (3, -1)
    assert made[ident("a")].group != made[ident("b")].group


# ------------------------------------------------------------------ what the data lacks


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (recipe(roles=("music",)), "recordings with role music; here: 2 clean, 1 noise"),
        (recipe(roles=("music", "labelled")), "recordings with role music or labelled; here"),
        (recipe(needs="label"), "recordings with role clean and known label"),
        (recipe(needs="tags"), "recordings with role clean and known tags"),
        (recipe(needs="speakers"), "recordings with role clean and known speakers"),
        (recipe(), ""),
        (recipe(fields=("clean",), mix={"noises": ("ambient",)}), ""),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said(asked: Recipe, said: str) -> None:
    records = [record("a"), record("b"), record("n", "noise")]
    found = plan.lacks(asked, corpus(records))
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_ambient_noise_needs_noise() -> None:
    asked = recipe(fields=("clean",), mix={"noises": ("white", "ambient")})
    assert (
        plan.lacks(asked, corpus([record("a")])) == "recordings with role noise, for ambient noise"
    )
    assert plan.lacks(asked, corpus([])).endswith("here: none")


def test_segments_without_a_name_are_no_labels() -> None:
    told = record("a", "noise", segments=((0.0, 1.0, ""),), segment_kind="label")
    assert plan.chosen(CLASSES, [told]) == []
    assert plan.lacks(CLASSES, corpus([told])) == "recordings with role noise and known label"


# ------------------------------------------------------------------ shards


@given(st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_every_window_stands_in_one_shard_of_its_own_split(count: int, megabytes: int) -> None:
    seconds = {f"{k}": 0.05 + k * 7.3 % 40 for k in range(count)}
    records = [record(f"{k}", group=f"g{k}") for k in range(count)]
    found = corpus(records, seconds)
    asked = recipe(shard_mb=megabytes)
    made = plan.plan(asked, found)
    split_of = {r.id: found.split(r) for r in records}
    seen = [
        (i.id, i.begin + k * 800)
        for task in made.tasks
        for i in task.items
        for k in range(i.first, i.first + i.count)
        if split_of[i.id] == task.split
    ]
    expected = [
        (r.id, 800 * k)
        for r in records
        for k in range(windows(round(seconds[r.path] * RATE), asked))
    ]
    assert sorted(seen) == sorted(expected)
    assert len({task.name for task in made.tasks}) == len(made.tasks)
    size = sum(f.nbytes for f in schema.fields(asked, 1))
    assert all(sum(i.count for i in t.items) * size <= megabytes << 20 for t in made.tasks)
    assert made.used == {s: n for s in SPLITS if (n := [*split_of.values()].count(s))}


def test_one_long_recording_is_cut_into_parts() -> None:
    found = corpus([record("a")], 3000.0, {ident("a"): "train"})
    made = plan.plan(recipe(shard_mb=1), found)
    assert len(made.tasks) > 30
    assert len({t.name.rsplit("-", 1)[0] for t in made.tasks}) == 1
    firsts = [t.items[0].first for t in made.tasks]
    assert firsts == sorted(firsts)
    assert sum(t.items[0].count for t in made.tasks) == 30000
    assert sum(t.seconds for t in made.tasks) == pytest.approx(3000)


def tasks(made: plan.Plan) -> dict[str, str]:
    return {t.name: t.key for t in made.tasks}


def test_another_recording_touches_one_shard() -> None:
    split_of = {f"g{k}": "train" for k in range(41)}
    records = [record(f"{k}", group=f"g{k}") for k in range(41)]
    before = tasks(plan.plan(recipe(), corpus(records[:-1], 1.0, split_of)))
    after = tasks(plan.plan(recipe(), corpus(records, 1.0, split_of)))
    assert len(before) == len(after) == 4
    assert sum(before[name] != after[name] for name in before) == 1


def test_the_order_of_the_files_does_not_matter() -> None:
    asked = recipe(fields=("noisy",), mix={"noises": ("ambient", "babble", "pink")})
    records = [record(f"{k}", group=f"g{k}") for k in range(12)]
    records += [record(f"n{k}", "noise", group=f"n{k}") for k in range(6)]
    one, other = plan.plan(asked, corpus(records)), plan.plan(asked, corpus(records[::-1]))
    assert one.tasks == other.tasks
    assert one.noise == other.noise


# ------------------------------------------------------------------ keys


def key(asked: Recipe = CLASSES, **told: object) -> str:
    records = [
        replace(record("a", "noise", label="dog", group="a"), **told),  # type: ignore[arg-type]
        record("b", "noise", label="cat", group="b"),
    ]
    made = plan.plan(asked, corpus(records, 1.0, {"a": "train", "x": "train", "b": "test"}))
    (task,) = (t for t in made.tasks if t.split == "train")
    return task.key


def test_a_key_moves_with_what_decides_bytes() -> None:
    keys = [
        key(), key(label="ant"), key(group="x"), key(fold=1), key(id=ident("other")),
        key(replace(CLASSES, window=replace(CLASSES.window, hop=400))),
        key(replace(CLASSES, output=replace(CLASSES.output, fields=("label",)))),
        key(replace(CLASSES, features={"logmel": replace(MEL, top_db=80.0)})),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_and_with_nothing_else() -> None:
    more = replace(CLASSES.output, formats=("tfrecord", "hdf5"), shard_mb=64)
    for same in (replace(CLASSES, output=more), replace(CLASSES, about="x", name="y")):
        assert key(same) == key()
    assert key(path="elsewhere/a") == key()
    assert key(codec="x") == key()


def test_a_key_moves_with_the_number_of_tags() -> None:
    """A shard holds a row of all tags: one that was made for three must not stand for four."""
    asked = recipe(roles=("music",), fields=("tags",), labels=Labels("tags"), needs="tags")
    split_of = {"a": "train", "b": "test"}

    def train(tags: tuple[str, ...]) -> str:
        records = [record("a", "music", tags=("ape",), group="a"),
                   record("b", "music", tags=tags, group="b")]  # fmt: skip
        made = plan.plan(asked, corpus(records, 1.0, split_of))
        return next(t.key for t in made.tasks if t.split == "train")

    assert train(("ape",)) != train(("ape", "bee"))
    assert train(("bee",)) == train(("cow",))


def test_a_key_moves_with_the_code_and_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    base = key()
    with monkeypatch.context() as patch:
        patch.setattr(code, "libraries", lambda *names: {"numpy": "99"})
        assert key() != base
    with monkeypatch.context() as patch:
        patch.setattr(code, "version", lambda *_: "another")
        assert key() != base
    assert key() == base


def test_a_pack_that_moved_changes_no_key() -> None:
    found = corpus([record("a")], 1.0, {ident("a"): "train"})
    before = tasks(plan.plan(recipe(), found))
    found.decoded.packs[ident("a")] = "111.pcm"
    assert tasks(plan.plan(recipe(), found)) == before


def test_a_shard_of_noise_moves_with_its_rows_and_kinds() -> None:
    def found(**mix: object) -> set[str]:
        asked = recipe(fields=("clean",), mix={"noises": ("ambient", "white")} | mix)
        records = [record("a"), *(record(f"n{k}", "noise", group=f"n{k}") for k in range(5))]
        made = plan.plan(asked, corpus(records, 0.3))
        groups = [plan.noise_groups(t, asked).values() for t in made.noise.values()]
        return {keys.noise_key(mine, asked) for group in groups for mine in group}

    assert found() == found()
    assert not found() & found(
        track=0.6
    )  # pieces shorter than a track are the same, its row is not
    assert not found() & found(noises=("white", "ambient"))
    assert not found() & found(seed=1)


def test_draws_point_at_the_tasks_own_tracks() -> None:
    asked = recipe(fields=("noisy",), mix={"noises": ("ambient", "white"), "tracks": 9})
    records = [record(f"{k}", group=f"g{k}") for k in range(9)]
    records += [record(f"n{k}", "noise", group=f"n{k}") for k in range(9)]
    made = plan.plan(asked, corpus(records))
    for task in made.tasks:
        used = {d.track for i in task.items for per in i.draws for d in per}
        assert used == set(range(len(task.tracks)))
        assert all(t in made.noise[task.split] for t in task.tracks)
        assert _kinds_agree(task, asked)


def _kinds_agree(task: Task, asked: Recipe) -> bool:
    assert asked.mix is not None
    return all(
        task.tracks[d.track].kind == asked.mix.noises[d.kind]
        for i in task.items
        for per in i.draws
        for d in per
    )


def test_a_fingerprint_moves_with_the_recipe_the_corpus_and_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = corpus([record("a")])
    base = keys.fingerprint(recipe(), found)
    assert keys.fingerprint(recipe(), found) == base
    assert keys.fingerprint(replace(recipe(), about="other"), found) != base
    assert keys.fingerprint(recipe(), replace(found, key="other")) != base
    monkeypatch.setattr(code, "version", lambda *_: "another")
    assert keys.fingerprint(recipe(), found) != base


def test_group_numbers_survive_float_free_storage() -> None:
    numbers = [i.group for i in items(plan.plan(recipe(), corpus([record("a"), record("b")])))]
    assert all(int(np.int64(n)) == n > 0 for n in numbers)
