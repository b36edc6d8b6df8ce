"""Who talks in simulated conversations: drawn by names, told apart by split, true to the corpus.

Reads and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline import casts, draws, plan
from pipeline.audio.pcm import resampled_length
from pipeline.corpus import Corpus
from pipeline.items import Item, Talk
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Conversation, Labels, Recipe
from pipeline.scan import Record
from tests.made import RATE, corpus, ident, recipe, record

FIELDS = ("logmel", "activity", "voices")
SECONDS = 10


def asked(**told: Any) -> Recipe:
    c = Conversation(
        speakers=(2, 3), pause=0.5, offset=0.2, spread=0.5, interject=0.1, voices=(0.8, 1.0, 1.25)
    )
    made = recipe(
        fields=FIELDS,
        mix={"noises": ("white", "pink", "ambient"), "values": (5.0, 10.0, 20.0)},
        window={"samples": SECONDS * RATE, "hop": SECONDS * RATE},
        labels=Labels("activity", speakers=4, frame=80),
    )
    return replace(made, conversation=replace(c, **({"train": 12, "valid": 4, "test": 4} | told)))


def voices(count: int = 12, files: int = 3) -> list[Record]:
    return [record(f"s{k}-{f}", group=f"s{k}") for k in range(count) for f in range(files)]


def splits(records: Sequence[Record], **told: str) -> dict[str, str]:
    """Two thirds of the groups for training, the others in turn."""
    names = sorted({r.group or r.id for r in records})
    turn = ("train", "train", "train", "train", "valid", "test")
    return {name: turn[k % 6] for k, name in enumerate(names)} | told


def spoken(records: Sequence[Record], seconds: Any = 3.0, **told: str) -> Corpus:
    return corpus(records, seconds, splits(records, **told))


def planned(recipe: Recipe, found: Corpus) -> dict[str, Item]:
    return {i.id: i for task in plan.plan(recipe, found).tasks for i in task.items}


def talk(item: Item) -> Talk:
    assert item.talk is not None
    return item.talk


def speakers(item: Item, found: Corpus) -> list[str]:
    """The groups of a conversation, by their recordings."""
    owner = {r.id: r.group for r in found.records}
    held = [{owner[p.id] for p in v.pieces} for v in talk(item).voices]
    assert all(len(names) == 1 for names in held)
    return [str(names.pop()) for names in held]


def test_so_many_of_each_split_and_speakers_in_turn() -> None:
    found = spoken(voices())
    made = plan.plan(asked(), found)
    for split, count in (("train", 12), ("valid", 4), ("test", 4)):
        items = [i for t in made.tasks if t.split == split for i in t.items]
        assert len(items) == count
        sizes = sorted(len(talk(i).voices) for i in items)
        few = [2] * count  # valid and test have two speakers here
        assert sizes == ([2] * 6 + [3] * 6 if split == "train" else few)
    assert not made.skipped


def test_speakers_differ_and_stay_in_their_split() -> None:
    found = spoken(voices())
    heard: dict[str, set[str]] = {split: set() for split in SPLITS}
    ids: dict[str, set[int]] = {split: set() for split in SPLITS}
    for task in plan.plan(asked(train=40), found).tasks:
        for item in task.items:
            names = speakers(item, found)
            assert len(set(names)) == len(names)
            heard[task.split] |= set(names)
            ids[task.split] |= {v.id for v in talk(item).voices}
    for split, names in heard.items():
        assert names == {g for g, s in found.split_of.items() if s == split}
    assert not ids["train"] & ids["test"]
    assert not ids["valid"] & ids["test"]


def test_new_voices_are_made_for_training_alone() -> None:
    found = spoken(voices())
    for task in plan.plan(asked(train=40), found).tasks:
        for item in task.items:
            for name, v in zip(speakers(item, found), talk(item).voices, strict=True):
                assert v.speed in ((0.8, 1.0, 1.25) if task.split == "train" else (1.0,))
                assert v.id == draws.number(f"{name}\x1f{v.speed:g}")
    speeds = [v.speed for i in planned(asked(train=40), found).values() for v in talk(i).voices]
    assert set(speeds) == {0.8, 1.0, 1.25}


def test_one_more_conversation_changes_none_and_neither_does_the_order_of_files() -> None:
    records = voices()
    base = planned(asked(), spoken(records))
    more = planned(asked(train=13, test=9, valid=0), spoken(records))
    assert len(base.keys() & more.keys()) == 16
    assert all(_same(base[k], more[k]) for k in base.keys() & more.keys())
    assert planned(asked(), spoken(records[::-1])) == base


def _same(one: Item, other: Item) -> bool:
    """But for the place of the noise in its task."""
    return replace(one, draws=()) == replace(other, draws=())


def test_one_more_speaker_changes_the_conversations_it_wins() -> None:
    records = voices(30)
    newcomer = [record("new", group="new")]
    before = spoken(records, new="train")
    after = spoken(records + newcomer, new="train")
    after.split_of.update(before.split_of)  # type: ignore[attr-defined]
    old, new = planned(asked(train=60), before), planned(asked(train=60), after)
    assert old.keys() == new.keys()
    won = {k for k, i in new.items() if "new" in speakers(i, after)}
    changed = {k for k in old if not _same(old[k], new[k])}
    assert 0 < len(won) < 30
    assert changed == won


def test_one_more_recording_changes_its_speaker_alone() -> None:
    before = spoken(voices())
    after = spoken([*voices(), record("s0-new", group="s0")])
    old, new = planned(asked(), before), planned(asked(), after)
    changed = {k for k in old if not _same(old[k], new[k])}
    assert changed
    assert all("s0" in speakers(new[k], after) for k in changed)


def test_pieces_are_long_enough_and_lie_in_their_recordings() -> None:
    records = voices(6, files=8)
    seconds = {r.path: 100.0 if r.path.endswith("-1") else 4.0 for r in records}
    found = spoken(records, seconds)
    starts = set()
    for item in planned(asked(), found).values():
        for v in talk(item).voices:
            held = sum(p.length for p in v.pieces)
            need = casts.ENOUGH * SECONDS * RATE * v.speed / len(talk(item).voices)
            assert held >= need > held - v.pieces[-1].length
            assert len({p.id for p in v.pieces}) == len(v.pieces)
            for p in v.pieces:
                r = found.decoded.recordings[p.id]
                whole = resampled_length(r.frames, r.rate, RATE)
                assert p.length == min(whole, casts.LONGEST * RATE)
                assert 0 <= p.start <= whole - p.length
                starts.add(p.start)
    assert len(starts) > 3  # a long recording is not always heard from its start


def test_the_noise_is_of_a_kind_that_the_split_has() -> None:
    found = spoken([*voices(), record("rain", "noise", group="rain")], rain="train")
    made = plan.plan(asked(train=60, test=60), found)
    kinds: dict[str, set[str]] = {}
    for task in made.tasks:
        for item in task.items:
            ((draw,),) = item.draws
            assert draw.track >= 0
            assert task.tracks[draw.track] in made.noise[task.split]
            kinds.setdefault(task.split, set()).add(task.tracks[draw.track].kind)
            assert talk(item).snr in (5.0, 10.0, 20.0)
    assert kinds["train"] == {"white", "pink", "ambient"}
    assert kinds["test"] == {"white", "pink"}
    used = {t.id for task in made.tasks for t in task.tracks}
    assert {t.id for tracks in made.noise.values() for t in tracks} == used


def test_a_split_without_two_speakers_has_none_and_says_so() -> None:
    records = voices(6, files=1)  # four to train on, one of each other
    found = spoken(records)
    made = plan.plan(asked(), found)
    assert {t.split for t in made.tasks} == {"train"}
    assert made.skipped == {"one_speaker_in_valid": 4, "one_speaker_in_test": 4}
    assert not made.noise["test"]
    assert plan.lacks(asked(), found) == ""


def test_what_is_lacking_is_told() -> None:
    alone = spoken(voices(6), s1="test", s2="test", s3="test")
    assert plan.lacks(asked(), alone) == "two speakers or more of role clean; here: 1 in train"
    assert plan.lacks(asked(train=0), alone) == ""
    nobody = spoken(voices(6))
    told = plan.lacks(asked(train=0), nobody)
    assert told == "two speakers or more of role clean; here: 1 in valid, 1 in test"
    assert "role clean" in plan.lacks(asked(), corpus([record("a", "noise")]))


def test_keys_hold_what_decides_bytes() -> None:
    def made(told: Recipe, found: Corpus) -> dict[str, str]:
        return {task.name: task.key for task in plan.plan(told, found).tasks}

    found = spoken(voices())
    base = made(asked(), found)
    for change in ({"pause": 0.6}, {"offset": 0.1}, {"spread": 0.1}, {"interject": 0.2},
                   {"echo": (0.1, 0.2)}, {"seed": 1}):  # fmt: skip
        assert not set(made(asked(**change), found).values()) & set(base.values()), change
    kept = made(asked(test=5, speakers=(2, 3, 2, 3)), found)
    assert {k: v for k, v in kept.items() if k[:4] != "test"} == {
        k: v for k, v in base.items() if k[:4] != "test"
    }
    found.decoded.packs[ident("s0-0")] = "111.pcm"
    assert made(asked(), found) == base


def test_any_two_may_meet() -> None:
    found = spoken(voices(9))  # six to train on
    met = {frozenset(speakers(i, found)) for i in planned(asked(train=300, test=0), found).values()}
    assert len([pair for pair in met if len(pair) == 2]) >= 15 - 1
