"""Bits flipped, files cut, deleted, swapped and added: seen by verify and by training, then mended.

Reads and writes in pytest's folders. Does: damages a finished tree in one place, keeping size and
times where it can; nothing may be read as good, and the next run must end in the same bytes.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from pipeline import scan
from pipeline.audio import pcm
from pipeline.disk import stamps, store
from pipeline.errors import MelmillError
from tests import corpus, here
from tests.sweeps import note
from training.data.index import DataError, load_index
from training.data.shards import check_shard

SEED = 7
FLIPS, MANY = 72, 1000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage")
    corpus.small_corpus(root / "data")
    here.features(root / "data", root / "artifacts", corpus.recipes(root / "recipes"))
    return root


class World:
    """A tree to damage, and what it held."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"
        self.features()
        self.hash = corpus.tree_hash(self.artifacts)
        self.files = [p for p in sorted(self.artifacts.rglob("*"))
                      if p.is_file() and ".cache" not in p.parts and p.name != ".lock"]  # fmt: skip

    def features(self) -> str:
        return here.features(self.root / "data", self.artifacts,
                             corpus.recipes(self.root / "recipes"))  # fmt: skip

    def mend(self) -> set[str]:
        """Run again; the files that this wrote. The tree must be what it was."""
        before = here.stamps(self.artifacts)
        self.features()
        assert corpus.tree_hash(self.artifacts) == self.hash
        made = here.written(before, here.stamps(self.artifacts))
        return {name for name in made if not name.startswith(".cache")}

    def kind(self, path: Path) -> str:
        if path.parent == self.artifacts:
            return path.name
        name = path.name if path.name == "index.json" else path.suffix
        return f"pcm/{name}" if path.parent.name == "pcm" else name


@pytest.fixture
def world(base: Path, tmp_path: Path) -> World:
    for name in ("data", "recipes", "artifacts"):
        here.copy(base / name, tmp_path / name)
    return World(tmp_path)


def overwrite(path: Path, data: bytes) -> None:
    """Other bytes in the same file, its times set back: only ctime tells."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.truncate(len(data))
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def training_refuses(folder: Path) -> bool:
    try:
        index = load_index(folder)
        for shard in (*index.entries, *index.noise):
            check_shard(index, shard)
    except DataError:
        return True
    return False


TRAINED = {".h5", ".tfrecord", "index.json"}  # what training reads
REBUILDS = {  # kind -> what mending may write beside the damaged file itself
    ".json": {".h5", ".tfrecord", ".json"},  # a receipt: its task is done again
    "index.json": {"index.json"},
    "pcm/.pcm": {".pcm"},
    "pcm/index.json": {"index.json"},
}


def check_damage(world: World, path: Path, data: bytes) -> None:
    """`data` in place of the file: noticed by name, refused by training, mended alone."""
    kind, name = world.kind(path), path.relative_to(world.artifacts).as_posix()
    before = path.read_bytes()
    overwrite(path, data)
    code, told = here.verify(world.artifacts)
    assert code == 1, f"verify saw nothing in {name}"
    assert path.name in told
    if kind in TRAINED and not (kind == "index.json" and _same_meaning(data, before)):
        assert training_refuses(path.parent), name
    made = world.mend()
    assert name in made
    allowed = REBUILDS.get(kind, set())
    stem = path.name.split(".")[0]
    for other in made - {name}:
        assert Path(other).suffix in allowed or Path(other).name in allowed, (name, other)
        assert kind != ".json" or Path(other).name.split(".")[0] == stem, (name, other)
    assert here.verify(world.artifacts)[0] == 0


def _same_meaning(one: bytes, two: bytes) -> bool:
    """Such as 1e-05 and 1E-05, or a newline less at the end."""
    try:
        return bool(json.loads(one) == json.loads(two))
    except ValueError:
        return False


def spread(world: World, count: int) -> list[tuple[Path, int, int]]:
    """(file, byte, bit): every kind of file as often as any other."""
    draw = random.Random(SEED)
    kinds: dict[str, list[Path]] = {}
    for path in world.files:
        if path.stat().st_size:
            kinds.setdefault(world.kind(path), []).append(path)
    names = sorted(kinds)
    found = []
    for number in range(count):
        path = draw.choice(kinds[names[number % len(names)]])
        found.append((path, draw.randrange(path.stat().st_size), draw.randrange(8)))
    return found


@pytest.mark.parametrize("count", [FLIPS, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_flipped_bits(world: World, count: int) -> None:
    for path, at, bit in spread(world, count):
        check_damage(world, path, flipped(path.read_bytes(), at, bit))
        note("one bit flipped: named, never read as good, mended", 1, 1)


def _cuts(size: int) -> list[int]:
    return sorted({0, 1, size // 3, size // 2, size - 9, size - 1} & set(range(size)))


@pytest.mark.parametrize(
    "kind",
    [".h5", ".tfrecord", ".json", "index.json", "pcm/.pcm", "pcm/index.json", "manifest.jsonl",
     "splits.csv", "rejected.csv"],
)  # fmt: skip
def test_cut(world: World, kind: str) -> None:
    path = min((p for p in world.files if world.kind(p) == kind), key=lambda p: p.stat().st_size)
    data = path.read_bytes()
    for size in _cuts(len(data)):
        check_damage(world, path, data[:size])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", [".h5", ".tfrecord", ".json", "index.json", "pcm/.pcm"])
def test_cut_at_every_byte(world: World, kind: str) -> None:
    """Every length of a small file is refused by each of its readers."""
    path = min((p for p in world.files if world.kind(p) == kind), key=lambda p: p.stat().st_size)
    data, copy = path.read_bytes(), world.root / path.name
    index = load_index(path.parent) if kind in TRAINED else None
    shard = next((s for s in index.entries if s.path == path.name), None) if index else None
    for size in range(len(data)):
        if kind == "pcm/.pcm":
            copy.write_bytes(data[:size])
            assert pcm.check(copy) == "", size
        elif shard and index:
            path.write_bytes(data[:size])
            with pytest.raises(DataError):
                check_shard(index, shard)
        else:
            copy.write_bytes(data[:size])
            with pytest.raises(MelmillError):
                store.load_sealed(copy)
        note(f"{kind.removeprefix('pcm/')} cut at every byte: refused", 1, 1)
    path.write_bytes(data)
    check_damage(world, path, data[: len(data) // 2])


@pytest.mark.parametrize(
    "name", ["scan.json", "hashes.json", "packs.json", "last.json", "speeds.json"]
)
def test_caches_cost_time_only(world: World, name: str) -> None:
    path = world.artifacts / ".cache" / name
    draw = random.Random(SEED)
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 2):
        overwrite(path, data[:size])
        world.mend()
    for _ in range(10):
        data = path.read_bytes()
        overwrite(path, flipped(data, draw.randrange(len(data)), draw.randrange(8)))
        world.mend()
    path.unlink()
    world.mend()


def test_no_damaged_cache_hides_damage(world: World) -> None:
    """A flip in the stamps' file and one in a shard: still seen."""
    cache = world.artifacts / ".cache" / "hashes.json"
    draw = random.Random(SEED)
    for _ in range(10):
        shard = draw.choice([p for p in world.files if p.suffix == ".h5"])
        data = shard.read_bytes()
        overwrite(shard, flipped(data, draw.randrange(len(data)), 0))
        known = cache.read_bytes()
        overwrite(cache, flipped(known, draw.randrange(len(known)), draw.randrange(8)))
        world.mend()


def test_damage_that_no_stamp_shows(world: World) -> None:
    """Rot under a stamp that did not move: verify reads the bytes, and the next run mends them."""
    draw = random.Random(SEED)
    for kind in (".h5", ".tfrecord", "pcm/.pcm", ".json"):
        path = draw.choice([p for p in world.files if world.kind(p) == kind])
        data = path.read_bytes()
        overwrite(path, flipped(data, len(data) // 2, 3))
        _believe(world, path)
        code, told = here.verify(world.artifacts)
        assert code == 1, path
        assert path.name in told
        world.mend()
        assert path.read_bytes() == data


def _believe(world: World, path: Path) -> None:
    """The caches take the file's present stamp for that of the good bytes."""
    for name in ("hashes.json", "packs.json"):
        cache = world.artifacts / ".cache" / name
        table = json.loads(cache.read_text())
        if os.fspath(path) in table:
            table[os.fspath(path)][0] = list(stamps.stamp(path.stat()))
            cache.write_text(json.dumps(table))


@pytest.mark.parametrize(
    "kind", [".h5", ".tfrecord", ".json", "index.json", "pcm/.pcm", "pcm/index.json",
             "manifest.jsonl", "splits.csv", "rejected.csv"],
)  # fmt: skip
def test_deleted(world: World, kind: str) -> None:
    for path in [p for p in world.files if world.kind(p) == kind][:3]:
        path.unlink()
        code, told = here.verify(world.artifacts)
        assert code == 1, path
        assert path.name in told
        if kind in TRAINED:
            assert training_refuses(path.parent)
        world.mend()


def test_swapped(world: World) -> None:
    for suffix in (".h5", ".tfrecord", ".pcm", ".json"):
        one, two = [p for p in world.files if world.kind(p).endswith(suffix)
                    and p.name != "index.json"][:2]  # fmt: skip
        aside = one.with_name("aside")
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
        code, told = here.verify(world.artifacts)
        assert code == 1
        assert one.name in told
        assert two.name in told
        if suffix in TRAINED:
            assert training_refuses(one.parent)
        world.mend()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("tiny-mix/train-01-0.0123456789ab.h5", True),
        ("tiny-classes/valid-00.0123456789ab.tfrecord", True),
        ("pcm/00.0123456789ab.pcm", True),
        ("tiny-mix/.tmp-1-0123456789ab", True),
        ("tiny-mix/train-01-0.h5", False),
        ("tiny-classes/x.tfrecord", False),
        ("pcm/tape.wav", False),
    ],
)
def test_extra_files_are_reported_and_swept_if_their_names_are_of_ours(
    world: World, name: str, ours: bool
) -> None:
    path = world.artifacts / name
    shutil.copy(next(p for p in world.files if p.suffix == ".h5"), path)
    code, told = here.verify(world.artifacts)
    assert code == 1
    assert path.name in told
    if path.suffix in TRAINED:
        assert training_refuses(path.parent)
    if not ours:
        world.features()
        path.unlink()  # still there
    world.mend()
    assert not path.exists()


def test_stages_refuse_a_damaged_manifest(world: World) -> None:
    path = world.artifacts / "manifest.jsonl"
    data, draw = path.read_bytes(), random.Random(SEED)
    for _ in range(200):
        overwrite(path, flipped(data, draw.randrange(len(data)), draw.randrange(8)))
        with pytest.raises(MelmillError, match="damaged manifest"):
            scan.read(world.artifacts, world.root / "data")
    for size in range(len(data)):
        overwrite(path, data[:size])
        with pytest.raises(MelmillError, match="damaged manifest"):
            scan.read(world.artifacts, world.root / "data")
