"""Folders, lists, indexes and files made to read or write elsewhere, or to run code.

Reads and writes in pytest's folders. Does: plants a secret beside the data, points at it in every
way we know, and looks whether its samples or name come out; plants code, and looks whether it ran.
"""

import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile as sf

from pipeline.disk import store
from pipeline.errors import MelmillError
from pipeline.formats import hdf5
from pipeline.formats.fields import Field
from tests import corpus, here
from training.data.index import DataError, load_index
from training.data.shards import read_shard


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """data/, recipes/, and secret/ beside them with a recording and a text."""
    corpus.small_corpus(tmp_path / "data")
    corpus.recipes(tmp_path / "recipes")
    secret = tmp_path / "secret"
    secret.mkdir()
    sf.write(secret / "voice.wav", corpus.voice(99, 1.0), corpus.RATE, "PCM_16")
    (secret / "list.csv").write_text("path,role\nx.wav,clean\n")
    return tmp_path


def build(world: Path) -> str:
    return here.features(world / "data", world / "artifacts", corpus.recipes(world / "recipes"),
                         "--max-rejected", 100)  # fmt: skip


def heard(world: Path) -> set[str]:
    """Paths of the recordings that were decoded."""
    lines = (world / "artifacts" / "manifest.jsonl").read_text().splitlines()
    held = [json.loads(line) for line in lines[1:-1]]
    return {row["path"] for row in held if not row.get("reject")}


def outside(world: Path) -> dict[str, int]:
    """Everything but the artifacts, with its ctime: nothing there may be written."""
    return {os.fspath(p): p.lstat().st_ctime_ns for p in world.rglob("*")
            if p.relative_to(world).parts[0] not in ("artifacts", "recipes")}  # fmt: skip


PATHS = ["../secret/voice.wav", "sub/../../secret/voice.wav", "{world}/secret/voice.wav",
         "away/voice.wav", "voice-link.wav", "a\0b.wav", "..", "/", "~/x.wav", "//secret/voice.wav",
         "./../secret/voice.wav", "..\\secret\\voice.wav", "file:///etc/hostname",
         "C:\\secret\\voice.wav"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_list_that_points_elsewhere(world: Path, path: str) -> None:
    (world / "data" / "away").symlink_to(world / "secret")
    (world / "data" / "voice-link.wav").symlink_to(world / "secret" / "voice.wav")
    with open(world / "data" / "melmill.csv", "a", newline="") as file:
        file.write(f'"{path.format(world=world)}",clean,,thief\n')
    before = outside(world)
    good = {p.name for p in (world / "data").glob("*") if not p.is_symlink()} - {"melmill.csv"}
    build(world)
    assert heard(world) == good
    assert outside(world) == before
    text = (world / "artifacts" / "rejected.csv").read_text()
    assert text.count("\n") >= 3
    assert not any(code in text for code in ("not_audio", "empty,")), "it was opened"


@pytest.mark.parametrize("target", ["secret/list.csv", "data"])
def test_a_list_that_is_a_link(world: Path, target: str) -> None:
    (world / "data" / "melmill.csv").unlink()
    (world / "data" / "melmill.csv").symlink_to(world / target)
    before = outside(world)
    with contextlib.suppress(MelmillError):  # no labels are left for one of the recipes
        here.features(world / "data", world / "artifacts", corpus.recipes(world / "recipes"),
                      "--max-rejected", 100, "--role", "noise")  # fmt: skip
    assert "x.wav" not in (world / "artifacts" / "manifest.jsonl").read_text()
    assert outside(world) == before


def test_rttm_that_points_elsewhere(world: Path) -> None:
    (world / "secret" / "talk.rttm").write_text("SPEAKER x 1 0 1 <NA> <NA> spy <NA> <NA>\n")
    (world / "data" / "link.rttm").symlink_to(world / "secret" / "talk.rttm")
    rows = "path,role,rttm\nvoice0-0.wav,labelled,../secret/talk.rttm\n"
    rows += "voice2-0.wav,labelled,link.rttm\nvoice3-0.wav,clean,\n"
    (world / "data" / "melmill.csv").write_text(rows)
    with pytest.raises(MelmillError):
        build(world)
    assert "spy" not in (world / "artifacts" / "manifest.jsonl").read_text()


def test_links_in_artifacts_are_not_written_through(world: Path) -> None:
    """A link planted under a name that a run writes is replaced, not followed."""
    (world / "artifacts").mkdir()
    kept = world / "secret" / "list.csv"
    for name in ("splits.csv", "rejected.csv", "manifest.jsonl"):
        (world / "artifacts" / name).symlink_to(kept)
    before = kept.read_bytes()
    build(world)
    assert kept.read_bytes() == before
    assert not (world / "artifacts" / "splits.csv").is_symlink()


FIELDS = [Field("x", "float32", (4,), "", ("n",))]


def forged(folder: Path, kind: str) -> Path:
    """A shard that is not one plain array in the file."""
    path = folder / f"{kind}.h5"
    other = folder / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.full((3, 4), 7, np.float32)
    (folder / "raw.bin").write_bytes(bytes(48))
    with h5py.File(path, "w") as file:
        if kind == "external-link":
            file["x"] = h5py.ExternalLink(os.fspath(other), "x")
        elif kind == "soft-link":
            file["y"] = np.zeros((3, 4), np.float32)
            file["x"] = h5py.SoftLink("/y")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 4), np.float32)
            layout[:] = h5py.VirtualSource(os.fspath(other), "x", (3, 4))
            file.create_virtual_dataset("x", layout)
        elif kind == "external-storage":
            file.create_dataset("x", (3, 4), np.float32,
                                external=[(os.fspath(folder / "raw.bin"), 0, 48)])  # fmt: skip
        elif kind == "huge":
            file.create_dataset("x", (10**12, 4), np.float32, chunks=(1000, 4))
        elif kind == "object":
            file.create_dataset("x", (3,), h5py.string_dtype())
    return path


KINDS = ["external-link", "soft-link", "virtual", "external-storage", "huge", "object", "pickle"]


@pytest.mark.parametrize("kind", KINDS)
def test_forged_shards(tmp_path: Path, kind: str) -> None:
    """Refused by both readers even where the index was forged to fit."""
    ran = tmp_path / "ran"
    path = tmp_path / "pickle.h5" if kind == "pickle" else forged(tmp_path, kind)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(_Runs(ran)))
    with pytest.raises(MelmillError):
        hdf5.decode(path, FIELDS)
    with pytest.raises(MelmillError):
        hdf5.decode(path.read_bytes(), FIELDS)
    folder = tmp_path / "forged"
    folder.mkdir()
    shutil.copy(path, folder / "train-0.h5")
    _index(folder, [_entry(folder, "train-0.h5")])
    with pytest.raises(DataError):
        _train(folder)
    assert not ran.exists()


def _train(folder: Path) -> None:
    index = load_index(folder)
    read_shard(index, index.shards("train", "hdf5")[0])


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.fspath(self.path),)


def _entry(folder: Path, name: str, path: str = "") -> dict[str, object]:
    data = (folder / name).read_bytes()
    return {
        "path": path or name, "split": "train", "format": "hdf5", "examples": 3,
        "bytes": len(data), "sha256": store.sha256(data),
    }  # fmt: skip


def _index(folder: Path, shards: list[dict[str, object]]) -> None:
    """As a thief with our code would seal it."""
    value = {
        "schema": 1, "name": "forged", "key": "k", "fingerprint": "f", "recipe": {"mix": None},
        "fields": [f.to_json() for f in FIELDS], "classes": [], "tags": [], "noises": [],
        "names": {}, "statistics": {}, "shards": shards, "receipts": [], "noise": [],
        "noise_fields": [], "counts": {}, "feature_description": {},
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(value), pretty=True))


@pytest.mark.parametrize("path", ["../plain.h5", "{folder}/../plain.h5", "sub/../../plain.h5",
                                  "link.h5", "away/plain.h5", "a\0b", "."])  # fmt: skip
def test_an_index_that_points_elsewhere(world: Path, path: str) -> None:
    """Well sealed, well hashed, and refused: by training, by verify, by the next run."""
    build(world)
    folder = world / "artifacts" / "tiny-mix"
    plain = hdf5.encode(FIELDS, {"x": np.ones((3, 4), np.float32)}, {})
    (world / "artifacts" / "plain.h5").write_bytes(plain)
    (folder / "link.h5").symlink_to(world / "artifacts" / "plain.h5")
    (folder / "away").symlink_to(world / "artifacts")
    _index(folder, [_entry(world / "artifacts", "plain.h5", path.format(folder=folder))])
    with pytest.raises(DataError):
        _train(folder)
    assert here.verify(world / "artifacts")[0] == 1
    (folder / "link.h5").unlink()
    (folder / "away").unlink()
    build(world)
    assert (world / "artifacts" / "plain.h5").read_bytes() == plain
    load_index(folder)
    (world / "artifacts" / "plain.h5").unlink()
    assert here.verify(world / "artifacts")[0] == 0


def test_receipts_that_point_elsewhere(world: Path) -> None:
    """A forged receipt must not make a run read, remove or trust what lies outside."""
    build(world)
    wanted = corpus.tree_hash(world / "artifacts")
    folder = world / "artifacts" / "tiny-mix"
    thing = world / "secret" / "voice.wav"
    for path in sorted(folder.glob("train-*.json")):
        receipt = json.loads(path.read_text())
        receipt["files"][0] |= {
            "path": "../../secret/voice.wav", "bytes": thing.stat().st_size,
            "sha256": store.sha256(thing.read_bytes()),
        }  # fmt: skip
        store.write_bytes(path, store.dump_json(store.seal(receipt)))
    (folder / "index.json").unlink()
    before = outside(world)
    build(world)
    assert outside(world) == before
    assert corpus.tree_hash(world / "artifacts") == wanted


def test_pickles_where_data_is_expected(world: Path) -> None:
    """Under every name that a run reads: no code runs, and the tree mends itself."""
    build(world)
    wanted = corpus.tree_hash(world / "artifacts")
    ran = world / "ran"
    bomb = pickle.dumps(_Runs(ran))
    for path in sorted(p for p in (world / "artifacts").rglob("*") if p.is_file()):
        if path.name != ".lock":
            path.write_bytes(bomb)
    (world / "data" / "bomb.wav").write_bytes(bomb)
    assert here.verify(world / "artifacts")[0] == 1
    build(world)
    (world / "data" / "bomb.wav").unlink()
    build(world)
    assert not ran.exists()
    assert corpus.tree_hash(world / "artifacts") == wanted


def test_recipes_that_point_elsewhere(world: Path) -> None:
    for name in ("../out", "/tmp/out", "a/b", "pcm", ".cache", "demo", ""):
        recipe = corpus.recipes(world / "bad", here.changed(corpus.MIX))
        Path(recipe).write_text(here.changed(corpus.MIX, name=name))
        with pytest.raises(MelmillError, match="name"):
            here.features(world / "data", world / "artifacts", recipe)
    assert not (world / "out").exists()
