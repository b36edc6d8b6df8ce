"""Examples: what is stored is what a whole-file computation gives, and every label is true.

Reads and writes nothing.
"""

from dataclasses import replace
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import examples
from pipeline.cookbook import load
from pipeline.dsp import activity, mix, statistics
from pipeline.items import Item
from pipeline.recipe import Feature, Labels, Recipe
from pipeline.tracks import Draw
from tests.made import MEL, RATE, Sounds, recipe

MUSICNN = load(["musicnn"])[0]


def wave(n: int, seed: int = 0) -> np.ndarray:
    t = np.arange(n) / RATE
    x = 0.1 * np.sin(2 * np.pi * 300 * t) + 0.05 * np.random.default_rng(seed).standard_normal(n)
    return x.astype(np.float32)


def item(n: int, count: int = 1, **told: Any) -> Item:
    base = Item("a" * 64, "p", begin=0, length=n, first=0, count=count, group=7, fold=-1)
    return replace(base, **told)


def make(
    asked: Recipe, x: np.ndarray, *items: Item, noise: Any = None, tags: int = 0
) -> examples.Batch:
    packs = {"p": Sounds({"a" * 64: x})}
    return examples.make(items, asked, tags, packs, noise)  # type: ignore[arg-type]


# ------------------------------------------------------------------ windows


def test_windows_are_cut_where_they_are_said_to_start() -> None:
    x = wave(5000)
    found = make(recipe(), x, item(5000, first=2, count=4)).done()
    assert list(found["start"]) == [1600, 2400, 3200, 4000]
    assert list(found["valid"]) == [800] * 4
    for row, start in zip(found["wave"], found["start"], strict=True):
        assert np.array_equal(row, x[start : start + 800])
    assert set(found["source"]) == {b"a" * 32}
    assert set(found["group"]) == {7}
    assert set(found["fold"]) == {-1}


def test_a_stretch_ends_where_it_ends_though_the_recording_goes_on() -> None:
    x = wave(5000)
    found = make(recipe(), x, item(1000, begin=300, count=2)).done()
    assert list(found["start"]) == [300, 1100]
    assert list(found["valid"]) == [800, 200]
    assert np.array_equal(found["wave"][1][:200], x[1100:1300])
    assert not found["wave"][1][200:].any()


def test_a_short_window_is_repeated_when_asked() -> None:
    x = wave(300)
    found = make(recipe(window={"pad": "repeat"}), x, item(300)).done()
    assert np.array_equal(found["wave"][0], np.concatenate([x, x, x[:200]]))
    assert found["valid"][0] == 300


def test_labels_and_tags() -> None:
    asked = recipe(fields=("wave", "label"), labels=Labels("class"), needs="label")
    assert make(asked, wave(800), item(800, label=3)).done()["label"].tolist() == [3]
    asked = recipe(fields=("wave", "tags"), labels=Labels("tags"), needs="tags")
    found = make(asked, wave(800), item(800, tags=(0, 2)), tags=4).done()["tags"]
    assert found.tolist() == [[1, 0, 1, 0]]
    assert make(asked, wave(800), item(800), tags=4).done()["tags"].tolist() == [[0, 0, 0, 0]]


# ------------------------------------------------------------------ who speaks when


TALK = recipe(
    fields=("activity",), labels=Labels("activity", speakers=2, frame=100), needs="speakers"
)


def speaks(*turns: tuple[int, int, str], start: int = 0, speakers: int = 2) -> Any:
    asked = replace(TALK, labels=replace(TALK.labels, speakers=speakers))
    found = activity.activity(turns, start, asked)
    return None if found is None else ["".join(map(str, column)) for column in found.T]


def test_a_frame_is_active_from_half_of_it_on() -> None:
    assert speaks((50, 250, "a")) == ["11100000", "00000000"]
    assert speaks((51, 249, "a")) == ["01000000", "00000000"]
    assert speaks((0, 49, "a"), (99, 100, "a")) == ["10000000", "00000000"]  # 49 + 1 in one frame
    assert speaks((0, 49, "a"), (99, 100, "b")) == ["00000000", "00000000"]


def test_turns_that_overlap_do_not_count_twice() -> None:
    assert speaks((0, 30, "a"), (0, 30, "a")) == ["00000000", "00000000"]
    assert speaks((0, 30, "a"), (10, 40, "a"), (20, 49, "a")) == ["00000000", "00000000"]
    assert speaks((0, 30, "a"), (10, 50, "a")) == ["10000000", "00000000"]
    assert speaks((0, 800, "a"), (100, 200, "a")) == ["11111111", "00000000"]


def test_speakers_stand_in_the_order_in_which_they_appear() -> None:
    assert speaks((400, 500, "a"), (100, 200, "b")) == ["01000000", "00001000"]
    # In this window b is first, though a spoke before it began.
    early = ((0, 100, "a"), (900, 1000, "b"), (1200, 1300, "a"))
    assert speaks(*early, start=800) == ["01000000", "00001000"]
    assert speaks(*early) == ["10000000", "00000000"]


def test_too_many_speakers_are_no_example_and_are_counted() -> None:
    three = ((0, 100, "a"), (100, 200, "b"), (200, 300, "c"))
    assert speaks(*three) is None
    assert speaks(*three, speakers=3) == ["10000000", "01000000", "00100000"]
    assert speaks(*three[:2], (900, 999, "c")) is not None  # not in this window
    made = make(TALK, wave(1600), item(1600, 2, turns=three))
    assert made.count == 1
    assert made.done()["start"].tolist() == [800]
    assert made.skipped == {"too_many_speakers": 1}


TURNS = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 400), st.sampled_from("ab")), max_size=12
)


@given(TURNS, st.integers(0, 300))
@settings(max_examples=100)
def test_activity_is_what_a_count_of_samples_gives(
    turns: list[tuple[int, int, str]], start: int
) -> None:
    told = tuple((low, low + length, who) for low, length, who in turns)
    spoken = {who: np.zeros(2000, bool) for _, _, who in told}
    for low, high, who in told:
        spoken[who][low:high] = True
    heard = {w: s[start : start + 800] for w, s in spoken.items() if s[start : start + 800].any()}
    columns = sorted(
        (s.reshape(8, 100).sum(axis=1) >= 50).astype(int).tolist() for s in heard.values()
    )
    found = activity.activity(told, start, TALK)
    assert found is not None
    assert sorted(found.T.tolist()) == sorted([*columns, *[[0] * 8] * (2 - len(columns))])


# ------------------------------------------------------------------ features


def test_frames_of_a_recording_are_those_of_the_whole_file() -> None:
    """librosa's spectrum of the whole clip, cut into patches, as the published extractor does."""
    asked = replace(MUSICNN, output=replace(MUSICNN.output, fields=("logmel",)))
    x = np.random.default_rng(1).standard_normal(47872 * 3 + 5000).astype(np.float32) * 0.1
    whole = librosa.feature.melspectrogram(
        y=x, sr=16000, n_fft=512, hop_length=256, n_mels=96, pad_mode="constant"
    )
    whole = np.log10(1 + 10000 * whole.T)
    found = make(asked, x, item(len(x), 3)).done()["logmel"]
    assert found.shape == (3, 187, 96)
    np.testing.assert_allclose(found.reshape(-1, 96), whole[: 3 * 187], atol=2e-4)


def test_a_short_clip_is_repeated_before_its_frames_are_taken() -> None:
    asked = replace(MUSICNN, output=replace(MUSICNN.output, fields=("logmel",)))
    x = np.random.default_rng(2).standard_normal(20000).astype(np.float32) * 0.1
    repeated = np.resize(x, 47872)
    whole = librosa.feature.melspectrogram(
        y=repeated, sr=16000, n_fft=512, hop_length=256, n_mels=96, pad_mode="constant"
    )
    found = make(asked, x, item(len(x))).done()["logmel"][0]
    np.testing.assert_allclose(found, np.log10(1 + 10000 * whole.T)[:187], atol=2e-4)


@pytest.mark.parametrize("pad", ["zero", "repeat"])
@pytest.mark.parametrize("n", [1, 127, 799, 800, 801, 1279])
def test_frames_of_a_recording_near_its_end(n: int, pad: str) -> None:
    feature = Feature(kind="mel", n_fft=256, hop=128, mels=20)
    asked = recipe(
        fields=("logmel",), feature=feature,
        window={"samples": 1280, "hop": 1280, "edges": "recording", "pad": pad},
    )  # fmt: skip
    x = wave(n)
    found = make(asked, x, item(n)).done()["logmel"][0]
    whole = np.resize(x, 1280) if pad == "repeat" else np.pad(x, (0, 1280 - n))
    expected = librosa.feature.melspectrogram(
        y=whole, sr=RATE, n_fft=256, hop_length=128, n_mels=20, pad_mode="constant"
    )
    np.testing.assert_allclose(found, expected.T[:10], rtol=1e-3, atol=1e-6)


def test_a_windows_own_frames_see_nothing_of_its_neighbours() -> None:
    x = wave(2400)
    found = make(recipe(fields=("logmel",)), x, item(2400, 3)).done()["logmel"]
    loud = x.copy()
    loud[:800] *= 5
    loud[1600:] *= 5
    other = make(recipe(fields=("logmel",)), loud, item(2400, 3)).done()["logmel"]
    assert np.array_equal(found[1], other[1])
    assert not np.allclose(found[0], other[0])


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("none", lambda p: p),
        ("ln", lambda p: np.log(p + 1e-6)),
        ("log10_1p", lambda p: np.log10(1 + 10000 * p)),
        ("db", lambda p: librosa.power_to_db(p, ref=1.0, amin=1e-10, top_db=None)),
    ],
)
def test_each_logarithm(log: str, expected: Any) -> None:
    x = wave(800)
    power = examples.feature(x, MEL, recipe())
    found = examples.feature(x, replace(MEL, log=log), recipe())  # type: ignore[arg-type]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(power.astype(np.float64)), rtol=1e-5, atol=1e-5)


def test_decibels_under_the_windows_own_peak() -> None:
    x = wave(800)
    x[400:] = 0
    power = examples.feature(x, MEL, recipe()).astype(np.float64)
    found = examples.feature(x, replace(MEL, log="db", ref=0.0, top_db=30.0), recipe())
    np.testing.assert_allclose(
        found, librosa.power_to_db(power, ref=np.max, top_db=30.0), atol=1e-4
    )
    assert found.max() == pytest.approx(0, abs=1e-6)
    assert found.min() == -30


# ------------------------------------------------------------------ mixtures


NOISE = np.random.default_rng(9).standard_normal(4000).astype(np.float32) * 0.1


def noise(track: int) -> tuple[str, np.ndarray]:
    return "abc"[track] * 64, (NOISE, np.zeros(4000, np.float32), NOISE[:500])[track]


def mixed(*draws: Draw, x: np.ndarray | None = None, **told: Any) -> examples.Batch:
    asked = recipe(
        fields=told.pop("fields", ("noisy", "clean")), mix={"noises": ("white", "pink")} | told
    )
    one = item(800, draws=(draws,))
    return make(asked, wave(800) if x is None else x, one, noise=noise)


def test_a_mixture_holds_what_its_label_says() -> None:
    found = mixed(Draw(0, 0, 100), Draw(1, 2, 77)).done()
    assert found["noise_kind"].tolist() == [0, 1]
    assert found["noise_source"].tolist() == [b"a" * 32, b"c" * 32]
    assert found["noise_start"].tolist() == [100, 77]
    assert found["requested"].tolist() == [0, 10]
    for k, track in enumerate((0, 2)):
        clean, noisy = found["clean"][k], found["noisy"][k]
        rest = noisy.astype(np.float64) - clean
        ratio = 20 * np.log10(np.sqrt((clean.astype(np.float64) ** 2).mean()) / rest.std())
        assert found["achieved"][k] == pytest.approx(ratio, abs=1e-3)
        assert found["achieved"][k] == pytest.approx(found["requested"][k], abs=0.01)
        fitted = mix.fit(noise(track)[1], 800, found["noise_start"][k])
        scale, gain = np.float64(found["scale"][k]), np.float64(found["gain"][k])
        np.testing.assert_allclose(noisy, gain * (wave(800) + scale * fitted), atol=1e-6)


def test_features_are_those_of_the_mixture() -> None:
    found = mixed(Draw(0, 0, 0), Draw(0, 0, 9), fields=("logmel", "noisy")).done()
    for k in range(2):
        assert np.array_equal(
            found["logmel"][k], examples.feature(found["noisy"][k], MEL, recipe())
        )


def test_what_cannot_be_mixed_is_left_out_and_counted() -> None:
    made = mixed(Draw(0, -1, 0), Draw(1, 0, 5))
    assert (made.count, dict(made.skipped)) == (1, {"no_white_in_split": 1})
    made = mixed(Draw(0, 1, 0), Draw(1, 0, 5))
    assert (made.count, dict(made.skipped)) == (1, {"silent_noise": 1})
    assert made.done()["requested"].tolist() == [10]
    made = mixed(Draw(0, 0, 0), Draw(1, 0, 5), x=np.zeros(800, np.float32))
    assert (made.count, dict(made.skipped)) == (0, {"silent_clean": 2})
    made = mixed(Draw(0, 0, 0), Draw(1, 0, 5), x=np.zeros(800, np.float32), kind="level",
                 values=(0.01, 0.1))  # fmt: skip
    assert made.count == 2  # white noise over silence is what it says


def test_a_plan_for_the_loader_says_the_same_as_the_mixtures() -> None:
    draws = (Draw(0, 0, 100), Draw(1, 2, 77))
    done = mixed(*draws).done()
    told = mixed(*draws, materialise=False, fields=("clean",)).done()
    assert len(told["clean"]) == 1
    assert np.array_equal(told["clean"][0], wave(800))
    for name in (
        "noise_kind",
        "noise_source",
        "noise_start",
        "requested",
        "achieved",
        "scale",
        "gain",
    ):
        assert told[name][0].tolist() == done[name].tolist()


def test_a_plan_with_a_hole_says_so() -> None:
    told = mixed(Draw(0, -1, 0), Draw(1, 0, 5), materialise=False, fields=("clean",)).done()
    assert told["noise_kind"].tolist() == [[-1, 1]]
    assert told["noise_source"].tolist() == [[b"", b"a" * 32]]
    assert told["gain"][0, 0] == 1
    assert told["scale"][0, 0] == told["achieved"][0, 0] == 0
    made = mixed(Draw(0, -1, 0), Draw(1, -1, 0), materialise=False, fields=("clean",))
    assert (made.count, sum(made.skipped.values())) == (0, 2)


# ------------------------------------------------------------------ statistics


def stats(found: list[Any]) -> tuple[int, np.ndarray, np.ndarray]:
    count, total, squares = found
    mean = np.array(total) / count
    return count, mean, np.sqrt(np.array(squares) / count - mean**2)


def test_sums_give_the_mean_and_deviation_of_each_band() -> None:
    asked = recipe(fields=("logmel", "wave", "label"), labels=Labels("class"), needs="label")
    done = make(asked, wave(8000), item(8000, 10, label=1)).done()
    sums = statistics.sums(done, asked)
    assert set(sums) == {"logmel", "wave"}
    count, mean, deviation = stats(sums["logmel"])
    flat = done["logmel"].reshape(-1, 20).astype(np.float64)
    assert count == len(flat) == 70
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(deviation, flat.std(axis=0), rtol=1e-6)
    count, mean, deviation = stats(sums["wave"])
    assert count == 8000
    np.testing.assert_allclose(deviation, [done["wave"].astype(np.float64).std()], rtol=1e-9)


def test_padding_does_not_count() -> None:
    asked = recipe(fields=("logmel", "wave"))
    x = wave(1057)
    done = make(asked, x, item(1057, 2)).done()
    assert done["valid"].tolist() == [800, 257]
    sums = statistics.sums(done, asked)
    assert sums["wave"][0] == 1057
    assert sums["logmel"][0] == 7 + 3  # frames that start within 257 samples: at 0, 128 and 256
    again = recipe(fields=("logmel", "wave"), window={"pad": "repeat"})
    done = make(again, x, item(1057, 2)).done()
    assert statistics.sums(done, again)["wave"][0] == 1600  # repeated sound is sound
