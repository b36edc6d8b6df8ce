"""The attack files, in one listing: what each is, and where it is planted.

Reads a small corpus. Does: writes pickles, archives, links, pipes and forged files that would run
code, read a secret or write outside, if anything believed them. Writes: into the folder given.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
import soundfile as sf

from pipeline.disk import store
from tests import corpus
from tests.fuzz_files import with_pyav
from training.engine.checkpoint import MAGIC

SECRET = b"the-secret-is-7f3a9c"


class Runs:
    """Unpickled, it makes a folder: the canary."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.fspath(self.path),)


class Planted:
    """data/ with a corpus, secret/ beside it, and where the canary would stand."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.secret = root, root / "data", root / "secret"
        self.canary, self.artifacts = root / "canary", root / "artifacts"
        corpus.small_corpus(self.data)
        self.secret.mkdir()
        self.voice = np.round(corpus.voice(99, 1.0) * 32767).astype("<i2")
        sf.write(self.secret / "voice.wav", self.voice, corpus.RATE, "PCM_16")
        (self.secret / "talk.rttm").write_text(f"SPEAKER x 1 0 1 <NA> <NA> {SECRET.decode()} 1 1\n")
        (self.secret / "list.csv").write_bytes(b"group,split\n" + SECRET + b",train\n")
        (self.secret / "key.txt").write_bytes(SECRET * 9)
        self.bomb = pickle.dumps(Runs(self.canary))

    def outside(self) -> dict[str, tuple[object, ...]]:
        """What stands outside of the artifacts, and in which state."""
        found = {}
        for top in (self.secret, self.root):
            for path in [top, *top.rglob("*")] if top != self.root else sorted(top.iterdir()):
                status, name = path.lstat(), path.name
                if name not in ("artifacts", "recipes", "data"):
                    data = path.read_bytes() if path.is_file() else b""
                    size = (status.st_size, status.st_mtime_ns) if data or path != self.root else 0
                    found[os.fspath(path)] = (status.st_ino, size, status.st_mode, data)
        return found

    def leaks(self, told: str = "") -> list[str]:
        """Where the secret's text or samples came out."""
        spied = (SECRET, self.voice[4000:4400].tobytes())
        found = ["output"] if SECRET.decode() in told else []
        for path in self.artifacts.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                found += [path.name for one in spied if one in data]
        return found


def _zip(name: str, data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return held.getvalue()


def _npy(world: Planted) -> bytes:
    held = io.BytesIO()
    np.save(held, np.array([Runs(world.canary)], object), allow_pickle=True)
    return held.getvalue()


def _elsewhere(world: Planted) -> bytes:
    """QuickTime whose samples lie in another file (ISO 14496-12, data reference box)."""
    path = world.root / "box"
    with_pyav(path, "m4a", "aac", corpus.voice(5, 1.0))
    raw = path.read_bytes()
    path.unlink()
    return raw.replace(b"url \0\0\0\1", b"url \0\0\0\0")


def _tfrecord(length: int, body: bytes, crc: bool = True) -> bytes:
    def masked(data: bytes) -> bytes:
        value = google_crc32c.value(data)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    head = struct.pack("<Q", length)
    return head + masked(head) + body + (masked(body) if crc else b"")


def _lambda(world: Planted) -> bytes:
    """A model of Keras with a layer of code, as keras.models.load_model runs it."""
    layer = {"class_name": "Lambda", "config": {"function": ["4wAAAA==", None, None]}}
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": [layer]})
        file.attrs["layer_names"] = [b"lambda"]
        file.create_group("lambda").attrs["weight_names"] = [b"lambda/kernel:0"]
    return held.getvalue()


def _ckpt(world: Planted) -> bytes:
    data = MAGIC + len(world.bomb).to_bytes(8, "little") + world.bomb
    return data + hashlib.sha256(data).digest()


Make = Callable[[Planted], bytes]
YAML = "!!python/object/apply:os.mkdir [{0}]\n"
# In data/, all at once: name -> content.
FILES: dict[str, Make] = {
    **{f"pickle{end}": lambda w: w.bomb for end in (".wav", ".flac", ".mp3", ".ogg", ".npy", ".h5",
       ".ckpt", ".tfrecord", ".json", ".pcm", ".rttm")},
    "object.npy": _npy, "objects.npz": lambda w: _zip("a.npy", _npy(w)),
    "objects.wav": lambda w: _zip("a.npy", _npy(w)),
    "bomb.wav": lambda w: _zip("a.wav", bytes(50 << 20)),
    "bomb.flac": lambda w: gzip.compress(bytes(50 << 20)),
    "up.wav": lambda w: _zip("../../canary", b"x"),
    "playlist.m4a": lambda w: f"#EXTM3U\nfile://{w.secret}/voice.wav\n".encode(),
    "concat.mp4": lambda w: f"ffconcat version 1.0\nfile {w.secret}/voice.wav\n".encode(),
    "elsewhere.m4a": _elsewhere,
    "sitecustomize.py": lambda w: f"import os; os.mkdir({os.fspath(w.canary)!r})".encode(),
    "conftest.py": lambda w: f"import os; os.mkdir({os.fspath(w.canary)!r})".encode(),
    "config.yaml": lambda w: YAML.format(w.canary).encode(),
    "talk.rttm": lambda w: b"SPEAKER ../secret/voice 1 0 1 <NA> <NA> ann <NA> <NA>\n",
}  # fmt: skip
# In data/: name -> what it points at, from the root; "|" a pipe, "=" a socket, "0" a device.
LINKS = {
    "link.wav": "secret/voice.wav", "away": "secret", "link.rttm": "secret/talk.rttm",
    "environ.wav": "/proc/self/environ", "zero.wav": "/dev/zero", "round.wav": "data/round.wav",
    "pipe.wav": "|", "pipe.rttm": "|", "socket.wav": "=", "device.wav": "0",
}  # fmt: skip
# Rows of data/melmill.csv: what the run must say of each, in rejected.csv.
ROWS = {
    "../secret/voice.wav": "outside_root", "{root}/secret/voice.wav": "outside_root",
    "away/voice.wav": "missing", "link.wav": "not_regular", "a\0b.wav": "bad_list_row",
    "..\\secret\\voice.wav": "outside_root", "C:\\secret\\voice.wav": "outside_root",
    "file:///etc/hostname": "missing", "=cmd|' /C calc'!A0": "missing", "@SUM(1+1)": "missing",
    "$(touch canary)": "missing", "`touch canary`": "missing",
}  # fmt: skip
# In place of what runs make: name in artifacts -> what it points at, or content.
MADE: dict[str, str | Make] = {
    "splits.csv": "secret/list.csv", "rejected.csv": "secret/key.txt",
    "manifest.jsonl": "secret/list.csv", ".cache/scan.json": "secret/key.txt",
    ".cache/last.json": lambda w: w.bomb, ".tmp-1-0123456789ab": "secret/key.txt",
    "pcm/index.json": "secret/key.txt", "tiny-mix/index.json": lambda w: w.bomb,
    "tiny-mix/train-01-0.0123456789ab.h5": "secret/voice.wav",
    "tiny-mix/train-01-0.0123456789ab.tfrecord": lambda w: w.bomb,
    "pcm/00.0123456789ab.pcm": "secret/voice.wav",
}  # fmt: skip
FOLDERS = ("pcm", "tiny-mix", "labels", ".cache", "demo", "labels/tiny-mix", ".lock")
# In place of one shard, under an index that was forged to fit.
SHARDS: dict[str, Make] = {
    "pickle.h5": lambda w: w.bomb, "npz.h5": lambda w: _zip("a.npy", _npy(w)), "lambda.h5": _lambda,
    "pickle.tfrecord": lambda w: w.bomb,
    "inside.tfrecord": lambda w: _tfrecord(len(w.bomb), w.bomb),
    **{f"{n:x}.tfrecord": (lambda w, n=n: _tfrecord(n, bytes(99), crc=False))
       for n in (2**31 - 1, 2**32 - 1, 2**60, 2**63, 2**64 - 1)},
}  # fmt: skip
# Given as WEIGHTS=, INIT= or TEACHER=, or in place of a run's notes.
WEIGHTS: dict[str, Make] = {
    "torch.pt": lambda w: _zip("archive/data.pkl", w.bomb), "old.pth": lambda w: w.bomb,
    "lambda.h5": _lambda, "model.keras": lambda w: _zip("config.json", w.bomb),
    "pickle.ckpt": lambda w: w.bomb, "hashed.ckpt": _ckpt, "objects.npz": lambda w: _npy(w),
}  # fmt: skip
NAMES = ("../x", "/tmp/x", "a/b", "..", ".", "", "a\0b", "-x", "x" * 101, "a\nb", "~", "*", "$(x)")

SPLITS = ("pipe", "/dev/zero", "folder")


def listing() -> list[str]:
    """Every attack, by where it stands and its name."""
    held = {"data": FILES, "link": LINKS, "row": ROWS, "made": MADE, "folder": FOLDERS,
            "shard": SHARDS, "weights": WEIGHTS, "name": NAMES, "splits": SPLITS}  # fmt: skip
    return [f"{place}:{name}" for place, names in held.items() for name in names]


def plant(world: Planted) -> None:
    """All that stands in data/."""
    for name, make in FILES.items():
        (world.data / name).write_bytes(make(world))
    for name, target in LINKS.items():
        _special(world.data / name, target, world.root)
    with open(world.data / "melmill.csv", "a", newline="") as file:
        for row in ROWS:
            file.write(f'"{row.format(root=world.root)}",clean,,thief\n')


def _special(path: Path, target: str, root: Path) -> None:
    if target == "|":
        os.mkfifo(path)
    elif target == "=":
        with socket.socket(socket.AF_UNIX) as one:
            here = os.open(path.parent, os.O_RDONLY)  # a name for a socket may have 108 bytes
            one.bind(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)
    elif target == "0":
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        except OSError:  # devices are for root: a pipe is as strange
            os.mkfifo(path)
    else:
        path.symlink_to(root / target)


def put(world: Planted, name: str) -> Path:
    """One of MADE."""
    path, what = world.artifacts / name, MADE[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if isinstance(what, str):
        path.symlink_to(world.root / what)
    else:
        path.write_bytes(what(world))
    return path


def sealed(folder: Path, name: str, data: bytes, fields: list[dict[str, object]]) -> None:
    """A folder of one shard, under an index as a thief with our code would seal it."""
    folder.mkdir()
    (folder / name).write_bytes(data)
    form = "hdf5" if name.endswith("h5") else "tfrecord"
    shard = {"path": name, "split": "train", "format": form, "examples": 3, "bytes": len(data),
             "sha256": store.sha256(data)}  # fmt: skip
    told = {"dtype": "float32", "shape": [4], "cast": "float32"}
    value = {
        "schema": 1, "name": "forged", "key": "k", "fingerprint": "f", "recipe": {"mix": None},
        "fields": fields, "classes": [], "tags": [], "noises": [], "names": {}, "statistics": {},
        "shards": [shard], "receipts": [], "noise": [], "noise_fields": [], "counts": {},
        "feature_description": {"x": told},
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(value), pretty=True))
