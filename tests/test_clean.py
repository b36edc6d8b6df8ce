"""Cleaning: everything of ours goes, nothing of anybody else's.

Reads and writes in pytest's own folder.
"""

from pathlib import Path

import pytest

from pipeline.disk.clean import NOTE, SHARD, clean, ours, sweep, sweep_temps
from tests import corpus, here

KEY = "0123456789ab"


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def left(root: Path) -> list[str]:
    kept = [p for p in root.rglob("*") if p.is_symlink() or not p.is_dir()]
    return sorted(p.relative_to(root).as_posix() for p in kept)


OURS = [
    "manifest.jsonl", "rejected.csv", "splits.csv", f".tmp-1-{KEY}", ".cache/scan.json",
    ".cache/hashes.json", ".cache/packs.json", ".cache/last.json", ".cache/inside/123",
    ".cache/speeds.json", f"pcm/00.{KEY}.pcm", "pcm/index.json",
    f"pcm/.tmp-2-{KEY}", "demo/demo.json", "demo/voices/a.wav",
    ".demo.part-7/voices/a.wav", "hybrid/index.json", f"hybrid/train-0010-0.{KEY}.h5",
    f"hybrid/train-0010-0.{KEY}.json", f"hybrid/noise-test-01.{KEY}.h5",
    f"killed/valid-11-3.{KEY}.tfrecord",
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
    ".tmp-notes", "bench.json", "train/.tmp-1-2", "labels/.tmp-more",
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


# ------------------------------------------------------------------ what a run removes


def test_a_sweep_takes_names_of_ours_alone(tmp_path: Path) -> None:
    kept, old, link, away, folder = (f"{n}.{KEY}.pcm" for n in ("00", "01", "10", "110", "111"))
    put(tmp_path, kept, old, f".tmp-1-{KEY}", "tape.wav", ".tmp-notes", "index.html")
    (tmp_path / folder).mkdir()
    (tmp_path / link).symlink_to(kept)
    (tmp_path / away).symlink_to(folder)
    (tmp_path / "theirs").symlink_to(kept)
    assert sweep(tmp_path, SHARD, {kept}) == [f".tmp-1-{KEY}", old, link, away]
    assert left(tmp_path) == sorted([kept, "tape.wav", ".tmp-notes", "index.html", "theirs"])
    assert (tmp_path / folder).is_dir()  # links go, what they point at stays


def test_a_sweep_follows_no_link(tmp_path: Path) -> None:
    put(tmp_path, "inside/123")
    (tmp_path / "away").symlink_to("inside")
    assert sweep(tmp_path / "away", NOTE, set()) == sweep(tmp_path / "none", NOTE, set()) == []
    assert sweep(tmp_path / "inside", NOTE, set()) == ["123"]


def test_half_written_files_go_where_a_run_writes_and_nowhere_else(tmp_path: Path) -> None:
    temp = f".tmp-7-{KEY}"
    label = f"{KEY}cdef.{KEY}.json"
    swept = [
        temp, f".tmp-doctor-7-{KEY}", f".cache/{temp}", f"pcm/{temp}", f"reports/{temp}",
        f"killed/{temp}", f"hybrid/{temp}", f"labels/killed/{temp}", f"labels/hybrid/{temp}",
    ]  # fmt: skip
    kept = [
        ".tmp-7", "pcm/.tmp-notes", f"pcm/x{temp}", f"pcm/tape{temp}.wav", "pcm/tape.wav",
        f"hybrid/train-00.{KEY}.h5", f"labels/hybrid/{label}", f"web/{temp}", "web/index.html",
        f"runs/denoiser/1/{temp}", f"elsewhere/{temp}", "elsewhere/manifest.jsonl",
        f"elsewhere/pcm/{temp}",
    ]  # fmt: skip
    put(tmp_path, *swept, *kept)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "pcm")
    (tmp_path / "closed").mkdir(mode=0)
    sweep_temps(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert left(tmp_path) == sorted([*kept, "link"])


def test_a_run_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    """ARTIFACTS= may name a folder that holds something else, under the names of ours too."""
    corpus.small_corpus(tmp_path / "data")
    root, recipe = tmp_path / "proj", corpus.recipes(tmp_path / "recipes", corpus.MIX)
    theirs = [*THEIRS, "tiny-mix/notes.txt", "tiny-mix/take.h5", ".cache/inside/log", "pcm/.tmp-1"]
    theirs = [path for path in theirs if path != ".cache/scan.json"]  # a name that a run writes
    put(root, *theirs, f"pcm/00.{KEY}.pcm", f"tiny-mix/train-00.{KEY}.h5", ".cache/inside/12")
    here.features(tmp_path / "data", root, recipe)
    here.features(tmp_path / "data", root, recipe)
    there = left(root)
    assert [path for path in theirs if path not in there] == []
    assert not {f"pcm/00.{KEY}.pcm", f"tiny-mix/train-00.{KEY}.h5", ".cache/inside/12"} & {*there}
