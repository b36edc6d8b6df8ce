"""From audio files to arrays, against readers and formulas that are not ours.

Reads a part of the demo corpus, made on the spot. Does: builds every shipped recipe, then compares
the shards with soundfile, soxr, librosa and TensorFlow. Writes in pytest's folders.

How near: waveforms to 1e-5 of the window's peak. Spectra to 1e-5 of each value plus 1e-6 of its
frame's strongest band, both as magnitudes: under that lies the rounding of float32 samples, which
no formula can agree on. Vectors to 1e-5 of each number's largest size.
"""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import librosa
import numpy as np
import pytest
import soundfile as sf
import soxr
from scipy.signal import lfilter

from pipeline import cookbook, recipe
from pipeline.demo import corpus as demo
from pipeline.demo import plan as demo_plan
from tests import corpus, here
from training.data.index import load_index

RELATIVE, FLOOR = 1e-5, 1e-6
PARTS = {
    "voices": 9,
    "noise": 16,
    "music": 6,
    "conversations": 3,
    "sounds": 8,
    "songs": 4,
    "broken": 4,
}
PARTED = ("voices", "noise", "sounds")  # into a folder for each voice or class
CUT = [r for r in cookbook.load([]) if not r.conversation]  # those have a module of their own
SPECTRA = [r.name for r in CUT if r.features and "vector" not in r.features]
MIXED = [r.name for r in CUT if r.mix]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demo/ and artifacts/ of all shipped recipes that cut examples from recordings."""
    root = tmp_path_factory.mktemp("whole")
    demo.make(root / "demo", 0, list(_part(demo_plan.plan(0))))
    told = here.here("features", "--data", root / "demo", "--artifacts", root / "artifacts",
                     "--max-rejected", 100, "--recipe", ",".join(r.name for r in CUT))  # fmt: skip
    assert "not built" not in told
    return root


def _part(items: list[demo_plan.Item]) -> Iterator[demo_plan.Item]:
    """Files of as many speakers, classes and artists as the parts allow."""
    taken: dict[str, int] = {}
    groups: dict[str, int] = {}
    for item in items:
        top, rest = item.path.split("/", 1)
        group = f"{top}/{rest.split('/')[0]}" if top in PARTED else item.path
        group = item.row.get("group", group) if top in ("music", "songs") else group
        group = rest[: len("pool-a")] if top == "conversations" else group
        most = 2 if top == "noise" else 1
        if taken.get(top, 0) < PARTS[top] and groups.get(group, 0) < most:
            taken[top] = taken.get(top, 0) + 1
            groups[group] = groups.get(group, 0) + 1
            yield item


def rows(world: Path, name: str) -> Iterator[Row]:
    """Every example of a recipe, by plain h5py, with where it comes from."""
    folder = world / "artifacts" / name
    index = json.loads((folder / "index.json").read_text())
    manifest = [json.loads(line) for line in (world / "artifacts" / "manifest.jsonl").open()]
    path_of = {row["id"][:32]: row["path"] for row in manifest if "id" in row}
    for shard in index["shards"]:
        if shard["format"] == "hdf5":
            with h5py.File(folder / shard["path"]) as file:
                arrays = {key: file[key][:] for key in file}
            for i in range(shard["examples"]):
                row = {key: values[i] for key, values in arrays.items()}
                yield row | {"path": path_of[row["source"].decode()], "split": shard["split"]}


SOUNDS: dict[tuple[Path, int], np.ndarray] = {}


def sound(path: Path, rate: int) -> np.ndarray:
    """The file as it is heard: (n,) float64 at `rate`, channels averaged."""
    if (path, rate) not in SOUNDS:
        samples, native = sf.read(path, always_2d=True)
        SOUNDS[path, rate] = soxr.resample(samples.mean(axis=1), native, rate, "HQ")
    return SOUNDS[path, rate]


def window(whole: np.ndarray, row: Row, n: int, pad: str) -> np.ndarray:
    part = whole[row["start"] : row["start"] + n]
    assert len(part) == row["valid"]
    return np.resize(part, n) if pad == "repeat" else np.pad(part, (0, n - len(part)))


def test_all_is_good(world: Path) -> None:
    code, told = here.verify(world / "artifacts")
    assert code == 0, told
    assert "all good" in told
    for one in CUT:
        index = load_index(world / "artifacts" / one.name)
        assert all(index.examples(split) for split in ("train", "valid", "test")), one.name


@pytest.mark.parametrize("name", [r.name for r in CUT])
def test_waveforms(world: Path, name: str) -> None:
    (one,) = cookbook.load([name])
    field = next((f for f in ("clean", "wave") if f in one.output.fields), "")
    for row in rows(world, name) if field else ():
        whole = sound(world / "demo" / row["path"], one.audio.rate)
        want = window(whole, row, one.window.samples, one.window.pad)
        got = row[field] / np.float64(row.get("gain", 1.0))
        assert np.abs(got - want).max() <= RELATIVE * np.abs(want).max(), row["path"]


def power_of(stored: np.ndarray, f: recipe.Feature) -> np.ndarray:
    """The power that a stored spectrum tells of."""
    wide = stored.astype(np.float64)
    if f.log == "db":
        return 10 ** (wide / 10) * f.ref
    if f.log == "log10_1p":
        return np.expm1(wide * math.log(10)) / f.c
    return np.exp(wide) - f.eps if f.log == "ln" else wide


def reference(whole: np.ndarray, row: Row, f: recipe.Feature, one: recipe.Recipe) -> np.ndarray:
    """librosa's spectrum of the same frames: of the window, or cut from that of the recording."""
    w = one.window
    y = window(whole, row, w.samples, w.pad)
    if w.edges == "recording":
        y = np.pad(whole, (0, max(0, row["start"] + w.samples + f.n_fft - len(whole))))
    made = librosa.feature.melspectrogram(
        y=y, sr=one.audio.rate, n_fft=f.n_fft, hop_length=f.hop, win_length=f.win or f.n_fft,
        n_mels=f.mels, fmin=f.fmin, fmax=f.fmax or None, htk=f.scale == "htk", center=True,
        pad_mode="constant", power=2.0, norm="slaney", dtype=np.float64,
    ).T  # fmt: skip
    if w.edges == "recording":
        first = row["start"] // f.hop
        return made[first : first + w.samples // f.hop]
    return made


@pytest.mark.parametrize("name", SPECTRA)
def test_spectra(world: Path, name: str) -> None:
    (one,) = cookbook.load([name])
    worst, seen = 0.0, 0
    for row in rows(world, name):
        if one.window.edges == "recording" and one.window.pad == "repeat":
            assert row["valid"] == one.window.samples or row["start"] == 0
            if row["valid"] < one.window.samples:
                continue  # a recording under one patch is repeated
        whole = sound(world / "demo" / row["path"], one.audio.rate)
        for field, f in one.features.items():
            want = reference(whole, row, f, one)
            floor = np.sqrt(want.max(axis=1, keepdims=True))
            if f.log == "db":
                low = want.max() / 10 ** (f.top_db / 10) if f.top_db else 0.0
                want = np.maximum(want, max(f.amin, low))
            got = np.maximum(power_of(row[field], f), 0.0)
            assert got.shape == want.shape
            # What float32 logarithms can tell apart is a part of the value: 1e-6 of ln is 1e-6.
            error = np.abs(np.sqrt(got) - np.sqrt(want))
            unit = RELATIVE * np.sqrt(want) + FLOOR * floor + _step(want, f)
            worst = max(worst, float((error / np.maximum(unit, 1e-30)).max()))
            seen += 1
    print(name, seen, worst)
    assert seen
    assert worst <= 1


def _step(want: np.ndarray, f: recipe.Feature) -> np.ndarray:
    """Half a float32 step of the stored logarithm, as a magnitude."""
    eps = 2.0**-23
    if f.log == "ln":
        size = np.abs(np.log(want + f.eps)) * eps * (want + f.eps)
    elif f.log == "log10_1p":
        size = np.log1p(f.c * want) * eps * (want + 1 / f.c)
    else:
        size = np.abs(np.log(want)) * eps * want
    return np.sqrt(want + 4 * size) - np.sqrt(want)


def test_vector(world: Path) -> None:
    (one,) = cookbook.load(["hybrid"])
    f = one.features["vector"]
    names = json.loads((world / "artifacts/hybrid/index.json").read_text())["names"]["vector"]
    got, want = [], []
    for row in rows(world, "hybrid"):
        whole = sound(world / "demo" / row["path"], one.audio.rate)
        y = window(whole, row, one.window.samples, one.window.pad)
        got.append(row["vector"])
        want.append(_vector(y, one.audio.rate, f))
    assert names[0] == "mfcc_01_mean"
    assert names[-1] == "onset_deviation"
    error = np.abs(np.array(got) - np.array(want))
    spread = np.abs(np.array(want)).max(axis=0) + 1e-6
    worst = (error / spread).max(axis=0)
    print(names[int(worst.argmax())], worst.max())
    assert worst.max() <= RELATIVE


def _vector(y: np.ndarray, rate: int, f: recipe.Feature) -> np.ndarray:
    """librosa's features one by one; each takes its own transform."""
    at = {"y": y, "sr": rate, "n_fft": f.n_fft, "hop_length": f.hop}
    spectrum = np.abs(librosa.stft(y, n_fft=f.n_fft, hop_length=f.hop, pad_mode="constant"))
    db = librosa.power_to_db(librosa.feature.melspectrogram(**at, n_mels=f.mels))
    of = {"S": spectrum, "sr": rate}
    parts = [
        librosa.feature.mfcc(S=db, n_mfcc=f.count),
        librosa.feature.spectral_centroid(**of),
        librosa.feature.spectral_bandwidth(**of),
        librosa.feature.spectral_rolloff(**of),
        librosa.feature.spectral_flatness(S=spectrum),
        librosa.feature.spectral_contrast(**of),
        librosa.feature.zero_crossing_rate(y, frame_length=f.n_fft, hop_length=f.hop),
        librosa.feature.rms(y=y, frame_length=f.n_fft, hop_length=f.hop),
        librosa.feature.chroma_stft(S=spectrum**2, sr=rate, tuning=0.0),
        librosa.onset.onset_strength(S=db, sr=rate, n_fft=f.n_fft, hop_length=f.hop)[None],
    ]
    table = np.concatenate(parts)
    return np.stack([table.mean(axis=1), table.std(axis=1)], axis=1).ravel()


def test_activity(world: Path) -> None:
    """A speaker's column, by counting samples of the annotation."""
    (one,) = cookbook.load(["diarization"])
    frame, rate = one.labels.frame, one.audio.rate
    for row in rows(world, "diarization"):
        text = (world / "demo" / row["path"]).with_suffix(".rttm").read_text()
        talking: dict[str, np.ndarray] = {}
        for line in text.splitlines():
            _, _, _, begin, length, _, _, who, *_ = line.split()
            low = round(float(begin) * rate)
            high = round((float(begin) + float(length)) * rate)
            held = talking.setdefault(who, np.zeros(row["start"] + one.window.samples, bool))
            held[low:high] = True
        shares = [held[row["start"] :].reshape(-1, frame).mean(axis=1) for held in talking.values()]
        assert row["activity"].shape == (one.window.samples // frame, one.labels.speakers)
        want = sorted(tuple((share >= 0.5).astype(int)) for share in shares)
        want += [(0,) * len(row["activity"])] * (one.labels.speakers - len(want))
        found = [tuple(column) for column in row["activity"].T.astype(int)]
        assert sorted(found) == sorted(want)


def test_labels_and_tags(world: Path) -> None:
    told = (world / "demo" / "melmill.csv").read_text().splitlines()
    columns = told[0].split(",")
    listed = {line.split(",")[0]: dict(zip(columns, line.split(","), strict=True))
              for line in told[1:]}  # fmt: skip
    for name, field in (("noise-classifier", "label"), ("musicnn", "tags")):
        index = json.loads((world / "artifacts" / name / "index.json").read_text())
        for row in rows(world, name):
            said = listed[row["path"]]
            if field == "label":
                assert index["classes"][row["label"]] == said["label"]
            else:
                held = {t for t, on in zip(index["tags"], row["tags"], strict=True) if on}
                assert held == set(said["tags"].split("|"))


def active(x: np.ndarray, rate: int) -> float:
    """ITU-T P.56 method B by its own steps: envelope, hangover by counting, margin 15.9 dB."""
    g = math.exp(-1 / (0.03 * rate))
    p = lfilter([1 - g], [1, -g], np.abs(x.astype(np.float64)))
    q = lfilter([1 - g], [1, -g], p)
    hang = math.ceil(0.2 * rate)
    energy = float(np.sum(np.square(x, dtype=np.float64)))
    points = []  # (level, margin) under thresholds that fall
    for halving in range(24):
        c = q.max() * 2.0**-halving
        over = np.flatnonzero(q >= c)
        last = np.full(len(q), -(10**9))
        last[over] = over
        count = int(np.sum(np.arange(len(q)) - np.maximum.accumulate(last) <= hang))
        level = 10 * math.log10(energy / max(count, min(hang + 1, len(q))))
        points.append((level, level - 20 * math.log10(c)))
    for (high, less), (low, more) in reversed(list(itertools.pairwise(points))):
        if less < 15.9 <= more:  # the lowest threshold that is near enough, as the standard walks
            return float(high + (15.9 - less) / (more - less) * (low - high))
    return points[0][0]


@pytest.mark.parametrize("name", MIXED)
def test_a_label_is_true(world: Path, name: str) -> None:
    """Every stored level and SNR, measured again in the stored samples."""
    (one,) = cookbook.load([name])
    assert one.mix is not None
    for row in rows(world, name):
        noise = row["noisy"].astype(np.float64) - row["clean"]
        rms = 20 * math.log10(math.sqrt(np.mean(noise**2)))
        if one.mix.kind == "level":
            off = rms - 20 * math.log10(row["requested"] * np.float64(row["gain"]))
            assert abs(rms - 20 * math.log10(row["achieved"])) <= 0.01
        else:
            found = active(row["clean"], one.audio.rate) - rms
            assert abs(found - row["achieved"]) <= 0.01, row["path"]
            off = found - row["requested"]
        assert abs(off) <= 0.01, row["path"]
        assert max(np.abs(row["noisy"]).max(), np.abs(row["clean"]).max()) <= 1


def test_tensorflow_reads_what_the_index_describes(world: Path) -> None:
    """Stock TensorFlow, told nothing but index.json; the arrays are HDF5's, bit for bit."""
    tf = pytest.importorskip("tensorflow")
    seen = 0
    for folder in sorted(p.parent for p in (world / "artifacts").glob("*/index.json")):
        index = json.loads((folder / "index.json").read_text())
        told = index.get("feature_description", {})
        pairs: dict[str, dict[str, str]] = {}
        for shard in index.get("shards", []):
            pairs.setdefault(Path(shard["path"]).stem, {})[shard["format"]] = shard["path"]
        for pair in [p for p in pairs.values() if len(p) == 2]:
            spec = {n: tf.io.FixedLenFeature(d["shape"], d["dtype"]) for n, d in told.items()}
            records = tf.data.TFRecordDataset(str(folder / pair["tfrecord"]))
            parsed = tf.io.parse_example(list(records.as_numpy_iterator()), spec)
            with h5py.File(folder / pair["hdf5"]) as file:
                assert set(file) == set(parsed)
                for name in file:
                    ours, theirs = file[name][:], parsed[name].numpy()
                    same = ours.tobytes() == theirs.astype(ours.dtype).tobytes()
                    assert same, (folder.name, name)
            seen += 1
    assert seen > 10


LOUD = here.changed(
    corpus.MIX, mix__values=[-30.0, 0.0, 15.0], mix__noises=["white", "ambient", "babble"]
)


@pytest.mark.parametrize("kind", ["snr", "level"])
def test_a_plan_gives_the_materialised_mixtures(tmp_path: Path, kind: str) -> None:
    """materialise = false and a loader of a few lines: bit for bit what the twin recipe stores."""
    text = LOUD if kind == "snr" else here.changed(
        corpus.MIX, mix__kind="level", mix__values=[0.001, 0.3, 0.9]
    )  # fmt: skip
    plan = here.changed(text, name="plan", mix__materialise=False, output__fields=["clean"])
    data = corpus.small_corpus(tmp_path / "data")
    here.features(data, tmp_path / "artifacts", corpus.recipes(tmp_path, text, plan))
    stored = list(_arrays(tmp_path / "artifacts" / "tiny-mix", "shards"))
    mixed = list(_mixed(tmp_path / "artifacts" / "plan"))
    assert len(stored) == len(mixed) > 30
    assert any(row["gain"] < 1 for row in stored)
    assert any(row["gain"] == 1 for row in stored)
    for ours, theirs in zip(mixed, stored, strict=True):
        for name in ("noisy", "clean", "source", "start", "requested", "achieved", "gain", "scale"):
            assert ours[name].tobytes() == theirs[name].tobytes(), name


def _arrays(folder: Path, kind: str) -> Iterator[Row]:
    for shard in json.loads((folder / "index.json").read_text())[kind]:
        with h5py.File(folder / shard["path"]) as file:
            arrays = {name: file[name][:] for name in file}
        yield from ({n: a[i] for n, a in arrays.items()} for i in range(shard["examples"]))


def _mixed(folder: Path) -> Iterator[Row]:
    """What a loader does with a plan."""
    tracks = {row["source"]: row["samples"][: row["length"]] for row in _arrays(folder, "noise")}
    for row in _arrays(folder, "shards"):
        for i in np.flatnonzero(row["noise_kind"] >= 0):
            told = {n: row[n][i] for n in ("requested", "achieved", "gain", "scale")}
            clean, gain, start = row["clean"], told["gain"], row["noise_start"][i]
            place = np.arange(start, start + len(clean))
            cut = np.take(tracks[row["noise_source"][i]], place, mode="wrap")
            noise = (cut - cut.mean(dtype=np.float64)).astype(np.float32).astype(np.float64)
            noise *= told["scale"]
            kept = clean * gain
            noisy = (clean + noise if gain == 1 else noise * gain + kept).astype(np.float32)
            yield row | told | {"noisy": noisy, "clean": kept}
