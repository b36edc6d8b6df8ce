"""A recipe's shards and index: what stands is kept, what is lost is made, nothing else is touched.

Reads and writes in pytest's own folder. Whole runs: test_end_to_end.py, test_stale*.py.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline import build, draws, jobs, plan, shards, verify
from pipeline.audio import pcm
from pipeline.audio.pcm import Pack, PackWriter
from pipeline.corpus import Corpus
from pipeline.disk import guard, stamps, store
from pipeline.errors import MelmillError
from pipeline.recipe import Labels, Recipe
from tests import inline
from tests.made import RATE, corpus, ident, recipe, record
from training.data.index import load_index
from training.data.shards import read_shard

MIXED = recipe(
    fields=("noisy", "clean"), mix={"noises": ("white", "ambient", "babble"), "tracks": 3}
)
TAGGED = recipe(
    fields=("logmel", "tags"), labels=Labels("tags"), needs="tags",
    formats=("hdf5", "tfrecord"),
)  # fmt: skip


class Bench:
    """artifacts/ with one pack, a corpus over it, and the shards that each build made."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.artifacts = folder / "artifacts"
        self.made: list[str] = []
        (self.artifacts / "pcm").mkdir(parents=True)
        self.corpus = self.fill(12, 6)

        def counted(function: Callable[[Any], Any], tasks: Any, count: int) -> Any:
            self.made += [task.task.name for task in tasks]
            return inline.run(function, tasks, count)

        monkeypatch.setattr(jobs, "run", counted)

    def fill(self, voices: int, noises: int) -> Corpus:
        names = [(f"v{k}", "clean") for k in range(voices)]
        names += [(f"n{k}", "noise") for k in range(noises)]
        found = [record(n, role, group=n, tags=(f"t{n[-1]}",)) for n, role in names]
        with store.sealed(self.artifacts / "pcm" / "00.pcm", hashed=False) as sink:
            writer = PackWriter(sink, "key", "decoder")
            for k, r in enumerate(found):
                x = 0.1 * np.random.default_rng(k).standard_normal(RATE).astype(np.float32)
                writer.add(r.id, RATE, "WAV/FLOAT", "float32", [x])
            writer.close()
        for cached in (pcm.opened, shards._checked, shards._track):
            cached.cache_clear()
        made = corpus(found)
        made.decoded.recordings.update(Pack(self.artifacts / "pcm" / "00.pcm").recordings)
        return made

    def build(self, asked: Recipe = MIXED, of: Corpus | None = None) -> build.Built:
        self.made.clear()
        for cached in (pcm.opened, shards._checked, shards._track):
            cached.cache_clear()
        hashes = stamps.Hashes(self.artifacts / "hashes.json")
        built = build.build(asked, of or self.corpus, self.artifacts, 1, hashes)
        hashes.save()
        return built

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in sorted((self.artifacts / "made").iterdir())}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_index_names_what_is_there_and_training_reads_it(bench: Bench) -> None:
    built = bench.build()
    index = load_index(bench.artifacts / "made")
    named = {f["path"] for f in (*built.index["shards"], *built.index["noise"])}
    assert set(bench.files()) == {"index.json", *named, *built.index["receipts"]}
    assert built.made == len(named)
    counts = Counter(f["split"] for f in built.index["shards"] for _ in range(f["examples"]))
    told = built.index["counts"]
    assert told["examples"] == counts
    whole = 20 * sum(told["files"].values())  # ten windows a second, two mixtures each
    assert sum(counts.values()) + sum(told["skipped"].values()) == whole
    rows = [read_shard(index, shard) for shard in index.shards("train", "hdf5")]
    noisy = np.concatenate([row["noisy"] for row in rows])
    assert len(noisy) == counts["train"]
    found = index.statistics["noisy"]
    np.testing.assert_allclose(found.mean, [noisy.astype(np.float64).mean()], atol=1e-9)
    np.testing.assert_allclose(found.deviation, [noisy.astype(np.float64).std()], rtol=1e-7)
    assert (
        verify.check_files(next(verify._checks(bench.artifacts / "made", verify.Report()))).faults
        == []
    )


def test_shards_hold_the_draws_noise(bench: Bench) -> None:
    """Every mixture points at a track that stands in a noise shard of its own split."""
    built = bench.build()
    tracks = {}
    for file in built.index["noise"]:
        with h5py.File(bench.artifacts / "made" / file["path"]) as noise:
            for source, kind in zip(noise["source"][:], noise["kind"][:], strict=True):
                tracks[file["split"], source] = kind
    for file in built.index["shards"]:
        with h5py.File(bench.artifacts / "made" / file["path"]) as shard:
            pairs = zip(shard["noise_source"][:], shard["noise_kind"][:], strict=True)
            assert all(tracks[file["split"], source] == kind for source, kind in pairs)


def test_a_second_build_makes_and_writes_nothing(bench: Bench) -> None:
    first = bench.build()
    before = {p: p.stat().st_ino for p in bench.artifacts.rglob("*")}
    second = bench.build()
    assert (bench.made, second.made, second.kept) == ([], 0, first.made)
    assert [second.index[n] for n in ("key", "shards")] == [
        first.index[n] for n in ("key", "shards")
    ]
    assert {p: p.stat().st_ino for p in bench.artifacts.rglob("*")} == before


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_a_lost_shard_alone_is_made_again(bench: Bench, how: str) -> None:
    built = bench.build()
    before = bench.files()
    path = bench.artifacts / "made" / built.index["shards"][3]["path"]
    raw = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    else:
        raw[-1] ^= 1
        path.write_bytes(raw[:-1] if how == "cut" else raw)
    again = bench.build()
    assert bench.made == [path.name.split(".")[0]]
    assert again.made == 1
    assert bench.files() == before


def test_a_lost_receipt_is_one_task(bench: Bench) -> None:
    built = bench.build()
    before = bench.files()
    (bench.artifacts / "made" / built.index["receipts"][0]).unlink()
    bench.build()
    assert len(bench.made) == 1
    assert bench.files() == before


def test_a_lost_index_is_no_task_at_all(bench: Bench) -> None:
    bench.build()
    before = bench.files()
    (bench.artifacts / "made" / "index.json").unlink()
    bench.build()
    assert bench.made == []
    assert bench.files() == before


def test_one_format_that_is_lost_is_written_alone(bench: Bench) -> None:
    built = bench.build(TAGGED)
    before = bench.files()
    path = bench.artifacts / "made" / next(
        f["path"] for f in built.index["shards"] if f["format"] == "tfrecord"
    )  # fmt: skip
    twin = path.with_suffix(".h5").stat().st_ino
    path.unlink()
    bench.build(TAGGED)
    assert bench.files() == before
    assert path.with_suffix(".h5").stat().st_ino == twin


def test_another_format_leaves_the_first_as_it_is(bench: Bench) -> None:
    one = replace(TAGGED, output=replace(TAGGED.output, formats=("hdf5",)))
    bench.build(one)
    before = {n: d for n, d in bench.files().items() if n.endswith(".h5")}
    inodes = {p.name: p.stat().st_ino for p in (bench.artifacts / "made").glob("*.h5")}
    bench.build(TAGGED)
    assert {n: d for n, d in bench.files().items() if n.endswith(".h5")} == before
    assert {p.name: p.stat().st_ino for p in (bench.artifacts / "made").glob("*.h5")} == inodes
    both = bench.files()
    bench.build(one)
    assert bench.made == []
    assert {n: d for n, d in bench.files().items() if n.endswith(".h5")} == before
    assert not [n for n in bench.files() if n.endswith(".tfrecord")]
    bench.build(TAGGED)
    assert bench.files() == both


def test_a_new_tag_in_one_file_changes_the_shape_of_all(bench: Bench) -> None:
    """A shard made for fewer tags must not stand under an index of more."""
    bench.build(TAGGED)
    records = [replace(r, tags=("zebra",)) if r.path == "v0" else r for r in bench.corpus.records]
    built = bench.build(TAGGED, replace(bench.corpus, records=records, key="other"))
    report = verify.Report()
    for check in verify._checks(bench.artifacts / "made", report):
        assert verify.check_files(check).faults == []
    assert len(built.index["tags"]) == 11
    assert built.kept == 0


def test_another_order_of_noises_renumbers_their_kinds(bench: Bench) -> None:
    assert MIXED.mix is not None
    bench.build()
    turned = replace(MIXED, mix=replace(MIXED.mix, noises=("babble", "ambient", "white")))
    built = bench.build(turned)
    assert built.index["noises"] == ["babble", "ambient", "white"]
    for file in built.index["noise"]:
        with h5py.File(bench.artifacts / "made" / file["path"]) as noise:
            for kind, groups in zip(noise["kind"][:], noise["groups"][:], strict=True):
                voices = int((groups != 0).sum())
                assert voices == 0 if kind == 2 else voices >= 1


def test_a_noise_recording_of_another_group_is_stored_under_its_new_one(bench: Bench) -> None:
    """Its sound and its split stay, and so do the ids of its tracks."""
    bench.build()
    records = [replace(r, group="street") if r.path == "n0" else r for r in bench.corpus.records]
    split_of = {**bench.corpus.split_of, "street": bench.corpus.split_of["n0"]}
    built = bench.build(of=replace(bench.corpus, records=records, split_of=split_of, key="other"))
    heard: set[int] = set()
    for file in built.index["noise"]:
        with h5py.File(bench.artifacts / "made" / file["path"]) as noise:
            heard |= {int(who) for who in noise["groups"][:].ravel()}
    assert draws.number("street") in heard
    assert draws.number("n0") not in heard
    assert all(name.startswith("noise-") for name in bench.made)  # and nothing else is made again


def test_old_shards_are_swept(bench: Bench) -> None:
    assert MIXED.mix is not None
    bench.build()
    first = set(bench.files())
    bench.build(replace(MIXED, mix=replace(MIXED.mix, seed=1)))
    assert set(bench.files()) & first == {"index.json"}


def test_a_corpus_of_another_key_with_the_same_content_keeps_all(bench: Bench) -> None:
    first = bench.build()
    again = bench.build(of=replace(bench.corpus, key="other"))
    assert (bench.made, again.made, again.kept) == ([], 0, first.made)
    assert again.index["key"] == first.index["key"]
    assert again.index["fingerprint"] != first.index["fingerprint"]


def test_what_cannot_be_mixed_is_counted(bench: Bench) -> None:
    only = [
        r for r in bench.corpus.records if r.role == "clean" or bench.corpus.split(r) == "train"
    ]
    built = bench.build(of=replace(bench.corpus, records=only))
    counts = built.index["counts"]
    lost = counts["skipped"]["no_ambient_in_split"]
    whole = 20 * sum(n for n in counts["files"].values())
    assert lost > 0
    assert sum(counts["examples"].values()) == whole - sum(counts["skipped"].values())


def test_a_damaged_noise_shard_is_never_mixed_in(bench: Bench) -> None:
    """Between the making of the noise and of a mixture: the mixture's own check stops the run."""
    built = bench.build()
    file = built.index["noise"][0]
    path = bench.artifacts / "made" / file["path"]
    place = shards.Place(str(path), file["sha256"], 0, 4000)
    assert shards._track(place).dtype == np.float32
    raw = bytearray(path.read_bytes())
    raw[-9] ^= 1
    path.write_bytes(raw)
    for cached in (shards._checked, shards._track):
        cached.cache_clear()
    with pytest.raises(MelmillError, match="damaged noise shard"):
        shards._track(place)


def test_no_example_is_no_shard_but_a_receipt(bench: Bench) -> None:
    assert MIXED.mix is not None
    only = replace(MIXED, mix=replace(MIXED.mix, noises=("ambient",)))
    clean = [r for r in bench.corpus.records if r.role == "clean"]
    built = bench.build(only, replace(bench.corpus, records=clean))
    assert built.index["shards"] == []
    assert built.index["counts"]["examples"] == {"train": 0, "valid": 0, "test": 0}
    assert built.index["receipts"]
    bench.build(only, replace(bench.corpus, records=clean))
    assert bench.made == []


def test_only_what_is_to_be_made_needs_space(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(guard, "need_space", lambda folder, need: asked.append(need))
    built = bench.build()
    size = sum(f["bytes"] for f in (*built.index["shards"], *built.index["noise"]))
    assert 0.9 * size < sum(asked) < 1.1 * size
    asked.clear()
    (bench.artifacts / "made" / built.index["shards"][0]["path"]).unlink()
    bench.build()
    assert sum(asked) < 0.3 * size


def test_the_plans_tasks_and_the_receipts_agree(bench: Bench) -> None:
    built = bench.build()
    made = plan.plan(MIXED, bench.corpus)
    for task in made.tasks:
        receipt = store.load_sealed(bench.artifacts / "made" / shards.name(task, "json"))
        assert (receipt["key"], receipt["name"], receipt["split"]) == (
            task.key,
            task.name,
            task.split,
        )
        assert bool(receipt["sums"]) == (task.split == "train")
        assert all(f in built.index["shards"] for f in receipt["files"])


def test_sources_are_content_ids(bench: Bench) -> None:
    built = bench.build()
    sources = set()
    for file in built.index["shards"]:
        with h5py.File(bench.artifacts / "made" / file["path"]) as shard:
            sources |= set(shard["source"][:])
    assert sources == {ident(f"v{k}")[:32].encode() for k in range(12)}
