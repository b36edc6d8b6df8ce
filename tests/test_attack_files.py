"""The listing of attack files through all that reads them: nothing runs, nothing leaks.

Reads and writes in pytest's folders. Does: plants tests/attacking.py's files in data, in artifacts
and as what a person names, works on them, and looks each time for the canary, for the secret in
what was made or said, and whether anything outside of the artifacts has changed.
"""

import csv
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pipeline import cookbook
from pipeline import corpus as gathered
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from tests import attacking, corpus, here
from tests.attacking import Planted
from tests.sweeps import note
from training import durable
from training.classifier import teacher
from training.data.index import DataError, load_index
from training.data.shards import check_shard, read_shard
from training.engine import checkpoint
from training.errors import RunError
from training.run import check_name, read_config
from training.runs import named

FIELDS = [Field("x", "float32", (4,), "", ("n",))]
REFUSED = (MelmillError, RunError, DataError)
held: set[str] = set()  # attacks that came to nothing


@pytest.fixture(scope="module", autouse=True)
def told() -> object:
    """The figure, when the whole listing was worked on."""
    yield
    every = attacking.listing()
    if len(held) > len(every) / 2:
        found = len(held & {*every})
        note("attack files: no code run, nothing outside touched", found, len(every))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and its artifacts, without an attack."""
    world = Planted(tmp_path_factory.mktemp("attacks") / "base")
    build(world)
    return world.root


@pytest.fixture
def world(base: Path, tmp_path: Path) -> Planted:
    """A copy, and the secret beside it."""
    world = Planted(tmp_path / "world")
    shutil.rmtree(world.data)
    for name in ("data", "artifacts"):
        here.copy(base / name, world.root / name)
    return world


def build(world: Planted) -> str:
    recipe = corpus.recipes(world.root / "recipes", corpus.MIX)
    return here.features(world.data, world.artifacts, recipe, "--max-rejected", 100)


class Harmless:
    """Around an attack: what must be true of everything behind it."""

    def __init__(self, world: Planted, place: str, *names: str) -> None:
        self.world, self.names = world, [f"{place}:{name}" for name in names]

    def __enter__(self) -> "Harmless":
        self.before, self.said = self.world.outside(), ""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        assert not self.world.canary.exists(), "code ran"
        assert self.world.outside() == self.before
        assert self.world.leaks(self.said) == []
        if kind is None:
            held.update(self.names)

    def refused(self, work: Callable[[], object]) -> str:
        """What it was refused with: one line."""
        with pytest.raises(REFUSED) as caught:
            work()
        self.said += str(caught.value)
        assert "\n" not in self.said
        return str(caught.value)


def test_the_listing_is_long_and_has_each_once() -> None:
    every = attacking.listing()
    assert len(every) == len(set(every)) >= 30


def test_the_watch_sees_what_it_watches_for(tmp_path: Path) -> None:
    """Code that runs, a secret that comes out, and a write outside."""
    world = Planted(tmp_path / "world")
    world.artifacts.mkdir()
    before = world.outside()
    for name in ("voice.wav", "key.txt"):
        shutil.copy(world.secret / name, world.artifacts / name)
        assert world.leaks() == [name]
        (world.artifacts / name).unlink()
    assert world.leaks(f"got {attacking.SECRET.decode()}") == ["output"]
    assert world.outside() == before
    os.utime(world.secret / "key.txt")
    assert world.outside() != before
    before = world.outside()
    pickle.loads(world.bomb)
    assert world.canary.is_dir()
    assert world.outside() != before


def test_in_the_data(world: Planted) -> None:
    """All at once, in one run; then the good files' shards are what they were."""
    attacking.plant(world)
    shards = {p.name: p.read_bytes() for p in world.artifacts.glob("tiny-mix/*.h5")}
    with Harmless(world, "data", *attacking.FILES) as files:
        files.said = build(world)
        code, said = here.verify(world.artifacts)
        files.said += said
        assert code == 0, said
    held.update(
        [f"link:{name}" for name in attacking.LINKS] + [f"row:{row}" for row in attacking.ROWS]
    )
    with open(world.artifacts / "rejected.csv", encoding="utf-8", newline="") as file:
        told = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    for row, reason in attacking.ROWS.items():
        name = str(PurePosixPath(row.format(root=world.root)))
        got = [why for path, why in told.items() if path in (name, name.replace("\0", "\\x00"))]
        assert got == [reason], (row, got)
    ends = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4")
    sounds = {n for n in (*attacking.FILES, *attacking.LINKS) if n.endswith(ends)}
    assert sounds <= told.keys(), sounds - told.keys()
    assert shards == {p.name: p.read_bytes() for p in world.artifacts.glob("tiny-mix/*.h5")}


def test_in_the_artifacts(world: Planted) -> None:
    """Links and pickles under every name that a run makes: all are replaced or swept."""
    wanted = corpus.tree_hash(world.artifacts)
    for name in attacking.MADE:
        attacking.put(world, name)
    with Harmless(world, "made", *attacking.MADE) as made:
        code, made.said = here.verify(world.artifacts)
        assert code == 1
        made.said += build(world)
        assert corpus.tree_hash(world.artifacts) == wanted
        assert not any(p.is_symlink() for p in world.artifacts.rglob("*"))


@pytest.mark.parametrize("name", attacking.FOLDERS)
def test_folders_that_lie_elsewhere(world: Planted, name: str) -> None:
    """A run sweeps its folders: what lies behind a link is somebody else's."""
    path = world.artifacts / name
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(world.secret / ("key.txt" if name == ".lock" else ""))
    with Harmless(world, "folder", name) as one:
        told = one.refused(lambda: build(world))
        assert name.split("/")[0] in told
        one.refused(lambda: here.here("clean", "--artifacts", world.artifacts))


def test_hard_links_are_replaced_not_written_through(world: Planted) -> None:
    key = world.secret / "key.txt"
    for name in ("splits.csv", "rejected.csv", "manifest.jsonl", "tiny-mix/index.json"):
        (world.artifacts / name).unlink()
        os.link(key, world.artifacts / name)
    build(world)
    assert key.read_bytes() == attacking.SECRET * 9
    assert key.stat().st_nlink == 1


@pytest.mark.parametrize("name", attacking.SHARDS)
def test_in_place_of_a_shard(tmp_path: Path, name: str) -> None:
    world = Planted(tmp_path / "world")
    data, folder = attacking.SHARDS[name](world), tmp_path / "forged"
    attacking.sealed(folder, name, data, [field.to_json() for field in FIELDS])
    decode = hdf5.decode if name.endswith("h5") else tfrecord.decode
    with Harmless(world, "shard", name) as one:
        one.refused(lambda: decode(data, FIELDS))
        one.refused(lambda: decode(folder / name, FIELDS))
        index = load_index(folder)
        if name.endswith("h5"):
            one.refused(lambda: read_shard(index, index.entries[0]))
        else:
            check_shard(index, index.entries[0])  # the thief's own hash fits


@pytest.mark.parametrize("name", attacking.WEIGHTS)
def test_given_as_weights(tmp_path: Path, name: str) -> None:
    pytest.importorskip("tensorflow")
    from tests.test_graph_start import taken, toy

    world = Planted(tmp_path / "world")
    run = world.artifacts / "runs" / "classifier" / "x"
    (run / "checkpoints").mkdir(parents=True)
    path = run / "checkpoints" / "step-000000001-best.ckpt"
    given = world.artifacts / name
    for place in (path, given, run / "config.json", run / "state.json"):
        place.write_bytes(attacking.WEIGHTS[name](world))
    with Harmless(world, "weights", name) as one:
        one.refused(lambda: taken(toy(), given))
        one.refused(lambda: checkpoint.used(run))
        one.refused(lambda: read_config(run))
        one.refused(lambda: teacher._answers(given, durable.hash_of(given), None, None))


@pytest.mark.parametrize("name", attacking.NAMES)
def test_names_that_are_places(tmp_path: Path, name: str) -> None:
    """Of runs and recipes: they become folders."""
    world = Planted(tmp_path / "world")
    (world.artifacts / "runs" / "m").mkdir(parents=True)
    path = tmp_path / "x.toml"
    text = here.changed(corpus.MIX, name="NAME").replace('"NAME"', f'"{_escaped(name)}"')
    path.write_text(text)
    with Harmless(world, "name", name) as one:
        one.refused(lambda: check_name(name))
        one.refused(lambda: named(world.artifacts, name))
        assert "name" in one.refused(lambda: cookbook.load([os.fspath(path)]))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


@pytest.mark.parametrize("what", [*attacking.SPLITS, "secret"])
def test_a_splits_file_that_is_none(tmp_path: Path, what: str) -> None:
    world = Planted(tmp_path / "world")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").symlink_to(world.secret / "list.csv")
    path = Path(what) if what[0] == "/" else tmp_path / what
    if what == "secret":  # whoever names a link means what it points at
        assert len(gathered.read_splits(path)) == 1
        return
    with Harmless(world, "splits", what) as one:
        one.refused(lambda: gathered.read_splits(path))
