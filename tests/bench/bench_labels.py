"""How long guessed labels and their shards take the first time, and how long when nothing changed.

Reads and writes a temporary folder. Does: makes recordings of gated tones, one half with RTTM, runs
`features` with labels.generate on artifacts that are not there yet, then again, and takes the first
batch that a diarizer would learn from. LABELS_FULL=1 in the environment: 135 recordings of ten
minutes (2.6 GB) instead of a dozen of one.
"""

import os
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.progress import Progress
from tests.bench.common import Row, cold, command, own_recipe, room
from training.data.index import load_index
from training.diarizer.sequences import Sequences

RATE = 16000  # Hz
SMALL, FULL = (12, 60), (135, 600)  # recordings, seconds of each
TURN = 3.0  # seconds of one speaker, of which the last half is silent
BATCH = 4
FASTER = 500.0  # times; an earlier system reports 50


def talk(path: Path, number: int, seconds: int, told: bool) -> None:
    """Two speakers in turn, each of three tones in noise."""
    random = np.random.default_rng(number)
    n, whole = round(TURN * RATE), np.empty(seconds * RATE, np.float32)
    t = np.arange(n, dtype=np.float32) / RATE
    gate = 0.001 + 0.999 * (t < TURN - 0.5).astype(np.float32)
    turns = seconds * RATE // n
    hertz = random.uniform(100, 3000, (2, 3)).astype(np.float32)
    sounds = [sum(np.sin(2 * np.pi * f * t) for f in three) for three in hertz]
    for k in range(turns):
        wave = 0.1 * sounds[k % 2] + 0.05 * random.standard_normal(n, np.float32)
        whole[k * n : (k + 1) * n] = gate * wave
    sf.write(path, whole[: turns * n], RATE, "PCM_16")
    if told:
        line = "SPEAKER {} 1 {} {} <NA> <NA> {}-{} <NA> <NA>\n"
        rows = [
            line.format(path.stem, TURN * k, TURN - 0.5, path.stem, k % 2) for k in range(turns)
        ]
        path.with_suffix(".rttm").write_text("".join(rows))


def corpus(folder: Path, count: int, seconds: int) -> Path:
    folder.mkdir()
    rows = ["path,role,split,rttm"]
    with Progress("synthetic talks", count) as bar:
        for number in range(count):
            told = number % 2 == 0
            path = folder / f"t{number:03d}.wav"
            talk(path, number, seconds, told)
            rows.append(f"{path.name},labelled,train,{path.stem + '.rttm' if told else ''}")
            bar.step(1, seconds)
    (folder / "melmill.csv").write_text("\n".join(rows) + "\n")
    return folder


def first_batch(folder: Path) -> None:
    sequences = Sequences([load_index(folder)], BATCH, longest=6000)
    assert len(next(sequences.epoch(0))["logmel"]) == BATCH


def run() -> list[Row]:
    full = bool(os.environ.get("LABELS_FULL"))
    count, seconds = FULL if full else SMALL
    with room() as folder:
        data, artifacts = corpus(folder / "data", count, seconds), folder / "artifacts"
        guess = {"generate = false": "generate = true"}
        recipe = own_recipe(folder / "guess.toml", "guess", "diarization", guess)
        first = cold(data, artifacts, recipe, 2)()
        start = time.perf_counter()
        said = command("features", data, artifacts, recipe, 2)
        second = time.perf_counter() - start
        assert "nothing to do: all" in said
        first_batch(artifacts / "guess")
        batch = time.perf_counter() - start
    what = f"labels and shards of {count} recordings of {seconds} s, half of them guessed"
    target = FASTER if full else None  # of a dozen a second run is but its start
    return [
        Row(f"{what}: again / first", f"{second:.2f} s", f"{first:.1f} s", first / second, target),
        Row(f"{what}: from a second start to a batch", f"{batch:.2f} s"),
    ]


if __name__ == "__main__":
    for row in run():
        print(row.what, row.ours, row.other, "" if row.ratio is None else f"{row.ratio:.0f}x")
