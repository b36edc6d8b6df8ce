"""A peer: lhotse's own way from recordings to stored features, with its Kaldi extractor.

    python -m tests.bench.lhotse_script FOLDER JOBS

Reads the audio files below a folder, once for each line on stdin. Does: lists them, resamples to
22,050 Hz, compute_and_store_features with 128 bands. Writes: its archives into a temporary folder;
on stdout, the seconds of each pass. Its imports and workers start before the first line, so they
are in no figure.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from lhotse import CutSet, Fbank, FbankConfig, Recording, RecordingSet


def prepare() -> None:
    torch.set_num_threads(1)


def once(folder: Path, paths: list[Path], jobs: int, pool: ProcessPoolExecutor | None) -> None:
    listed = RecordingSet.from_recordings(
        Recording.from_file(path, recording_id=path.stem) for path in paths
    )
    cuts = CutSet.from_manifests(recordings=listed).resample(22050)
    wanted = FbankConfig(sampling_rate=22050, num_filters=128, frame_shift=512 / 22050)
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        cuts.compute_and_store_features(
            Fbank(wanted), Path(out) / "features", num_jobs=jobs, executor=pool
        )


def main(folder: Path, jobs: int) -> None:
    prepare()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    pool = ProcessPoolExecutor(jobs, initializer=prepare) if jobs > 1 else None
    for _ in sys.stdin:
        start = time.perf_counter()
        once(folder, paths, jobs, pool)
        print("", time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
