"""A file changed, touched, removed, added or renamed: what depends on it is made again, no more.

Reads and writes in pytest's folders. The oracle is a clean build of the changed folder.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile as sf

from pipeline.audio.pcm import Pack
from tests import corpus, here


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, recipes/ and artifacts/ with both tiny recipes built."""
    root = tmp_path_factory.mktemp("files")
    corpus.small_corpus(root / "data")
    here.features(root / "data", root / "artifacts", corpus.recipes(root / "recipes"))
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    """A copy of it to change, its stamps taken."""
    for name in ("data", "recipes", "artifacts"):
        here.copy(base / name, tmp_path / name)
    assert "nothing to do: all" in features(tmp_path)
    return tmp_path


def features(root: Path, *args: object, artifacts: str = "artifacts") -> str:
    known = ("--max-rejected", 100, *args)
    return here.features(root / "data", root / artifacts, corpus.recipes(root / "recipes"), *known)


def new_files(root: Path, before: here.Stamps) -> set[str]:
    found = here.written(before, here.stamps(root / "artifacts"))
    return {name for name in found if not name.startswith(".cache")}


def equals_clean(root: Path, *args: object) -> None:
    features(root, *args, artifacts="clean")
    assert corpus.tree_hash(root / "artifacts") == corpus.tree_hash(root / "clean")
    assert here.verify(root / "artifacts")[0] == 0
    before = here.stamps(root / "artifacts")
    assert "nothing to do: all" in features(root, *args)
    assert here.stamps(root / "artifacts") == before


def decoded(told: str) -> int:
    found = re.search(r"decode: (\d+) files?\b", told)
    return int(found[1]) if found else 0


def packs_of(artifacts: Path) -> dict[str, str]:
    """Recording -> the pack it stands in; in one only."""
    found: dict[str, str] = {}
    for path in (artifacts / "pcm").glob("*.pcm"):
        for ident in Pack(path).recordings:
            assert ident not in found
            found[ident] = path.name
    return found


def test_nothing_changed(root: Path) -> None:
    before = here.stamps(root / "artifacts")
    told = features(root)
    assert "decode: nothing to do" in told
    assert here.stamps(root / "artifacts") == before


def test_same_size_and_time_but_other_bytes(root: Path) -> None:
    path = root / "data" / "voice2-0.wav"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[5000:5100] = bytes(100)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert decoded(features(root)) == 1
    equals_clean(root)


@pytest.mark.parametrize("when", [0.0, 1.5e9, 4.0e9])
def test_only_touched(root: Path, when: float) -> None:
    """1970, the past and the future: times decide nothing, and nothing warns or loops."""
    for path in (root / "data").iterdir():
        os.utime(path, (when, when))
    before = here.stamps(root / "artifacts")
    told = features(root)
    assert "decode: nothing to do" in told
    assert "nothing to do: all" in told
    assert new_files(root, before) == set()
    again = here.stamps(root / "artifacts")
    features(root)
    assert here.stamps(root / "artifacts") == again


def test_rewritten_with_the_same_bytes(root: Path) -> None:
    for path in list((root / "data").iterdir()):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    before = here.stamps(root / "artifacts")
    assert "nothing to do: all" in features(root)
    assert new_files(root, before) == set()


@pytest.mark.parametrize("name", ["voice1-0.flac", "rain2.mp3", "voice3-1.wav"])
def test_removed(root: Path, name: str) -> None:
    (root / "data" / name).unlink()
    told = features(root)
    assert decoded(told) == 0
    assert "1 missing" in told
    equals_clean(root)


def test_removed_from_the_list_too(root: Path) -> None:
    (root / "data" / "voice3-1.wav").unlink()
    _rows(root, lambda rows: [row for row in rows if not row.startswith("voice3-1")])
    assert decoded(features(root)) == 0
    equals_clean(root)


def _rows(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = root / "data" / "melmill.csv"
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def test_added(root: Path) -> None:
    """Its own pack and the shards of its own bucket; the other packs and shards stay."""
    old = packs_of(root / "artifacts")
    sf.write(root / "data" / "voice1-9.wav", corpus.voice(77, 2.0), corpus.RATE, "PCM_16")
    _rows(root, lambda rows: [*rows[:-1], "voice1-9.wav,clean,,voice1", ""])
    before = here.stamps(root / "artifacts")
    assert decoded(features(root)) == 1
    new = new_files(root, before)
    now = packs_of(root / "artifacts")
    (added,) = now.keys() - old.keys()
    bits = f"{int(added[:2], 16):08b}"[:2]
    assert {n for n in new if n.startswith("pcm/")} == {f"pcm/{now[added]}", "pcm/index.json"}
    assert now[added].startswith(bits)
    shards = {n for n in new if n.endswith((".h5", ".tfrecord"))}
    assert len(shards) == 1
    assert re.fullmatch(rf"tiny-mix/(train|valid|test)-{bits}-0\..*", *shards)
    equals_clean(root)


def test_a_new_file_takes_only_the_draws_it_wins(root: Path) -> None:
    """More ambient noise changes some mixtures of its split, no other split and no other recipe."""
    splits = (root / "artifacts" / "splits.csv").read_text()
    sf.write(root / "data" / "rain9.wav", corpus.noise(9, 2.0, "rain"), corpus.RATE, "PCM_16")
    _rows(root, lambda rows: [*rows[:-1], "rain9.wav,noise,rain,hum1.wav", ""])  # a known group
    before = here.stamps(root / "artifacts")
    assert decoded(features(root)) == 1
    assert (root / "artifacts" / "splits.csv").read_text() == splits
    split = re.search(r'"hum1.wav","(\w+)"', splits)[1]  # type: ignore[index]
    shards = {n for n in new_files(root, before) if n.endswith((".h5", ".tfrecord"))}
    assert shards
    assert all(split in name for name in shards), shards
    equals_clean(root)


def test_renamed(root: Path) -> None:
    old = packs_of(root / "artifacts")
    (root / "data" / "voice0-1.wav").rename(root / "data" / "another name.wav")
    _rows(root, lambda rows: [row.replace("voice0-1.wav", "another name.wav") for row in rows])
    before = here.stamps(root / "artifacts")
    assert decoded(features(root)) == 0
    assert packs_of(root / "artifacts") == old
    new = new_files(root, before)
    assert new <= {"manifest.jsonl", "tiny-mix/index.json", "tiny-classes/index.json"}
    equals_clean(root)


def test_folder_moved(root: Path) -> None:
    (root / "data").rename(root / "moved")
    before = here.stamps(root / "artifacts")
    told = here.features(root / "moved", root / "artifacts", corpus.recipes(root / "recipes"))
    assert "decode: nothing to do" in told
    assert new_files(root, before) == set()


def test_a_label_changed_in_the_list(root: Path) -> None:
    _rows(root, lambda rows: [row.replace("hum1.wav,noise,hum", "hum1.wav,noise,rain")
                              for row in rows])  # fmt: skip
    before = here.stamps(root / "artifacts")
    assert decoded(features(root)) == 0
    assert not {n for n in new_files(root, before) if n.startswith("pcm/")}
    equals_clean(root)


def test_a_copy_added(root: Path) -> None:
    shutil.copy(root / "data" / "voice0-0.wav", root / "data" / "zz.wav")
    _rows(root, lambda rows: [*rows[:-1], "zz.wav,clean,,voice0", ""])
    before = here.stamps(root / "artifacts")
    told = features(root)
    assert "1 duplicate" in told
    assert decoded(told) == 0
    assert not {n for n in new_files(root, before) if n.endswith((".h5", ".pcm", ".tfrecord"))}
    equals_clean(root)


def test_splits_given_back(root: Path) -> None:
    given = shutil.copy(root / "artifacts" / "splits.csv", root / "given.csv")
    before = here.stamps(root / "artifacts")
    assert "nothing to do: all" in features(root, "--splits", given)
    assert new_files(root, before) == set()
    text = given.read_text()
    assert '"voice1","train"' in text or '"voice0","train"' in text
    voice = "voice1" if '"voice1","train"' in text else "voice0"
    given.write_text(text.replace(f'"{voice}","train"', f'"{voice}","test"'))
    features(root, "--splits", given)
    assert f'"{voice}","test"' in (root / "artifacts" / "splits.csv").read_text()
    equals_clean(root, "--splits", given)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_nobody_moves_in_a_large_corpus(seed: int) -> None:
    """One newcomer among 400 speakers: no other speaker's split changes."""
    from pipeline.layouts import splits

    def of(count: int) -> dict[str, str]:
        items = [
            splits.Item(f"{i:064x}", f"{i}.wav", f"speaker-{seed}-{i}", "", "clean", "", None)
            for i in range(count)
        ]
        return dict(splits.assign(items))

    before = of(400)
    moved = []
    for count in range(401, 421):
        after = of(count)
        moved += [name for name, split in before.items() if after[name] != split]
        before = after
    assert moved == []
