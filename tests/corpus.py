"""A tiny corpus, tiny recipes and the command line, for tests that run the whole pipeline.

Reads nothing. Does: makes seconds of voiced sound and noise from seeds, runs
`python -m pipeline` with a clean environment, hashes what came out. Writes: into the folders given.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

REPO = Path(__file__).resolve().parent.parent
RATE = 16000
VOICES = 4
ASKED = ("DATA", "RECIPE", "LAYOUT", "ROLE", "SPLITS", "JOBS", "MAX_RAM", "MAX_REJECTED")
TRAINING = (
    "PROFILE", "ARCH", "EPOCHS", "BUDGET", "SEED", "RUN", "INIT", "CHECKPOINT", "ON", "LIMIT",
    "DNSMOS", "IN", "OUT", "PROCESSES", "BACKBONE", "WEIGHTS", "TEACHER", "FOLDS", "AUGMENT",
    "TOP", "JSON", "NET", "ABLATION", "HEAD", "SPEAKERS",
)  # fmt: skip
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

MIX = """\
name = "tiny-mix"
about = "clean and noisy windows, two noise kinds at two SNRs"
[select]
roles = ["clean"]
[audio]
rate = 8000
[window]
samples = 4096
hop = 4096
[mix]
kind = "snr"
values = [0.0, 10.0]
noises = ["white", "ambient"]
speech_level = "p56"
track = 1.0
tracks = 2
[output]
fields = ["noisy", "clean"]
formats = ["hdf5"]
shard_mb = 1
"""

CLASSES = """\
name = "tiny-classes"
about = "log-mel windows with a class, in both formats"
[select]
roles = ["noise"]
needs = "label"
[audio]
rate = 8000
[window]
samples = 4096
hop = 4096
[features.logmel]
kind = "mel"
n_fft = 512
hop = 256
mels = 32
log = "db"
top_db = 80.0
[labels]
kind = "class"
[output]
fields = ["logmel", "label"]
formats = ["tfrecord", "hdf5"]
shard_mb = 1
"""


def voice(seed: int, seconds: float) -> np.ndarray:
    """Syllables of a harmonic sound with pauses between them: P.56 finds activity and silence."""
    random = np.random.Generator(np.random.Philox(seed))
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 90 + 25 * (seed % 5) + 8 * np.sin(2 * np.pi * 1.3 * t + seed)  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 12))
    syllables = np.clip(1.5 * np.sin(2 * np.pi * 2.1 * t), 0, 1)
    return 0.1 * syllables * sound + 1e-4 * random.standard_normal(len(t))


def noise(seed: int, seconds: float, label: str) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(1000 + seed))
    white = random.standard_normal(int(seconds * RATE))
    if label == "rain":
        return 0.05 * white
    t = np.arange(len(white)) / RATE
    return 0.1 * np.sin(2 * np.pi * (50 + seed) * t) + 0.01 * white


def small_corpus(folder: Path, files: int = 12) -> Path:
    """`files` recordings with a melmill.csv: four noises of two labels, the rest of four voices.

    Most are WAV; the second voice recording is FLAC, the third noise MP3.
    """
    folder.mkdir(parents=True)
    rows = ["path,role,label,group"]
    for i in range(files - 4):
        suffix = "flac" if i == 1 else "wav"
        name = f"voice{i % VOICES}-{i // VOICES}.{suffix}"
        sf.write(folder / name, voice(i, 1.0 + 0.25 * (i % 8)), RATE, "PCM_16")
        rows.append(f"{name},clean,,voice{i % VOICES}")
    for i in range(4):
        label = ("rain", "hum")[i % 2]
        name = f"{label}{i}." + ("mp3" if i == 2 else "wav")
        kind = "MPEG_LAYER_III" if i == 2 else "PCM_16"  # not Ogg: each has a random serial number
        sf.write(folder / name, noise(i, 2.0, label), RATE, kind)
        rows.append(f"{name},noise,{label},{name}")
    (folder / "melmill.csv").write_text("\n".join(rows) + "\n")
    return folder


def labelled(
    folder: Path, count: int, seconds: float, labels: Sequence[str], role: str = "labelled"
) -> Path:
    """As many noises, one of each label in turn, each a group of its own."""
    folder.mkdir(parents=True)
    rows = ["path,role,label,group"]
    for i in range(count):
        label = labels[i % len(labels)]
        name = f"{label}{i}.wav"
        sf.write(folder / name, noise(i, seconds, label), RATE, "PCM_16")
        rows.append(f"{name},{role},{label},{name}")
    (folder / "melmill.csv").write_text("\n".join(rows) + "\n")
    return folder


def recipes(folder: Path, *texts: str) -> str:
    """Write recipes (both tiny ones unless told) into `folder`; the value of --recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for text in texts or (MIX, CLASSES):
        path = folder / (text.split('"')[1] + ".toml")
        path.write_text(text)
        paths.append(os.fspath(path))
    return ",".join(paths)


def tree_hash(artifacts: Path) -> str:
    """Hash of every name and byte that a run leaves, its caches and lock aside."""
    result = hashlib.sha256()
    for path in sorted(artifacts.rglob("*")):
        name = path.relative_to(artifacts).as_posix()
        if path.is_file() and name.split("/")[0] not in (".cache", ".lock"):
            result.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return result.hexdigest()


def leftovers(artifacts: Path) -> list[str]:
    """Unfinished files under `artifacts`."""
    return sorted(os.fspath(path) for path in artifacts.rglob(".tmp-*"))


def command(args: Sequence[Any]) -> list[str]:
    return [sys.executable, "-m", "pipeline", *map(os.fspath, map(_text, args))]


def _text(value: Any) -> Any:
    return value if isinstance(value, os.PathLike) else str(value)


def environment(env: dict[str, str] | None = None) -> dict[str, str]:
    """This process' environment without what would steer the commands, plus `env`."""
    dropped = {*ASKED, *TRAINING, "ARTIFACTS", "MELMILL_FAULT"}
    found = {name: value for name, value in os.environ.items() if name not in dropped}
    found |= dict.fromkeys(ONE_THREAD, "1") | {"PYTHONDONTWRITEBYTECODE": "1"}
    found["PYTHONPATH"] = os.fspath(REPO)
    return found | (env or {})


def run(
    args: Sequence[Any], env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline args`, its output captured."""
    return subprocess.run(
        command(args), env=environment(env), cwd=REPO, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def hook(folder: Path, code: str) -> dict[str, str]:
    """An environment in which every process of a run, workers too, first runs `code`.

    Python imports sitecustomize when it starts; a monkeypatch would not cross processes. Python
    goes on when that fails, so that a test would pass for nothing: here the process ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "melmill_hook.py").write_text(code)
    (folder / "sitecustomize.py").write_text(LOUD)
    return {"PYTHONPATH": os.pathsep.join([os.fspath(folder), os.fspath(REPO)])}


LOUD = """
import os
try:
    import melmill_hook
except BaseException as error:
    os.write(2, f"the test's hook failed: {error!r}\\n".encode())
    os._exit(99)
"""

# Everything in one process, so that a kill ends the whole run and system calls count in one row.
ALONE = """
import pipeline.jobs
def _pool(*rest):
    raise pipeline.jobs._NoPool("asked not to")
pipeline.jobs._pool = _pool
"""
