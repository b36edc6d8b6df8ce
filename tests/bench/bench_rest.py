"""What else a user waits for: a run with nothing to do, mixtures, processes that start.

Reads and writes a temporary folder. Does: times `features` over many tiny files that are all done,
and with one more, `shards` for a recipe of mixtures whose audio is decoded, and new processes over
a few files.
"""

import io
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile as sf

from pipeline.disk.store import load_json
from tests.bench.common import (
    CLASSES,
    Row,
    cold,
    command,
    corpus,
    own_recipe,
    room,
    sound,
    turns,
)

RATE = 22050  # Hz
TURNS = 3
TINY = 50_000  # files of the run that has nothing to do
SPEECH = 40  # recordings of 12 s that are mixed


def tiny(folder: Path, count: int) -> Path:
    """Recordings of 50 ms that differ in a few samples: what is timed is not their sound."""
    plain = io.BytesIO()
    sf.write(plain, sound(1, 0.05, 8000), 8000, format="WAV")
    data = bytearray(plain.getvalue())
    for i in range(count):
        place = folder / CLASSES[i % 2] / f"{i // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        data[-8:] = struct.pack("<Q", i)
        (place / f"{i:06d}.wav").write_bytes(data)
    return folder


def nothing_to_do(folder: Path) -> list[Row]:
    """A second run over many tiny files; then one with a file more."""
    data, artifacts = tiny(folder / "tiny", TINY), folder / "a5"
    small = {
        "rate = 22050  ": "rate = 8000  ",
        "hop = 512  ": "hop = 256  ",
        "n_fft = 2048 ": "n_fft = 256 ",
        "hop = 66048 ": "hop = 512 ",
        "samples = 66048 ": "samples = 512 ",
        "mels = 128": "mels = 16",
        "shard_mb = 32": "shard_mb = 1",
    }
    recipe = own_recipe(folder / "tiny.toml", "tiny", "noise-classifier", small)
    first = cold(data, artifacts, recipe, 2)()

    def again() -> float:
        start = time.perf_counter()
        if "nothing to do: all" not in command("features", data, artifacts, recipe, 2):
            raise RuntimeError("the second run found something to do")
        return time.perf_counter() - start

    taken = turns({"again": again}, TURNS)["again"]
    made = len(load_json(artifacts / "tiny" / "index.json")["shards"])
    shutil.copy(data / CLASSES[0] / "000" / "000000.wav", data / CLASSES[0] / "more.wav")
    with open(data / CLASSES[0] / "more.wav", "r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(struct.pack("<q", -1))
    start = time.perf_counter()
    told = command("features", data, artifacts, recipe, 2)
    more = time.perf_counter() - start
    found = re.search(r"^decode: (\d+) file, .*?(\d+) shards made", told, re.M | re.S)
    assert found, told
    what = f"{TINY} files"
    return [
        Row(
            f"run with nothing to do, {what} / 2 s",
            f"{taken:.2f} s",
            f"{first:.1f} s the first time",
            taken / 2,
            1.0,
            at_most=True,
        ),
        Row(
            f"one file added to {what}: files decoded",
            f"{more:.1f} s",
            f"{found[2]} of {made} shards made again",
            float(found[1]),
            1.0,
            at_most=True,
        ),
    ]


def mixtures(folder: Path) -> list[Row]:
    """Mixtures of speech and noise at five SNRs from decoded audio, on one worker."""
    data, artifacts, name = folder / "speech", folder / "a6", "denoise-speech-snr"
    lines = ["path,role,group"]
    for i in range(SPEECH):
        role = ("clean", "clean", "clean", "noise")[i % 4]
        lines.append(f"{i:03d}.wav,{role},{role}{i}")
        data.mkdir(exist_ok=True)
        sf.write(data / f"{i:03d}.wav", sound(10**6 + i, 12.0, RATE), RATE)
    (data / "melmill.csv").write_text("\n".join(lines) + "\n")
    command("features", data, artifacts, name, 1)

    def again() -> float:
        shutil.rmtree(artifacts / name)
        os.sync()
        start = time.perf_counter()
        command("shards", data, artifacts, name, 1)
        return time.perf_counter() - start

    taken = turns({"again": again}, TURNS)["again"]
    index: dict[str, Any] = load_json(artifacts / name / "index.json")
    made = sum(index["counts"]["examples"].values())
    size = sum(shard["bytes"] for shard in (*index["shards"], *index["noise"]))
    ours = f"{made / taken:.0f} mixtures/s"
    return [Row("mixtures of 2 s at five SNRs, 1 worker", ours, f"{size / taken / 1e6:.0f} MB/s")]


def start(folder: Path) -> list[Row]:
    """What the other rows leave out: interpreters that start."""
    data = corpus(folder / "few", 8, 3.0, 44100)

    def call(*given: object) -> Callable[[], float]:
        def run() -> float:
            shutil.rmtree(folder / "a7", ignore_errors=True)
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "pipeline", *map(str, given)],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            return time.perf_counter() - began

        return run

    asked = ("--data", data, "--artifacts", folder / "a7", "--recipe", "noise-classifier")
    taken = turns({"help": call("--help"), "few": call("features", *asked, "--jobs", 1)}, TURNS)
    return [
        Row(
            "start: a first run over 8 files, a new process and new workers",
            f"{taken['few']:.2f} s",
            f"{taken['help']:.2f} s for --help",
        )
    ]


def run() -> list[Row]:
    rows = []
    for part in (nothing_to_do, mixtures, start):
        with room() as folder:
            rows += part(folder)
    return rows
