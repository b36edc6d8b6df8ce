"""`python -m tests.bench.tagger_once FOLDER ART WAY [JOBS]`: tracks to tags, in a process alone.

WAY: `ours`, with so many tracks at once; `librosa`, which decodes, resamples and makes the spectrum
of one file after another and asks the same net; `published`, the package's own extractor. Reads:
the tracks below FOLDER, the run of the published weights in ART. Does: tags the first track, which
is not counted, then all of them. Writes: on stdout a line of JSON with the seconds that took.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "MTT_musicnn"


def ours(art: Path, jobs: int) -> Callable[[list[Path]], object]:
    """Answers alone: no pictures, as the others draw none."""
    from training.data.ordered import ordered
    from training.tagger.tag import tagged
    from training.tagger.use import hearing, one_thread_each

    one_thread_each(jobs)
    heard, cut, _ = hearing(art / "runs" / "tagger" / NAME)
    return lambda paths: list(ordered(iter(paths), lambda path: tagged(heard, cut, path), jobs))


def by_librosa(art: Path) -> Callable[[list[Path]], object]:
    import librosa
    import numpy as np

    from training.tagger.train import best
    from training.tagger.use import one_thread_each

    one_thread_each(1)
    net = best(art / "runs" / "tagger" / NAME).net

    def tag(path: Path) -> Any:
        wave, rate = librosa.load(path, sr=16000)
        mel = librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=512, hop_length=256, n_mels=96)
        log = np.log10(1 + 10000 * mel.T)
        return net.predict(log[: len(log) // 187 * 187].reshape(-1, 187, 96), verbose=0)

    return lambda paths: [tag(path) for path in paths]


def published() -> Callable[[list[Path]], object]:
    """It writes of itself to stdout. Its graph is of TensorFlow 1, which tf_keras has kept."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    from musicnn.extractor import extractor

    def tag(path: Path) -> Any:
        with contextlib.redirect_stdout(sys.stderr):
            return extractor(str(path), model=NAME, extract_features=False)

    return lambda paths: [tag(path) for path in paths]


def main(folder: str, art: str, way: str, jobs: str = "1") -> float:
    paths = sorted(Path(folder).iterdir())
    made = {"ours": lambda: ours(Path(art), int(jobs)), "librosa": lambda: by_librosa(Path(art)),
            "published": published}  # fmt: skip
    run = made[way]()
    run(paths[:1])
    began = time.perf_counter()
    run(paths)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
