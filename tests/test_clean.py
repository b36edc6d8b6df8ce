"""Cleaning: everything of ours goes, nothing of anybody else's.

Reads and writes in pytest's own folder.
"""

from pathlib import Path

import pytest

from pipeline.disk.clean import clean, ours
from tests import corpus

KEY = "0123456789ab"


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def left(root: Path) -> list[str]:
    kept = [p for p in root.rglob("*") if p.is_symlink() or not p.is_dir()]
    return sorted(p.relative_to(root).as_posix() for p in kept)


OURS = [
    "manifest.jsonl", "rejected.csv", "splits.csv", ".tmp-1-ab", ".cache/scan.json",
    ".cache/hashes.json", ".cache/packs.json", ".cache/last.json", ".cache/inside/123",
    ".cache/speeds.json",
    f"pcm/00.{KEY}.pcm", "pcm/index.json", "pcm/.tmp-2-cd", "demo/demo.json", "demo/voices/a.wav",
    ".demo.part-7/voices/a.wav", "hybrid/index.json", f"hybrid/train-0010-0.{KEY}.h5",
    f"hybrid/train-0010-0.{KEY}.json", f"hybrid/noise-test-01.{KEY}.h5",
    f"killed/valid-11-3.{KEY}.tfrecord", "bench.json", "bench.png",
]  # fmt: skip


def test_everything_of_ours_goes(tmp_path: Path) -> None:
    put(tmp_path, *OURS, ".lock")
    (tmp_path / "empty").mkdir()
    assert clean(tmp_path) == []
    assert left(tmp_path) == [".lock"]
    assert not (tmp_path / "pcm").exists()


THEIRS = [
    "notes.txt", "index.json", ".cache/pip/x", ".cache/scan.json", "demo/song.wav", "pcm/tape.wav",
    "web/index.json", "web/index.html", "train/train-00-0.txt", "data/splits.csv", ".bashrc",
]  # fmt: skip


def test_nothing_of_anybody_elses_goes(tmp_path: Path) -> None:
    put(tmp_path, *THEIRS)
    (tmp_path / "link").symlink_to(tmp_path / "web")
    told = clean(tmp_path)
    assert left(tmp_path) == sorted([*THEIRS, "link"])
    assert told == sorted({path.split("/")[0] for path in [*THEIRS, "link"]})


def test_trained_models_stay(tmp_path: Path) -> None:
    """They may have cost days, and the folder says so to whoever asks what was left."""
    put(tmp_path, "runs/denoiser/1/metrics.jsonl", f"hybrid/train-0010-0.{KEY}.h5")
    done = corpus.run(["clean", "--artifacts", tmp_path])
    assert done.returncode == 0
    assert f"left alone (trained models): {tmp_path / 'runs'}" in done.stderr
    assert left(tmp_path) == [".lock", "runs/denoiser/1/metrics.jsonl"]


@pytest.mark.parametrize("name", ["pcm", "runs", "manifest-link", ".cache"])
def test_a_link_is_left_with_what_it_points_at(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"elsewhere/00.{KEY}.pcm")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert not ours(tmp_path / name)
