"""Guessed labels from end to end: what is made again when anything changes, and what is not.

Reads and writes in pytest's folders. The recordings that are changed stand in splits of their own,
so that a shard tells of one.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile as sf

from pipeline import code, draws
from pipeline.disk import store
from tests import corpus, here

RATE, SECONDS, HOP = 8000, 12, 80
RECIPE = f"""\
name = "guess"
about = "who speaks, told or guessed"
[select]
roles = ["labelled"]
needs = "speakers"
[audio]
rate = {RATE}
[window]
samples = {5 * RATE}
hop = {5 * RATE}
min_fill = 0.1
edges = "recording"
[features.logmel]
kind = "mel"
n_fft = 256
hop = {HOP}
mels = 20
log = "ln"
[labels]
kind = "activity"
frame = {HOP}
speakers = 3
generate = true
[output]
fields = ["logmel", "activity", "voices", "generated"]
formats = ["hdf5"]
shard_mb = 1
"""
TOLD = [("ann", 0.5, 4.0), ("bob", 3.0, 6.5), ("ann", 7.0, 11.0)]
# name -> split and role; those with an r have RTTM, those with an n nothing
FILES = {
    "r1": ("train", "labelled"), "r2": ("test", "labelled"), "n1": ("valid", "labelled"),
    "n2": ("test", "labelled"), "clean": ("train", "clean"), "fan": ("train", "labelled"),
    "song": ("train", "labelled"),
}  # fmt: skip
NONE: set[str] = set()


def rttm(name: str, turns: list[tuple[str, float, float]]) -> str:
    return "".join(
        f"SPEAKER {name} 1 {a:.3f} {b - a:.3f} <NA> <NA> {who} <NA> <NA>\n" for who, a, b in turns
    )


def write(folder: Path, name: str, seed: int) -> None:
    """Two voices in turn, four seconds each."""
    parts = [corpus.voice(seed, 4.0), 2.5 * corpus.noise(seed, 3.0, "rain"), np.zeros(16000),
             corpus.voice(seed, 4.0)]  # fmt: skip
    sf.write(folder / f"{name}.wav", np.concatenate(parts), corpus.RATE, "PCM_16")


def listed(folder: Path) -> None:
    rows = ["path,role,group,split,label,tags,rttm"]
    for name, (split, role) in FILES.items():
        label, tags = ("fan" if name == "fan" else ""), ("slow" if name == "song" else "")
        own = f"{name}.rttm" if name[0] == "r" else ""
        rows.append(f"{name}.wav,{role},g-{name},{split},{label},{tags},{own}")
    (folder / "melmill.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guess")
    (root / "data").mkdir()
    for seed, name in enumerate(FILES):
        write(root / "data", name, seed)
        if name[0] == "r":
            (root / "data" / f"{name}.rttm").write_text(rttm(name, TOLD))
    listed(root / "data")
    told = here.features(root / "data", root / "artifacts", corpus.recipes(root, RECIPE))
    assert "2 recordings have generated labels" in told
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    for name in ("data", "artifacts"):
        here.copy(base / name, tmp_path / name)
    again(tmp_path)  # takes the stamps of the copy
    return tmp_path


def again(root: Path, **changes: Any) -> set[str]:
    """Kinds of files that a run with this recipe makes anew: entries by recording, shards and
    receipts by split, `index`, `pcm`. None of them twice."""
    artifacts, recipe = root / "artifacts", corpus.recipes(root, here.changed(RECIPE, **changes))
    before = here.stamps(artifacts)
    here.features(root / "data", artifacts, recipe)
    made = here.written(before, here.stamps(artifacts))
    names = {ident(root, name)[:16]: name for name in FILES}
    found = set()
    for path in made:
        top, _, rest = path.partition("/")
        if top == "labels":
            found.add(names[Path(path).name[:16]])
        elif top == "guess" and rest.endswith(".h5"):
            found.add(rest.split("-")[0])
        elif top == "pcm" or path == "guess/index.json":
            found.add(rest if top == "guess" else top)
    return found


def ident(root: Path, name: str) -> str:
    rows = [json.loads(line) for line in (root / "artifacts" / "manifest.jsonl").open()]
    found: str = next(r["id"] for r in rows if Path(r.get("path", "")).stem.split("-")[0] == name)
    return found


def entries(root: Path) -> list[Path]:
    return sorted((root / "artifacts" / "labels" / "guess").iterdir())


def rows(root: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted((root / "artifacts" / "guess").glob("*.h5")):
        with h5py.File(path) as file:
            arrays = {key: file[key][:] for key in file}
        found += [{k: v[i] for k, v in arrays.items()} for i in range(len(arrays["source"]))]
    return found


def of(root: Path, name: str) -> list[dict[str, Any]]:
    source = ident(root, name)[:32].encode()
    return sorted((r for r in rows(root) if r["source"] == source), key=lambda r: int(r["start"]))


# ------------------------------------------------------------------ what is stored


def test_recordings_with_nothing_said_are_guessed_and_marked(base: Path) -> None:
    for name, guessed in (("r1", 0), ("r2", 0), ("n1", 1), ("n2", 1)):
        found = of(base, name)
        assert [int(r["generated"]) for r in found] == [guessed] * 3
        assert any(r["activity"].any() for r in found)
    for name in ("fan", "song", "clean"):  # a label, tags, another role
        assert of(base, name) == []
    counts = json.loads((base / "artifacts/guess/index.json").read_text())["counts"]
    assert counts["generated"] == 2
    assert counts["files"] == {"train": 1, "valid": 1, "test": 2}
    assert here.verify(base / "artifacts")[0] == 0


def test_entries_are_what_the_shards_say(base: Path) -> None:
    for path in entries(base):
        entry = store.load_sealed(path)
        name = next(n for n in FILES if ident(base, n) == entry["id"])
        heard = np.zeros(SECONDS * 100, bool)
        for start, stop, _ in entry["turns"]:
            heard[start // HOP : -(-stop // HOP)] = True
        stored = np.concatenate([r["activity"].any(axis=1) for r in of(base, name)])
        assert np.array_equal(stored[: len(heard)], heard)


def test_every_recording_has_a_key_of_its_own(base: Path) -> None:
    assert len({store.load_sealed(path)["key"] for path in entries(base)}) == 2


def test_voices_join_the_windows_of_a_recording(base: Path) -> None:
    ann, bob = (draws.number(f"g-r1\x1f{who}") for who in ("ann", "bob"))
    assert [r["voices"].tolist() for r in of(base, "r1")] == [
        [ann, bob, 0], [bob, ann, 0], [ann, 0, 0]
    ]  # fmt: skip
    one, other = ({v for r in of(base, n) for v in r["voices"].tolist()} for n in ("n1", "n2"))
    first = draws.number(f"g-n1\x1f{ident(base, 'n1')}\x1f1")
    assert first in one
    assert one & other <= {0}  # a guessed name is true in its recording alone


# ------------------------------------------------------------------ what is made again


def test_nothing_changed_and_nothing_is_done(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("read or computed")

    monkeypatch.setattr("pipeline.labels.listen", refuse)
    monkeypatch.setattr("pipeline.labels._entry", refuse)
    monkeypatch.setattr("pipeline.packing._decode_one", refuse)
    before = here.stamps(root / "artifacts")
    assert again(root) == NONE
    assert here.stamps(root / "artifacts") == before


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"labels__frame": 400}, {"n1", "n2", "train", "valid", "test"}),
        ({"labels__speakers": 4}, {"n1", "n2", "train", "valid", "test"}),
        ({"labels__top": 49}, {"n1", "n2", "train", "valid", "test"}),
        ({"audio__rate": 16000}, {"n1", "n2", "train", "valid", "test"}),
        ({"labels__generate": False}, {"test"}),  # the two without RTTM are gone
        ({"about": "another text"}, NONE),
        ({"select__roles": ["labelled", "clean"]}, NONE),  # one speaker: there is nothing to guess
        ({"features__logmel__mels": 24}, {"train", "valid", "test"}),
        ({"output__fields": ["logmel", "activity"]}, {"train", "valid", "test"}),
    ],
    ids=lambda value: str(sorted(value)),
)
def test_a_key_of_the_recipe(root: Path, changes: dict[str, Any], wanted: set[str]) -> None:
    assert again(root, **changes) - {"index.json"} == wanted
    assert here.verify(root / "artifacts")[0] == 0
    assert len(entries(root)) == (0 if changes == {"labels__generate": False} else 2)
    assert again(root, **changes) == NONE


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "data" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


FILE_CHANGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "sound without RTTM": (lambda root: write(root / "data", "n1", 40), {"pcm", "n1", "valid"}),
    "sound with RTTM": (lambda root: write(root / "data", "r1", 41), {"pcm", "train"}),
    "a time": (replaced("r1.rttm", " 3.500 ", " 3.400 "), {"train"}),
    "a name": (replaced("r1.rttm", "bob", "eve"), {"train"}),
    "no more RTTM": (replaced("melmill.csv", "r1.rttm", ""), {"r1", "train"}),
    "a label": (replaced("melmill.csv", "g-n1,valid,", "g-n1,valid,hum"), NONE),
    "a comment": (replaced("r1.rttm", "SPEAKER r1 1 0.5", ";; so\nSPEAKER r1 1 0.5"), NONE),
}


@pytest.mark.parametrize("name", FILE_CHANGES)
def test_a_file(root: Path, name: str) -> None:
    change, wanted = FILE_CHANGES[name]
    change(root)
    assert again(root) - {"index.json"} == wanted
    assert here.verify(root / "artifacts")[0] == 0
    assert again(root) == NONE


def test_times_and_paths_change_nothing(root: Path) -> None:
    for path in (root / "data").iterdir():
        os.utime(path, (1e9, 1e9))
    assert again(root) == NONE
    for path in sorted((root / "data").glob("n*.wav")):
        path.rename(path.with_stem(f"{path.stem}-moved"))
        listing = root / "data" / "melmill.csv"
        listing.write_text(listing.read_text().replace(path.name, f"{path.stem}-moved.wav"))
    assert again(root) == {"index.json"}  # it says what corpus it is of


@pytest.mark.parametrize(
    ("module", "wanted"),
    [("dsp.whose", {"n1", "n2"}), ("shards", {"train", "valid", "test"}), ("scan", NONE)],
)
def test_the_code(
    root: Path, monkeypatch: pytest.MonkeyPatch, module: str, wanted: set[str]
) -> None:
    """Other code that guesses the same: entries are made again, and no shard."""
    real = code.version
    monkeypatch.setattr(
        code,
        "version",
        lambda name, *more: "other" if name in (module, "stages") else real(name, *more),
    )
    assert again(root) - {"index.json"} == wanted
    assert again(root) == NONE


def test_what_guesses_is_in_the_key() -> None:
    """An edit of any of these is another version of dsp.whose."""
    reached, waiting = {"dsp.whose"}, ["dsp.whose"]
    while waiting:
        for name in code._parsed(waiting.pop())[1] - reached:
            reached.add(name)
            waiting.append(name)
    assert {"dsp.clusters", "dsp.voice", "dsp.mel", "dsp.bands"} <= reached


def test_a_library(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "libraries", lambda *names: dict.fromkeys(names, "0.0"))
    assert again(root) - {"index.json"} == {"n1", "n2", "train", "valid", "test"}


# ------------------------------------------------------------------ damage


def test_a_damaged_entry_is_made_again_and_nothing_else(root: Path) -> None:
    path = entries(root)[0]
    good = path.read_bytes()
    name = next(n for n in FILES if ident(root, n).startswith(path.name[:16]))
    places = np.random.default_rng(0).integers(len(good), size=12)
    bad = [good[:k] + bytes([good[k] ^ (1 << k % 8)]) + good[k + 1 :] for k in places.tolist()]
    for data in (*bad, good[:-1], good[: len(good) // 2], b"", good + b" "):
        path.write_bytes(data)
        code_, told = here.verify(root / "artifacts")
        assert code_ == 1
        assert str(path) in told
        assert again(root) == {name}
        assert path.read_bytes() == good
    path.unlink()
    assert here.verify(root / "artifacts")[0] == 1
    assert again(root) == {name}
    assert path.read_bytes() == good
    assert here.verify(root / "artifacts")[0] == 0


def test_another_recordings_entry_is_not_read(root: Path) -> None:
    one, other = entries(root)
    one.write_bytes(other.read_bytes())
    assert here.verify(root / "artifacts")[0] == 1
    (name,) = again(root)
    assert ident(root, name).startswith(one.name[:16])


def test_a_mark_that_is_wrong_is_seen(root: Path) -> None:
    (root / "artifacts/labels/guess").rename(root / "elsewhere")
    _, told = here.verify(root / "artifacts")
    assert "generated marks other recordings" in told
    assert "labels of 0 recordings, not of 2" in told


def test_what_nothing_names_is_swept(root: Path) -> None:
    stray = entries(root)[0].with_name(f"{'0' * 16}.{'1' * 12}.json")
    stray.write_text("{}")
    again(root)
    assert not stray.exists()
    here.here("clean", "--artifacts", root / "artifacts")
    assert not (root / "artifacts" / "labels").exists()


def test_same_bytes_for_any_number_of_workers(base: Path, tmp_path: Path) -> None:
    args = ["features", "--data", base / "data", "--recipe", corpus.recipes(tmp_path, RECIPE)]
    done = corpus.run([*args, "--artifacts", tmp_path / "a", "--jobs", 2])
    assert done.returncode == 0, done.stderr
    assert corpus.tree_hash(tmp_path / "a") == corpus.tree_hash(base / "artifacts")
