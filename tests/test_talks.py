"""Simulated conversations: people take turns as they were told to, and are heard where it says.

Reads and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline import examples, talks
from pipeline.dsp.levels import rms
from pipeline.dsp.voice import PAUSE
from pipeline.items import Item, Talk, Voice
from pipeline.recipe import Conversation, Labels, Output, Recipe
from pipeline.talks import Said, Utterance, take_turns
from pipeline.tracks import Draw, Piece
from tests.made import Sounds, recipe

RATE = 8000
MINUTE = 60 * RATE
USUAL = Conversation(speakers=(2,), pause=0.5, offset=0.2, spread=0.6, interject=0.2, train=1)
POLITE = replace(USUAL, offset=0.3, spread=0.0, interject=0.0)


def lengths(count: int, seed: int = 0) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [list(random.integers(RATE // 2, 3 * RATE, 9)) for _ in range(count)]


def turns(c: Conversation, count: int = 2, seed: int = 0) -> list[Said]:
    return take_turns(lengths(count, seed), MINUTE, RATE, c, np.random.default_rng(seed))


def spans(said: Sequence[Said]) -> list[tuple[int, int, int]]:
    return sorted((s.start, s.start + s.length, s.who) for s in said)


# ------------------------------------------------------------------ turns


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_nobody_talks_over_himself_and_everybody_talks(count: int, seed: int) -> None:
    found = turns(replace(USUAL, spread=3.0, interject=0.9), count, seed)
    assert {s.who for s in found} == set(range(count))
    for who in range(count):
        own = [(a, b) for a, b, k in spans(found) if k == who]
        assert all(b < c for (_, b), (c, _) in zip(own, own[1:], strict=False))
    assert all(0 <= s.start < MINUTE for s in found)


def test_utterances_are_said_one_after_another_and_over_again() -> None:
    said = turns(POLITE)
    for who, held in enumerate(lengths(2)):
        mine = [s for s in said if s.who == who]
        assert [s.which for s in mine] == [k % len(held) for k in range(len(mine))]
        assert [s.length for s in mine] == [held[s.which] for s in mine]


def test_the_polite_leave_the_gap_they_were_told() -> None:
    order = spans(turns(POLITE, 3))
    gaps = [c - b for (_, b, i), (c, _, j) in zip(order, order[1:], strict=False) if i != j]
    assert len(gaps) > 5
    # A speaker who was told to wait longer after his own last word may come in later.
    assert min(gaps) == round(0.3 * RATE)
    assert np.median(gaps) == round(0.3 * RATE)


def test_pauses_have_the_mean_and_are_never_so_short_as_to_be_part_of_speech() -> None:
    pauses = []
    for seed in range(40):
        order = spans(turns(POLITE, 2, seed))
        pauses += [(c - b) / RATE for (_, b, i), (c, _, j) in zip(order, order[1:], strict=False)
                   if i == j]  # fmt: skip
    assert len(pauses) > 200
    assert min(pauses) >= PAUSE - 1 / RATE
    assert np.mean(pauses) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("offset", "spread"), [(0.2, 0.6), (-0.3, 0.2), (1.0, 0.1)])
def test_the_next_one_starts_as_long_after_the_end_as_was_told(
    offset: float, spread: float
) -> None:
    c = replace(USUAL, offset=offset, spread=spread, interject=0.0)
    offsets = []
    for seed in range(40):
        order = turns(c, 4, seed)  # in the order in which it was thought of
        offsets += [(b.start - a.start - a.length) / RATE
                    for a, b in zip(order, order[1:], strict=False) if a.who != b.who]  # fmt: skip
    assert np.median(offsets) == pytest.approx(offset, abs=0.1)
    assert np.std(offsets) == pytest.approx(spread, abs=0.2)


def share(c: Conversation) -> float:
    """Time in which two or more talk, as a part of the time in which anybody does."""
    both = one = 0
    for seed in range(30):
        talking = np.zeros(MINUTE, np.int64)
        for start, stop, _ in spans(turns(c, 2 + seed % 3, seed)):
            talking[start:stop] += 1
        both += np.count_nonzero(talking > 1)
        one += np.count_nonzero(talking)
    return both / one


def test_the_shipped_numbers_overlap_as_people_do() -> None:
    assert 0.05 <= share(USUAL) <= 0.2
    assert share(replace(USUAL, interject=0.0)) < share(USUAL)
    assert share(POLITE) == 0.0
    assert share(replace(USUAL, offset=-0.5)) > share(USUAL)


def test_what_is_said_in_between_is_short_and_inside_a_turn() -> None:
    said = turns(replace(POLITE, interject=1.0, offset=1.0), 2, 3)
    inside = [min(a.length, b.length) for a in said for b in said
              if a.who != b.who and a.start <= b.start < a.start + a.length]  # fmt: skip
    assert inside
    assert max(inside) <= RATE


def test_turns_depend_on_the_stream_alone() -> None:
    assert turns(USUAL, 3, 5) == turns(USUAL, 3, 5) != turns(replace(USUAL, pause=0.6), 3, 5)


# ------------------------------------------------------------------ sound


def speech(seconds: float, hertz: float, lead: float = 0.4, level: float = 0.1) -> np.ndarray:
    """A tone between two silences."""
    n = round(seconds * RATE)
    wave = np.zeros(n + 2 * round(lead * RATE))
    wave[round(lead * RATE) :][:n] = level * np.sin(2 * np.pi * hertz * np.arange(n) / RATE)
    return wave.astype(np.float32)


def test_an_utterance_is_cut_to_what_is_spoken_and_has_a_level_of_one() -> None:
    for level in (0.01, 0.3):
        (found,) = talks.cut(speech(1.0, 440, level=level), RATE)
        assert found.length == pytest.approx(RATE, abs=RATE // 100)
        middle = found.wave[found.margin : found.margin + found.length]
        assert rms(middle) == pytest.approx(1.0, rel=0.01)
    assert talks.cut(np.zeros(RATE, np.float32), RATE) == []


def test_a_long_stretch_is_cut_in_equal_parts() -> None:
    found = talks.cut(speech(20.0, 440), RATE)
    assert [u.length for u in found] == pytest.approx([20 * RATE / 3] * 3, abs=RATE // 100)


def test_sound_stands_where_it_was_placed_and_is_cut_at_the_ends() -> None:
    u = Utterance(np.ones(1000), 100)
    track = talks.placed([Said(0, 0, 500, 800), Said(0, 0, 1950, 300)], [u], 2000)
    assert (track[500:1300] == 1).all()
    assert (np.diff(track[400:500]) > 0).all()  # fades in before, and out after
    assert (np.diff(track[1300:1400]) < 0).all()
    assert not track[:400].any()
    assert not track[1400:1850].any()
    assert (track[1950:] == 1).all()
    assert talks.placed([Said(0, 0, 10, 800)], [u], 2000)[10] == 1
    assert (u.wave == 1).all()


TONES = (300.0, 700.0, 1100.0)


def made(c: Conversation, **window: Any) -> Recipe:
    return replace(recipe(mix={}, window={"samples": 20 * RATE} | window), conversation=c)


def item(count: int = 2, speed: float = 1.0) -> Item:
    whole = len(speech(1.5, 440))
    voices = tuple(Voice(k + 1, speed, (Piece(f"{k}", "p", 0, whole),)) for k in range(count))
    base = Item("a" * 64, "", 0, 20 * RATE, 0, 1, group=7, fold=-1)
    return replace(base, talk=Talk(voices, 10.0))


def packs(count: int = 3, silent: Sequence[int] = ()) -> Any:
    return {"p": Sounds({f"{k}": speech(1.5, TONES[k]) * (k not in silent) for k in range(count)})}


def heard(wave: np.ndarray, hertz: float) -> np.ndarray:
    """Amplitude of a tone in each 10 ms."""
    turned = wave * np.exp(-2j * np.pi * hertz * np.arange(len(wave)) / RATE)
    return 2 * np.abs(turned.reshape(-1, RATE // 100).mean(axis=1))


def test_each_one_is_heard_when_the_turns_say_and_never_else() -> None:
    """By the tone that is each speaker's own: nothing of ours but the turns is asked."""
    asked = made(USUAL)
    found = talks.render(item(3), asked, packs())
    assert found is not None
    for who, hertz in enumerate(TONES):
        told = np.zeros(20 * RATE, bool)
        for start, stop, name in found.turns:
            told[start:stop] |= name == f"{who}"
        frames = told.reshape(-1, RATE // 100).mean(axis=1)
        amplitude = heard(found.wave, hertz)
        assert amplitude[frames == 1].min() > 0.01
        assert np.quantile(amplitude[frames == 0], 0.97) < 0.01  # margins are faded, not silent


def test_without_echo_it_is_the_sum_of_the_dry_voices_each_at_its_level() -> None:
    asked = made(replace(POLITE))
    found = talks.render(item(2), asked, packs())
    assert found is not None
    for who in ("0", "1"):
        own = [(a, b) for a, b, name in found.turns if name == who]
        level = rms(np.concatenate([found.wave[a:b] for a, b in own]))
        assert abs(20 * np.log10(level / talks.LEVEL)) <= talks.APART + 0.1
    spoken = np.zeros(len(found.wave), bool)
    margin = round(talks.MARGIN * RATE)
    for a, b, _ in found.turns:
        spoken[max(0, a - margin) : b + margin] = True
    assert not found.wave[~spoken].any()


def test_echo_rings_on_and_moves_no_label() -> None:
    dry = talks.render(item(2), made(POLITE), packs())
    wet = talks.render(item(2), made(replace(POLITE, echo=(0.3, 0.3))), packs())
    assert dry is not None
    assert wet is not None
    assert wet.turns == dry.turns
    silent = np.flatnonzero(dry.wave == 0)
    assert np.abs(wet.wave[silent]).max() > 1e-3
    lead = min(start for start, _, _ in dry.turns) - round(talks.MARGIN * RATE)
    assert lead > RATE // 10
    assert np.abs(wet.wave[:lead]).max() < 1e-9


def test_a_faster_voice_is_higher_and_shorter() -> None:
    plain, fast = (talks.render(item(2, s), made(POLITE), packs()) for s in (1.0, 1.25))
    assert plain is not None
    assert fast is not None
    loudest = [np.abs(np.fft.rfft(scene.wave)).argmax() / 20 for scene in (plain, fast)]
    assert min(abs(loudest[0] - hertz) for hertz in TONES) < 2
    assert min(abs(loudest[1] - 1.25 * hertz) for hertz in TONES) < 2
    (a, b, _), (c, d, _) = plain.turns[0], fast.turns[0]
    assert (b - a) / (d - c) == pytest.approx(1.25, rel=0.02)


def test_who_says_nothing_is_left_out_and_one_alone_is_no_conversation() -> None:
    found = talks.render(item(3), made(POLITE), packs(silent=[1]))
    assert found is not None
    assert {name for *_, name in found.turns} == {"0", "2"}
    assert talks.render(item(2), made(POLITE), packs(silent=[1])) is None


def test_columns_are_in_the_order_of_the_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of voices and of activity alike, in whatever order turns were thought of."""
    n = 20 * RATE
    told = ((5 * RATE, 9 * RATE, "0"), (2 * RATE, 3 * RATE, "2"), (3 * RATE, 4 * RATE, "1"))
    scene = talks.Scene(speech(19.2, 440)[:n], told)
    monkeypatch.setattr(talks, "render", lambda *_: scene)
    asked = replace(
        made(USUAL),
        labels=Labels("activity", speakers=4, frame=RATE),
        output=Output(("activity", "voices", "wave", "clean"), ("hdf5",)),
    )
    one = replace(item(3), draws=((Draw(0, 0, 0),),))
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    rows = examples.make((one,), asked, 0, {}, lambda _: ("b" * 64, noise)).done()
    assert rows["voices"].tolist() == [[3, 2, 1, 0]]
    seconds = [np.flatnonzero(column).tolist() for column in rows["activity"][0].T]
    assert seconds == [[2], [3], [5, 6, 7, 8], []]
    assert rows["requested"].tolist() == [10.0]  # the conversation's own, not all of the recipe's
    added = rows["wave"][0].astype(np.float64) - rows["clean"][0]
    assert 20 * np.log10(rms(rows["clean"][0]) / rms(added)) == pytest.approx(10, abs=0.5)


class _Loaded:
    """Dice that never choose a new speaker by themselves."""

    def random(self) -> float:
        return 0.9

    def integers(self, high: int) -> int:
        return 0


def test_a_new_speaker_comes_in_when_it_is_late() -> None:
    floor = talks._Floor(lengths(3), MINUTE, RATE, USUAL, _Loaded())  # type: ignore[arg-type]
    floor.next = [2, 1, 0]
    assert floor.following(0, 2 * talks.LATE - 1) == 1
    assert floor.following(0, 2 * talks.LATE) == 2
