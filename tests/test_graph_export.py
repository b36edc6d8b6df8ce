"""Exports: they agree with the net, on features and on sound, run without the project, and are not
kept when they differ.

Reads and writes: runs' folders in pytest's own.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras import layers  # noqa: E402

from pipeline.recipe import Feature  # noqa: E402
from tests import made  # noqa: E402
from training import durable  # noqa: E402
from training.classes.scores import accuracy  # noqa: E402
from training.durable import read_json  # noqa: E402
from training.errors import RunError  # noqa: E402
from training.graph import compared  # noqa: E402
from training.graph.compared import Served  # noqa: E402
from training.graph.export import Clips, clear, export  # noqa: E402
from training.graph.frontend import LogMel  # noqa: E402
from training.graph.lite import load_lite  # noqa: E402
from training.graph.usage import (  # noqa: E402
    FILES,
    INT8,
    INT8_AUDIO,
    LITE,
    LITE_AUDIO,
    SAVED,
    SAVED_AUDIO,
    TOLD,
    cells,
    usage,
)

CLASSES = ["hiss", "hum", "whistle"]
PITCH = np.array([0, 300, 2000])  # Hz
RATE, SAMPLES = 8000, 4096
FEATURE = Feature(kind="mel", n_fft=256, hop=128, mels=20, log="db", top_db=80.0)
RECIPE = made.recipe(window={"samples": SAMPLES, "pad": "repeat"}, feature=FEATURE).resolved()


def sounds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three kinds in turn, at levels 50 dB apart."""
    random, labels = np.random.default_rng(seed), np.arange(count) % 3
    phase = PITCH[labels, None] * random.uniform(0.8, 1.2, (count, 1)) * np.arange(SAMPLES) / RATE
    hiss = random.standard_normal((count, SAMPLES))
    wave = np.where(labels[:, None], np.sin(2 * np.pi * phase), 0.5 * hiss) + 0.02 * hiss
    level = 10 ** random.uniform(-3, -0.5, (count, 1))
    return (level * wave).clip(-1, 1).astype(np.float32), labels.astype(np.int32)


def built() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((33, 20), name="features")
    x = layers.Normalization(mean=-60.0, variance=400.0)(inputs)
    x = layers.Reshape((33, 20, 1))(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("hard_silu")(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)])
    x = layers.Dropout(0.2)(layers.Flatten()(layers.AveragePooling2D((17, 1))(x)))
    return keras.Model(inputs, layers.Dense(3)(x))


def served(net: Any, front: LogMel | None = None) -> Served:
    return Served(net, CLASSES, tf.nn.softmax, "accuracy", accuracy, front)


class Made:
    """A net that has learnt, and all its exports."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.front = folder, LogMel(RECIPE, "logmel")
        waves, labels = sounds(90, 1)
        self.calibration, self.net = self.front(waves).numpy(), built()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.net.compile(keras.optimizers.Adam(0.01), loss)
        self.net.fit(self.calibration, labels, epochs=20, batch_size=30, verbose=0)
        self.waves, labels = sounds(60, 2)
        self.held = Clips((self.front(self.waves).numpy(),), labels, self.waves)
        self.before = self.net.get_weights()
        self.told = export(served(self.net, self.front), (self.calibration,), self.held, folder)

    def chances(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(tf.nn.softmax(self.net(features, training=False)))

    def row(self, name: str) -> dict[str, Any]:
        (found,) = [row for row in self.told["exports"] if row["file"] == name]
        return dict(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("export") / "run")


def test_what_is_told_is_what_lies_there(run: Made) -> None:
    assert read_json(run.folder / TOLD) == run.told
    assert [row["file"] for row in run.told["exports"]] == list(FILES)
    assert {path.name for path in run.folder.iterdir()} == {*FILES, TOLD}
    for row in run.told["exports"]:
        path = run.folder / row["file"]
        files = [p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()]
        assert row["bytes"] == sum(file.stat().st_size for file in files)
        assert row["input"] == ("wave" if "audio" in row["file"] else "features")
        assert 0 < row["ms"] < 100
    assert not list(run.folder.rglob(f"{durable.TEMP}*"))
    told = {"names": CLASSES, "labelled": 60, "rate": RATE, "samples": SAMPLES, "pad": "repeat"}
    told |= {"measure": "accuracy", "inputs": {"features": [33, 20]}}
    assert {name: run.told[name] for name in told} == told
    assert run.told["front_difference"] < 1e-3
    for weights, before in zip(run.net.get_weights(), run.before, strict=True):
        assert np.array_equal(weights, before)


def test_float_files_agree_and_8_bits_cost_little(run: Made) -> None:
    assert run.told["score"] > 0.9
    for row in run.told["exports"]:
        assert row["difference"] < (0.5 if row["int8"] else 1e-5)
        assert row["int8"] == ("int8" in row["file"])
        assert row["agreement"] > 0.9
        assert row["drop"] == pytest.approx(run.told["score"] - row["score"])
        assert row["drop"] <= 1 / 60 + 1e-9
    assert run.row(INT8)["difference"] > 1e-4  # it is no float file


def test_lite_files_as_written(run: Made) -> None:
    waves, _ = sounds(12, 3)
    features = run.front(waves).numpy()
    found = {
        name: load_lite((run.folder / name).read_bytes())(waves if "audio" in name else features)
        for name in (LITE, INT8, LITE_AUDIO, INT8_AUDIO)
    }
    assert np.abs(found[LITE] - run.chances(features)).max() < 1e-5
    assert np.abs(found[LITE_AUDIO] - run.chances(features)).max() < 1e-5
    # The front end stays float: before the same 8-bit net, only a feature on an edge may round.
    assert np.abs(found[INT8_AUDIO] - found[INT8]).max() < 0.02
    for chances in found.values():
        assert chances.sum(1) == pytest.approx(np.ones(12), abs=1e-5)


def test_saved_models_take_any_batch(run: Made) -> None:
    waves, _ = sounds(5, 4)
    features = run.front(waves).numpy()
    for name, takes, given in ((SAVED, "features", features), (SAVED_AUDIO, "wave", waves)):
        module = tf.saved_model.load(str(run.folder / name))
        found = module.signatures["serving_default"](**{takes: tf.constant(given)})
        assert np.abs(found["probabilities"].numpy() - run.chances(features)).max() < 1e-5


def alone(code: str, folder: Path) -> str:
    """What a process prints that has the files and nothing of ours."""
    guard = "import sys; sys.path = [p for p in sys.path if p]\n"
    end = "\nassert not [m for m in sys.modules if m.split('.')[0] in ('training', 'pipeline')]"
    done = subprocess.run(
        [sys.executable, "-c", guard + code + end], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_card_says_runs_without_the_project(run: Made, tmp_path: Path) -> None:
    """A stereo file shorter than a window, by both files."""
    shutil.copytree(run.folder, tmp_path, dirs_exist_ok=True)
    wave = sounds(3, 5)[0][2, :1500]  # a whistle
    hiss = sounds(1, 6)[0][0, :1500]  # in one channel against the other
    soundfile.write(tmp_path / "sound.wav", np.stack([wave + hiss, wave - hiss], 1), RATE, "FLOAT")
    told = read_json(tmp_path / TOLD)
    printed = alone(usage(told) + usage(told, LITE_AUDIO), tmp_path).splitlines()
    chances = run.chances(run.front(np.resize(wave, SAMPLES)[None]).numpy())[0]
    assert chances.argmax() == 2
    order = [CLASSES[k] for k in chances.argsort()[::-1]]
    assert printed[0].split()[1] == "whistle"
    assert [line.split()[1] for line in printed[3:]] == order
    shown = [float(line.split()[0]) for line in printed[3:]]
    assert shown == pytest.approx(sorted(chances, reverse=True), abs=1e-3)


def test_a_window_that_is_not_repeated_is_followed_by_silence(run: Made) -> None:
    assert "np.pad(wave, (0, 4096 - len(wave)))  # a shorter one is followed by silence" in usage(
        {**run.told, "pad": "zero"}
    )


def test_the_cards_table(run: Made) -> None:
    heads, *rows = cells(run.told)
    assert {len(row) for row in rows} == {len(heads)}
    assert [row[0] for row in rows] == [f"`{name}`" for name in FILES]
    assert rows[0][-1] == "none"
    assert rows[2][-1].endswith(" points")


def test_what_only_prints_needs_no_tensorflow() -> None:
    code = "import sys, training.graph.usage; assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------ what goes wrong


def plain() -> Any:
    """The least net that tells classes apart, for what does not depend on it."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 3), name="features")
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))


def few(count: int = 12) -> tuple[np.ndarray, Clips]:
    net, random = plain(), np.random.default_rng(1)
    features = random.standard_normal((count, 4, 3)).astype(np.float32)
    return features, Clips((features,), np.asarray(net(features)).argmax(1))


def littered(folder: Path) -> None:
    for name in (*FILES, "other"):
        if name.startswith("saved"):
            (folder / name).mkdir()
            (folder / name / "saved_model.pb").write_text("of another net")
        else:
            (folder / name).write_text("of another net")
    (folder / TOLD).write_text("of another net")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_front_end(tmp_path: Path) -> None:
    littered(tmp_path)
    features, held = few()
    told = export(served(plain()), (features,), held, tmp_path)
    assert names(tmp_path) == {SAVED, LITE, INT8, TOLD, "other"}
    assert "rate" not in told
    clear(tmp_path)
    assert names(tmp_path) == {"other"}


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", closed)
    said = f"{tmp_path / TOLD}: cannot write: Read-only file system. Mend the disk"
    with pytest.raises(RunError, match=re.escape(said)):
        clear(tmp_path)


@pytest.mark.parametrize("wrong", ["value", "shape", "nan"])
def test_one_that_differs_is_refused_and_nothing_stays(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(data: bytes) -> Any:
        def ask(clips: np.ndarray) -> np.ndarray:
            found = load_lite(data)(clips)
            found[-1, -1] += {"value": 3e-4, "shape": 0, "nan": np.nan}[wrong]
            return found[:, 1:] if wrong == "shape" else found

        return ask

    littered(tmp_path)
    monkeypatch.setattr(compared, "load_lite", off)
    features, held = few()
    said = r"^model\.tflite: an export that differs; expected at most 0\.0001; got"
    with pytest.raises(RunError, match=said):
        export(served(plain()), (features,), held, tmp_path)
    assert names(tmp_path) == {"other"}


@pytest.mark.parametrize(("count", "wrong"), [(12, 1), (12, 2), (300, 3), (300, 4)])
def test_8_bits_may_cost_a_point_of_accuracy(
    count: int, wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one clip, where that is more."""
    features, held = few(count)
    chances = np.eye(3, dtype=np.float32)[held.truth]
    chances[:wrong] = np.roll(chances[:wrong], 1, 1)
    loads = iter(
        [load_lite, lambda data: lambda clips: chances[: len(clips)]]
    )  # float, then 8 bits
    monkeypatch.setattr(compared, "load_lite", lambda data: next(loads)(data))
    if wrong in (1, 3):
        told = export(served(plain()), (features,), held, tmp_path)
        assert told["exports"][2]["drop"] == pytest.approx(wrong / count)
        return
    with pytest.raises(RunError, match=r"model-int8\.tflite: 8 bits cost accuracy; expected 0\.9"):
        export(served(plain()), (features,), held, tmp_path)
    assert names(tmp_path) == set()


def test_a_net_that_lite_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    littered(tmp_path)
    inputs = keras.Input((4, 3), name="features")
    odd = layers.Lambda(tf.math.digamma)(layers.Flatten()(inputs))
    net = keras.Model(inputs, layers.Dense(3)(odd))
    features, held = few()
    with pytest.raises(RunError, match="TensorFlow Lite cannot hold the net; got Digamma"):
        export(served(net), (features,), held, tmp_path)
    assert names(tmp_path) == {"other"}


@pytest.mark.parametrize("count", [1, 3, 5, 6])
def test_a_full_disk_leaves_nothing(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, held = few()
    monkeypatch.setenv("MELMILL_FAULT", f"rename:{count}:ENOSPC")
    monkeypatch.setattr(durable, "_fault_counts", {})
    with pytest.raises(RunError, match="cannot write: No space left"):
        export(served(plain()), (features,), held, tmp_path)
    assert names(tmp_path) == set()


def test_the_graph_of_a_saved_model_is_written_last(run: Made) -> None:
    parts = [p for p in (run.folder / SAVED).rglob("*") if p.is_file()]
    assert max(parts, key=lambda p: p.stat().st_mtime_ns).name == "saved_model.pb"
    assert json.loads((run.folder / TOLD).read_text())["seal"]


def test_clips_that_cannot_be_compared() -> None:
    features, held = few()
    with pytest.raises(RunError, match="exports need clips to be compared on"):
        Clips((features,), held.truth[:-1])
    with pytest.raises(RunError, match="exports need clips to be compared on"):
        Clips((features[:0],), held.truth[:0])
    front = LogMel(RECIPE, "logmel")
    with pytest.raises(RunError, match="cannot be compared without sound"):
        export(served(plain(), front), (features,), held, Path("nowhere"))
