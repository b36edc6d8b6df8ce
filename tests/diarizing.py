"""Small recipes of people who talk, and the diarizer's commands in this process, as make has them.

Reads nothing. Does: makes speakers who hum a chord each, builds recipes of conversations between
them, runs commands with the variables that make exports. Writes: shards and runs, where it is told.
"""

import contextlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests import commanded, corpus, here
from tests.commanded import Script
from training import report as shared
from training.diarizer import __main__ as script
from training.diarizer import plots, report
from training.diarizer.profiles import PROFILES, Profile

RATE, HOP, SECONDS = 8000, 80, 8  # Hz; samples of a frame; of a conversation
FRAMES = SECONDS * RATE // HOP
SPLITS = ("train",) * 5 + ("valid",) * 2 + ("test",) * 3  # of speakers
TALKS, HEARD, REAL = "tiny-talks", "tiny-talks-heard", "tiny-real"
OF = Script("diarizer", script.cli, {"RECIPE": TALKS}, own=True)
_TALKS = f"""\
name = "{TALKS}"
about = "conversations of chords"
[select]
roles = ["clean"]
[audio]
rate = {RATE}
[window]
samples = {SECONDS * RATE}
hop = {SECONDS * RATE}
edges = "recording"
[conversation]
train = 12
valid = 5
test = 4
speakers = [2, 3]
pause = 0.3
offset = 0.1
spread = 0.5
interject = 0.1
[mix]
kind = "snr"
values = [20.0, 30.0]
noises = ["white"]
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
fields = ["logmel", "activity", "voices"]
formats = ["hdf5"]
shard_mb = 1
"""
_HEARD = here.changed(_TALKS, name=HEARD, conversation__train=0, conversation__valid=0,
                      output__fields=["wave", "logmel", "activity", "voices"])  # fmt: skip
_REAL = here.toml({
    k: v for k, v in tomllib.loads(_TALKS).items() if k not in ("conversation", "mix")
} | {
    "name": REAL, "select": {"roles": ["labelled"], "needs": "speakers"},
    "window": {"samples": SECONDS * RATE, "hop": SECONDS * RATE, "pad": "zero", "min_fill": 0.1,
               "edges": "recording"},
    "output": {"fields": ["wave", "logmel", "activity"], "formats": ["hdf5"], "shard_mb": 1},
})  # fmt: skip

# Every recording with RTTM: (who, from, to), in seconds; the second window of the last one but one
# holds five.
TURNS = [("A", 0.5, 3.0), ("B", 2.6, 6.0), ("A", 7.0, 9.5), ("C", 10.0, 14.0), ("A", 17.0, 18.123)]
MANY = [("A", 1.0, 4.0), *((name, 9.0 + k, 10.2 + k) for k, name in enumerate("ABCDE")),
        ("B", 17.0, 19.0)]  # fmt: skip
ODD = 19.273  # seconds of each

# Small enough to learn in seconds.
TINY = replace(
    PROFILES["demo"], width=16, blocks=1, longest=80, batch=4,
    settings=replace(PROFILES["demo"].settings, epochs=2, warmup=3, ema=0.5),
)  # fmt: skip
STEPS = 3  # of an epoch of TALKS
_PLACES = ((plots, "timeline"), (plots, "errors"), (shared, "history"))
DRAW = {(room, name): getattr(room, name) for room, name in _PLACES}


def chord(number: int, seconds: float, rate: int = 16000) -> np.ndarray:
    """What speaker `number` sounds like."""
    t = np.arange(round(seconds * rate)) / rate
    hertz = 220.0 + 130.0 * number
    found: np.ndarray = np.sum([0.1 * np.sin(2 * np.pi * k * hertz * t) / k for k in (1, 2, 3)], 0)
    return found


def spoken(
    turns: list[tuple[str, float, float]], seconds: float, rate: int = 16000, seed: int = 0
) -> np.ndarray:
    """A recording of these turns, in faint noise."""
    wave = 1e-4 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    for name, begin, end in turns:
        sound = chord("ABCDE".index(name), end - begin, rate)
        wave[round(begin * rate) :][: len(sound)] += sound
    return wave


def _data(folder: Path) -> Path:
    """Speakers of two files each, and recordings of several with RTTM."""
    folder.mkdir(parents=True)
    lines = ["path,role,group,split,rttm"]
    random = np.random.default_rng(0)
    for number, split in enumerate(SPLITS):
        for take in range(2):
            parts = []
            for _ in range(3):
                parts += [np.zeros(9600), chord(number, random.uniform(0.5, 1.5))]
            wave = np.concatenate(parts)
            wave += 1e-4 * random.standard_normal(len(wave))
            sf.write(folder / f"s{number}-{take}.wav", wave, 16000, "PCM_16")
            lines.append(f"s{number}-{take}.wav,clean,s{number},{split},")
    for number, split in enumerate(("train", "train", "valid", "test", "test")):
        turns = MANY if number == 3 else TURNS
        sf.write(folder / f"r{number}.wav", spoken(turns, ODD, seed=number), 16000, "PCM_16")
        (folder / f"r{number}.rttm").write_text("".join(
            f"SPEAKER r{number} 1 {a:.3f} {b - a:.3f} <NA> <NA> {who}{number} <NA> <NA>\n"
            for who, a, b in turns
        ))  # fmt: skip
        lines.append(f"r{number}.wav,labelled,r{number},{split},r{number}.rttm")
    (folder / "melmill.csv").write_text("\n".join(lines) + "\n")
    return folder


def build(root: Path) -> Path:
    """The shards, to be read only: TALKS and its HEARD, and REAL, whose voices have no names."""
    asked = corpus.recipes(root / "recipes", _TALKS, _HEARD, _REAL)
    here.features(_data(root / "data"), root / "artifacts", asked)
    return root / "artifacts"


@contextlib.contextmanager
def quick(*, drawn: bool = False, profile: Profile = TINY) -> Iterator[None]:
    """A small `demo`, without other diarizers; without pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "demo", profile)
        patch.setattr(report, "peers", dict)
        patch.setattr(report, "absent", list)
        for (room, name), draw in DRAW.items():
            patch.setattr(room, name, draw if drawn else _blank)
        yield


def _blank(*what: object, **more: object) -> None:
    """In the place of what draws."""
    (path,) = (one for one in what if isinstance(one, Path))
    commanded.blank(what, path)


def process(root: str, *, command: str = "train", fault: str = "", **variables: str) -> int:
    """A command without its report in a process of its own; see tests.trainings."""
    os.environ.update(dict.fromkeys(corpus.TRAINING, "") | variables)
    os.environ.update({"MELMILL_FAULT": fault, "ARTIFACTS": root})
    report.whole = lambda run, artifacts: ""
    with quick():
        return commanded.code(lambda: OF.work(command))
