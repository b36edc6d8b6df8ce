"""Conversations from end to end: whoever is said to speak is heard, and nobody else.

Reads and writes in pytest's folders. Does: builds conversations of speakers who are pure tones, so
that who speaks when can be told from the stored sound by a formula that is not ours.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import librosa
import numpy as np
import pytest
import soundfile as sf

from pipeline import cookbook, draws, verify
from tests import corpus, here

RATE, SECONDS, HOP = 8000, 20, 80
SPEAKERS = {f"s{k}": 300.0 + 200.0 * k for k in range(10)}  # Hz
SPLIT = ("train",) * 5 + ("valid",) * 2 + ("test",) * 3
RECIPE = f"""\
name = "tones"
about = "conversations of tones"
[select]
roles = ["clean"]
[audio]
rate = {RATE}
[window]
samples = {SECONDS * RATE}
hop = {SECONDS * RATE}
edges = "recording"
[conversation]
train = 9
valid = 3
test = 6
speakers = [2, 3, 4]
pause = 0.5
offset = 0.2
spread = 0.6
interject = 0.2
[mix]
kind = "snr"
values = [10.0, 20.0, 30.0]
noises = ["white", "ambient"]
speech_level = "p56"
track = 1.0
tracks = 2
[features.logmel]
kind = "mel"
n_fft = 256
win = 200
hop = {HOP}
mels = 20
log = "ln"
[labels]
kind = "activity"
frame = {HOP}
[output]
fields = ["wave", "clean", "logmel", "activity", "voices"]
formats = ["hdf5"]
shard_mb = 1
"""
HEARD = here.changed(RECIPE, name="heard", conversation__train=0, conversation__valid=0,
                     output__fields=["wave", "logmel", "activity", "voices"])  # fmt: skip
Row = dict[str, Any]


def tones(folder: Path) -> Path:
    """Ten speakers of two files each, three words in a file, and noise for training alone."""
    folder.mkdir(parents=True)
    lines = ["path,role,group,split"]
    random = np.random.default_rng(0)
    for (name, hertz), split in zip(SPEAKERS.items(), SPLIT, strict=True):
        for take in range(2):
            wave = np.zeros(7 * 16000)
            for word in range(3):
                start, n = (
                    round((0.5 + 2.2 * word) * 16000),
                    round(random.uniform(0.5, 1.7) * 16000),
                )
                wave[start : start + n] = 0.2 * np.sin(2 * np.pi * hertz * np.arange(n) / 16000)
            wave += 1e-4 * random.standard_normal(len(wave))
            sf.write(folder / f"{name}-{take}.wav", wave, 16000, "PCM_16")
            lines.append(f"{name}-{take}.wav,clean,{name},{split}")
    sf.write(folder / "rain.wav", corpus.noise(1, 3.0, "rain"), 16000, "PCM_16")
    lines.append("rain.wav,noise,rain,train")
    (folder / "melmill.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("talk")
    asked = corpus.recipes(root / "recipes", RECIPE, HEARD)
    here.features(tones(root / "data"), root / "artifacts", asked)
    return root


def test_the_summary_says_of_whom_conversations_are_made(world: Path, tmp_path: Path) -> None:
    asked = ("--recipe", corpus.recipes(world / "recipes", RECIPE))
    named = ("--data", world / "data", "--artifacts", world / "artifacts", *asked)
    said = here.here("features", *named)
    assert "  speakers: 5 in train, 2 in valid, 3 in test\n" in said
    assert "without a speaker's name" not in said
    shutil.copytree(world / "data", tmp_path / "data")
    for path in [*(tmp_path / "data").glob("s9*"), tmp_path / "data" / "rain.wav"]:
        path.unlink()
    (tmp_path / "data" / "melmill.csv").unlink()  # a folder of one, and nobody is named
    flat = ("--data", tmp_path / "data", "--role", "clean", "--artifacts", tmp_path / "a", *asked)
    assert "  18 recordings without a speaker's name: each counts as one" in here.here(
        "features", *flat
    )


def rows(world: Path, name: str = "tones") -> Iterator[Row]:
    folder = world / "artifacts" / name
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        with h5py.File(folder / shard["path"]) as file:
            arrays = {key: file[key][:] for key in file}
        for i in range(shard["examples"]):
            yield {k: v[i] for k, v in arrays.items()} | {"split": shard["split"]}


def voice(name: str) -> int:
    return draws.number(f"{name}\x1f1")


NAMES = {voice(name): name for name in SPEAKERS}


def test_all_is_good_and_all_is_there(world: Path) -> None:
    code, told = here.verify(world / "artifacts")
    assert code == 0, told
    index = json.loads((world / "artifacts/tones/index.json").read_text())
    assert index["counts"]["examples"] == {"train": 9, "valid": 3, "test": 6}
    assert index["counts"]["skipped"] == {}
    assert set(index["statistics"]) == {"wave", "clean", "logmel"}
    assert "18 mixtures" in told


def test_speakers_are_of_the_split_and_as_many_as_asked(world: Path) -> None:
    split_of = dict(zip(SPEAKERS, SPLIT, strict=True))
    counts: dict[str, list[int]] = {}
    for row in rows(world):
        names = [NAMES[v] for v in row["voices"] if v]
        assert len(set(names)) == len(names)
        assert {split_of[name] for name in names} == {row["split"]}
        assert not row["voices"][len(names) :].any()
        counts.setdefault(row["split"], []).append(len(names))
    assert {s: sorted(c) for s, c in counts.items()} == {
        "train": [2, 2, 2, 3, 3, 3, 4, 4, 4],
        "valid": [2, 2, 2],  # no more are there
        "test": [2, 2, 3, 3, 3, 3],
    }


def amplitude(wave: np.ndarray, hertz: float) -> np.ndarray:
    """Of a tone, in each frame of 10 ms and its neighbours: tones are whole periods apart then."""
    turned = wave.astype(np.float64) * np.exp(-2j * np.pi * hertz * np.arange(len(wave)) / RATE)
    frames = turned.reshape(-1, HOP).mean(axis=1)
    return 2 * np.abs(np.convolve(frames, np.ones(3) / 3, "same"))


def test_whoever_is_said_to_speak_is_heard_and_nobody_else(world: Path) -> None:
    wrong = total = 0
    for row in rows(world):
        for column, who in enumerate(row["voices"]):
            if not who:
                assert not row["activity"][:, column].any()
                continue
            sound = amplitude(row["clean"], SPEAKERS[NAMES[who]])
            heard = sound > 0.5 * np.quantile(sound, 0.95)
            wrong += np.count_nonzero(heard != row["activity"][:, column])
            total += np.count_nonzero(heard)
        columns = [np.argmax(row["activity"][:, k]) for k in range(np.count_nonzero(row["voices"]))]
        assert columns == sorted(columns)  # in the order of their first turn
    assert total > 20000
    assert wrong / total < 0.02


def test_the_snr_is_what_was_asked_and_what_is_stored(world: Path) -> None:
    seen = set()
    for row in rows(world):
        noise = row["wave"].astype(np.float64) - row["clean"]
        speech = row["clean"][row["activity"].any(axis=1).repeat(HOP)].astype(np.float64)
        found = 10 * math.log10(np.mean(speech**2) / np.mean(noise**2))
        assert abs(found - row["achieved"]) < 1.0  # P.56's active time is not quite that of labels
        assert abs(row["achieved"] - row["requested"]) < 0.01
        seen.add(float(row["requested"]))
    assert seen == {10.0, 20.0, 30.0}


def test_noise_of_the_world_is_heard_where_there_is_any(world: Path) -> None:
    kinds: dict[str, set[int]] = {}
    for row in rows(world):
        kinds.setdefault(row["split"], set()).add(int(row["noise_kind"]))
    assert kinds == {"train": {0, 1}, "valid": {0}, "test": {0}}


def test_features_are_those_of_what_is_heard(world: Path) -> None:
    """librosa's spectrum of the whole conversation, less the frame past its end."""
    for row in [r for r in rows(world) if r["split"] == "test"]:
        power = librosa.feature.melspectrogram(
            y=row["wave"], sr=RATE, n_fft=256, win_length=200, hop_length=HOP, n_mels=20,
            center=True, pad_mode="constant",
        ).T[:-1]  # fmt: skip
        assert row["logmel"].shape == (SECONDS * 100, 20) == power.shape
        np.testing.assert_allclose(row["logmel"], np.log(power + 1e-6), atol=2e-3)


def test_the_heard_ones_are_the_test_conversations_bit_for_bit(world: Path) -> None:
    test = {r["source"]: r for r in rows(world) if r["split"] == "test"}
    heard = {r["source"]: r for r in rows(world, "heard")}
    assert test.keys() == heard.keys()
    for source, row in heard.items():
        for name, value in row.items():
            assert np.array_equal(value, test[source][name]), name
    index = json.loads((world / "artifacts/heard/index.json").read_text())
    assert index["counts"]["examples"] == {"train": 0, "valid": 0, "test": 6}
    assert index["statistics"] == {}


def test_the_shipped_pair_differs_in_counts_and_fields_alone() -> None:
    made, heard = (
        cookbook.load([n])[0].resolved() for n in ("conversations", "conversations-heard")
    )
    for table in (made, heard):
        for key in ("name", "about"):
            del table[key]
        for key in ("train", "valid"):
            del table["conversation"][key]
        del table["output"]["fields"]
    assert made == heard


def test_same_bytes_for_any_number_of_workers_and_any_place(world: Path, tmp_path: Path) -> None:
    asked = corpus.recipes(tmp_path / "recipes", RECIPE, HEARD)
    args = ["features", "--data", world / "data", "--recipe", asked, "--artifacts"]
    place = tmp_path / "a folder, elsewhere"
    done = corpus.run([*args, place, "--jobs", 2])
    assert done.returncode == 0, done.stderr
    assert corpus.tree_hash(place) == corpus.tree_hash(world / "artifacts")
    again = here.here(*args, place)
    assert "nothing to do" in again


def test_a_voice_in_two_splits_is_a_leak() -> None:
    """Though no conversation is in both: 0 is nobody, and may be everywhere."""
    one, other = (
        {"group": np.array([g]), "source": np.array([b"%d" % g]), "voices": np.array([[g, 7, 0]])}
        for g in (1, 2)
    )
    assert verify._who(one, False) & verify._who(other, False) == {("voices", 7)}
