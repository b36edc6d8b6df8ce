"""Noise: nobody behind their own voice, nothing from another split, stable under additions.

Reads and writes nothing.
"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import draws, tracks
from pipeline.corpus import Corpus, group
from pipeline.dsp import noise
from pipeline.dsp.levels import rms
from pipeline.recipe import Recipe
from pipeline.tracks import Draw, Piece, Track
from tests.made import RATE, Sounds, corpus, ident, recipe, record

ALL = ("white", "pink", "brown", "ambient", "babble")


def wanted(**mix: object) -> Recipe:
    return recipe(fields=("noisy", "clean"), mix={"noises": ALL, "tracks": 6} | mix)


def world(voices: int = 9, noises: int = 9, **lengths: float) -> Corpus:
    """So many voices of two recordings each, so many noises; a third of each in each split."""
    split = ("train", "valid", "test")
    records = [record(f"v{k}-{i}", group=f"v{k}") for k in range(voices) for i in range(2)]
    records += [record(f"n{k}", "noise", group=f"n{k}") for k in range(noises)]
    split_of = {group(r): split[int(group(r)[1:]) % 3] for r in records}
    return corpus(records, {r.path: lengths.get(r.path, 1.2) for r in records}, split_of)


def drawn(
    found: Corpus, plan: dict[str, list[Track]], asked: Recipe
) -> dict[tuple[str, int], tuple[Draw, ...]]:
    """The draws of every window of every voice."""
    result = {}
    for r in found.used():
        if r.role == "clean":
            table = draws.Table(plan[found.split(r)], asked)
            for start in range(0, 8000, 800):
                result[r.path, start] = table.draw(r.id, start, draws.number(group(r)))
    return result


def test_tracks_stay_in_their_split() -> None:
    found, asked = world(), wanted()
    plan = draws.plan(asked, found)
    path_of = {r.id: r for r in found.used()}
    seen: dict[str, set[str]] = {}
    for split, made in plan.items():
        assert [t.id for t in made] == sorted({t.id for t in made})
        for track in made:
            assert track.split == split
            for piece in track.pieces:
                assert found.split(path_of[piece.id]) == split
                seen.setdefault(piece.id, set()).add(split)
                assert piece.pack == found.decoded.packs[piece.id]
    assert all(len(splits) == 1 for splits in seen.values())
    ids = [t.id for made in plan.values() for t in made]
    assert len(set(ids)) == len(ids)


def test_nobody_is_mixed_with_babble_that_holds_them() -> None:
    found, asked = world(voices=15), wanted(tracks=12)
    plan = draws.plan(asked, found)
    heard = 0
    for (path, _), each in drawn(found, plan, asked).items():
        r = next(r for r in found.used() if r.path == path)
        for draw in each:
            track = plan[found.split(r)][draw.track]
            voices = {group(x) for x in found.used() for p in track.pieces if x.id == p.id}
            assert group(r) not in voices
            heard += track.kind == "babble"
    assert heard > 50


def test_every_voice_finds_babble_without_itself() -> None:
    found, asked = world(voices=15), wanted(noises=("babble",), tracks=5)
    for split, made in draws.plan(asked, found).items():
        voices = {group(r) for r in found.used() if r.role == "clean" and found.split(r) == split}
        assert len(voices) == 5
        for voice in voices:
            assert any(draws.number(voice) not in t.groups for t in made)


@pytest.mark.parametrize(("voices", "expected"), [(1, 0), (2, 1), (3, 2), (5, 4), (9, 4)])
def test_babble_of_few_voices(voices: int, expected: int) -> None:
    records = [record(f"v{k}", group=f"v{k}") for k in range(voices)]
    found = corpus(records, 1.2, {f"v{k}": "train" for k in range(voices)})
    plan = draws.plan(wanted(noises=("babble",)), found)["train"]
    assert {len(t.pieces) for t in plan} == ({expected} if expected else set())
    assert all(len(set(t.groups)) == len(t.pieces) for t in plan)
    asked = wanted(noises=("babble",))
    for r in records:
        for draw in draws.Table(plan, asked).draw(r.id, 0, draws.number(group(r))):
            if voices == 1:
                assert draw == Draw(0, -1, 0)
            else:
                assert draws.number(group(r)) not in plan[draw.track].groups


def test_one_recording_of_a_voice_at_a_time_and_all_get_their_turn() -> None:
    found = world(voices=6)
    plan = draws.plan(wanted(noises=("babble",), tracks=40), found)
    pieces = Counter(p.id for made in plan.values() for t in made for p in t.pieces)
    assert set(pieces) == {r.id for r in found.used() if r.role == "clean"}


def test_ambient_is_every_second_of_every_noise_once() -> None:
    found = world(noises=3, n0=0.2, n1=0.5, n2=1.3)
    plan = draws.plan(wanted(noises=("ambient",)), found)
    parts = {
        next(r.path for r in found.used() if r.id == p.id): (p.start, p.length)
        for made in plan.values()
        for t in made
        for p in t.pieces
        if p.start == 0
    }
    assert parts == {"n0": (0, 1600), "n1": (0, 4000), "n2": (0, 4000)}
    long = [p for made in plan.values() for t in made for p in t.pieces if p.id == ident("n2")]
    assert sorted((p.start, p.length) for p in long) == [(0, 4000), (4000, 4000), (8000, 2400)]
    assert all(t.length == t.pieces[0].length for made in plan.values() for t in made)


@given(st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_an_added_noise_changes_only_the_draws_that_it_wins(number: int) -> None:
    asked = wanted()
    old, new = world(noises=9), world(noises=9)
    extra = record(f"n{3 * number + 100}", "noise", group=f"n{3 * number + 100}")
    new = corpus([*new.records, extra], 1.2, {**new.split_of, group(extra): "train"})
    plans = draws.plan(asked, old), draws.plan(asked, new)
    before, after = drawn(old, plans[0], asked), drawn(new, plans[1], asked)
    won = 0
    for (path, start), each in before.items():
        split = old.split(next(r for r in old.used() if r.path == path))
        for one, other in zip(each, after[path, start], strict=True):
            a, b = plans[0][split][one.track], plans[1][split][other.track]
            if any(p.id == extra.id for p in b.pieces):
                won += 1
            else:
                assert (a.id, one.start, one.kind) == (b.id, other.start, other.kind)
    assert 0 < won < len(before)


def test_a_draw_hangs_on_its_own_name_alone() -> None:
    found, asked = world(), wanted()
    table = draws.Table(draws.plan(asked, found)["train"], asked)
    first = table.draw("a" * 64, 800, 5)
    table.draw("b" * 64, 800, 5)
    assert table.draw("a" * 64, 800, 5) == first
    assert table.draw("a" * 64, 801, 5) != first
    other = draws.Table(draws.plan(wanted(seed=1), found)["train"], wanted(seed=1))
    assert other.draw("a" * 64, 800, 5) != first


def test_kinds_take_turns_and_requests_are_covered() -> None:
    found, asked = world(), wanted(values=(0.0, 5.0, 10.0, 15.0, 20.0))
    plan = draws.plan(asked, found)
    each = list(drawn(found, plan, asked).values())
    assert all(sorted(d.kind for d in five) == [0, 1, 2, 3, 4] for five in each)
    for value in range(5):  # and no kind keeps to one value
        count = Counter(five[value].kind for five in each)
        assert min(count.values()) > len(each) / 5 * 0.5


def test_tracks_of_a_kind_are_used_about_equally() -> None:
    found, asked = world(), wanted(noises=("white",), values=(0.0,), tracks=8)
    table = draws.Table(draws.plan(asked, found)["train"], asked)
    count = Counter(table.draw(ident("x"), start, 1)[0].track for start in range(4000))
    assert set(count) == set(range(8))
    assert min(count.values()) > 400
    assert max(count.values()) < 600
    starts = [table.draw(ident("x"), start, 1)[0].start for start in range(2000)]
    assert 0 <= min(starts) < 40
    assert 3960 < max(starts) < 4000


def test_a_split_without_noise_says_so() -> None:
    asked = wanted(noises=("ambient",))
    assert draws.Table([], asked).draw(ident("x"), 0, 1) == (Draw(0, -1, 0), Draw(0, -1, 0))


def test_a_number_is_positive_and_fits_63_bits() -> None:
    found = {draws.number(f"{k}") for k in range(1000)} | {draws.number("\udcff")}
    assert len(found) == 1001
    assert all(0 < n < 1 << 63 for n in found)


# ------------------------------------------------------------------ tracks


def track(
    kind: str, pieces: tuple[Piece, ...] = (), number: int = 0, split: str = "train"
) -> Track:
    return Track("0" * 64, kind, split, number, 4000, pieces, ())


def voice(seed: int, n: int = 3000) -> np.ndarray:
    t = np.arange(n) / RATE
    return (0.1 * np.sin(2 * np.pi * (150 + 40 * seed) * t)).astype(np.float32)


@pytest.mark.parametrize("kind", list(noise.SLOPES))
def test_synthetic_tracks_are_loud_enough_and_differ(kind: str) -> None:
    made = tracks.render(track(kind), wanted(), {})
    assert made.dtype == np.float32
    assert len(made) == 4000
    assert rms(made) == pytest.approx(0.1, rel=1e-5)
    assert np.abs(made).max() < 1
    assert np.array_equal(made, tracks.render(track(kind), wanted(), {}))
    for other in (track(kind, number=1), track(kind, split="test")):
        assert abs(np.corrcoef(made, tracks.render(other, wanted(), {}))[0, 1]) < 0.2
    assert not np.array_equal(made, tracks.render(track(kind), wanted(seed=1), {}))


def test_an_ambient_track_is_its_piece() -> None:
    x = voice(1, 9000)
    packs = {"p": Sounds({"a": x})}
    made = tracks.render(track("ambient", (Piece("a", "p", 4000, 4000),)), wanted(), packs)  # type: ignore[arg-type]
    assert np.array_equal(made, x[4000:8000])


def test_babble_is_whole_voices_turned_and_repeated() -> None:
    a, b = voice(1), voice(5, 2000)
    packs = {"p": Sounds({"a": a, "b": b})}
    pieces = (Piece("a", "p", 1000, 3000), Piece("b", "p", 0, 2000))
    made = tracks.render(track("babble", pieces), wanted(), packs)  # type: ignore[arg-type]
    turned = np.concatenate([a[1000:], a[:1000]])
    looped = np.concatenate([turned, turned[:1000]])
    expected = noise.babble([looped, np.concatenate([b, b])], RATE)
    np.testing.assert_allclose(made, 0.1 * expected, rtol=1e-6)
    assert rms(made) == pytest.approx(0.1, rel=1e-5)


def test_babble_of_silence_is_silence() -> None:
    packs = {"p": Sounds({"a": np.zeros(3000, np.float32)})}
    made = tracks.render(track("babble", (Piece("a", "p", 0, 3000),)), wanted(), packs)  # type: ignore[arg-type]
    assert made.shape == (4000,)
    assert not made.any()


def test_babble_names_as_many_voices_as_a_shard_can() -> None:
    assert draws.VOICES == tracks.GROUPS
    (groups,) = (f for f in tracks.fields(4000) if f.name == "groups")
    assert groups.shape == (tracks.GROUPS,)


def test_a_tracks_name_moves_with_what_it_is_made_of() -> None:
    def names(**mix: object) -> set[str]:
        plan = draws.plan(wanted(**mix), world())
        return {t.id for made in plan.values() for t in made}

    base = names()
    assert names() == base
    assert not names(seed=1) & base
    assert names(tracks=7) > names(noises=("white", "pink", "brown", "ambient"), tracks=6)
    longer = names(track=0.6)
    assert not {t for t in longer if t in base}
