"""The peer: what one writes without a pipeline, librosa and joblib in twenty lines.

    python -m tests.bench.librosa_script FOLDER JOBS

Reads the audio files below a folder, once for each line on stdin. Does: load at 22,050 Hz, mel
spectrum, dB. Writes: one .npy a file into a temporary folder; on stdout, the seconds of each pass.
Its imports and workers start before the first line, so they are in no figure.
"""

import sys
import tempfile
import time
from pathlib import Path

import joblib
import librosa
import numpy as np


def one(path: Path, out: Path) -> None:
    y, rate = librosa.load(path, sr=22050)
    power = librosa.feature.melspectrogram(y=y, sr=rate, n_fft=2048, hop_length=512, n_mels=128)
    np.save(out / f"{path.stem}.npy", librosa.power_to_db(power))


def main(folder: Path, jobs: int) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in sys.stdin:
        with tempfile.TemporaryDirectory(dir=folder.parent) as out:
            start = time.perf_counter()
            joblib.Parallel(n_jobs=jobs)(joblib.delayed(one)(path, Path(out)) for path in paths)
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
