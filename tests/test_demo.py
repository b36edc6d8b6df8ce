"""The demo corpus' files: same bytes every time, a true list, and a folder replaced whole."""

import csv
import hashlib
import io
import os
import struct
import wave
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.demo import corpus as demo
from pipeline.demo.files import Kind, encode
from pipeline.demo.music import TAGS
from pipeline.demo.plan import Item, plan
from pipeline.demo.sounds import CLASSES, NOISES
from pipeline.errors import UsageError
from pipeline.layouts.splits import Item as Member
from pipeline.layouts.splits import assign

PLAN = plan(0)
BROKEN = {"broken/cut.wav", "broken/page.wav", "broken/empty.flac", "broken/nan.wav"}
COPY = "voices/voice-01/voice-01-1_copy.wav"


def tree(folder: Path) -> dict[str, str]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def few(seed: int) -> list[Item]:
    """Some of every folder, and all that is broken."""
    also = BROKEN | {COPY, "conversations/pool-a-talk-1.wav"}
    return [item for k, item in enumerate(plan(seed)) if k % 16 == 0 or item.path in also]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    demo.make(folder, 0, few(0))
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ensure` and `synthesise` make four files."""
    monkeypatch.setattr(demo, "plan", lambda seed: plan(seed)[:200:50])


def read_list(folder: Path) -> list[dict[str, str]]:
    with open(folder / "melmill.csv", newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


# ---- bytes -------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_tree(corpus: Path, tmp_path: Path) -> None:
    demo.make(tmp_path / "again", 0, few(0))
    assert tree(tmp_path / "again") == tree(corpus)


def test_another_seed_gives_other_sound() -> None:
    assert plan(0)[0].make() != plan(1)[0].make()


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test_ogg_pages_have_a_fixed_serial_and_still_decode(coding: str) -> None:
    sound = 0.3 * np.sin(np.arange(48000) / 20)
    data = encode(sound, Kind("ogg", "OGG", coding, 48000))
    pages = [k for k in range(len(data)) if data.startswith(b"OggS", k)]
    assert {struct.unpack_from("<I", data, k + 14)[0] for k in pages} == {1}
    back, _ = soundfile.read(io.BytesIO(data))  # libogg drops pages whose checksum is wrong
    assert len(back) == len(sound)
    assert np.max(np.abs(back - sound)[2000:-2000]) < 0.05


def test_float_wav_carries_no_time_of_writing() -> None:
    data = encode(np.zeros(100), Kind("wav", "WAV", "FLOAT", 16000))
    peak = data.index(b"PEAK")
    version, written = struct.unpack_from("<II", data, peak + 8)
    assert (version, written) == (1, 0)


# ---- list and contents -------------------------------------------------------------------------


def test_list_names_every_file_and_nothing_else(corpus: Path) -> None:
    rows = read_list(corpus)
    assert ",".join(rows[0]) == "path,label,group,split,role,start,end,tags,rttm"
    named = {r["path"] for r in rows} | {r["rttm"] for r in rows if r["rttm"]}
    assert named == set(tree(corpus)) - {"melmill.csv", "demo.json"}
    assert all(r["split"] == "" and r["group"] for r in rows)


def test_every_file_but_the_broken_is_readable_and_as_long_as_planned(corpus: Path) -> None:
    planned = {item.path: item.seconds for item in PLAN}
    sound = [r["path"] for r in read_list(corpus) if r["path"] not in BROKEN | {COPY}]
    assert len(sound) > 15
    for path in sound:
        samples, rate = soundfile.read(corpus / path, always_2d=True)
        assert len(samples) / rate == pytest.approx(planned[path], abs=0.08), path  # MP3 padding
        assert np.isfinite(samples).all()
        assert 0.01 < np.max(np.abs(samples)) <= 1.0, path
        assert np.sqrt(np.mean(samples**2)) > 0.005, path


def test_broken_files_are_broken_as_named(corpus: Path) -> None:
    with wave.open(str(corpus / "broken/cut.wav")) as cut:
        stated = cut.getnframes() * cut.getsampwidth() * cut.getnchannels()
    assert stated > (corpus / "broken/cut.wav").stat().st_size
    assert (corpus / "broken/empty.flac").stat().st_size == 0
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(corpus / "broken/page.wav")
    assert np.isnan(soundfile.read(corpus / "broken/nan.wav")[0]).sum() == 10
    first = corpus / "voices/voice-01/voice-01-1.wav"
    assert (corpus / COPY).read_bytes() == first.read_bytes()
    assert sorted([COPY, "voices/voice-01/voice-01-1.wav"])[1] == COPY  # the copy loses


def test_the_corpus_has_the_stated_size_and_mixture() -> None:
    minutes: Counter[str] = Counter()
    groups, labels = defaultdict(set), defaultdict(set)
    for item in PLAN:
        top = item.path.split("/")[0]
        minutes[top] += item.seconds / 60
        if top != "broken":
            groups[top].add(item.row["group"])
            labels[top, item.row.get("label", "")].add(item.row["group"])
    assert 63 < sum(minutes.values()) < 68
    assert 4 < minutes["voices"] < 4.6
    assert 3.3 < minutes["noise"] < 4
    assert 2.3 < minutes["music"] < 2.7
    assert 1.8 < minutes["conversations"] < 2.2
    assert 18 < minutes["sounds"] < 22
    assert 32 < minutes["songs"] < 35
    assert {top: len(g) for top, g in groups.items()} == {
        "voices": 20, "noise": 56, "music": 8, "conversations": 3, "sounds": 320,
        "songs": 80,
    }  # fmt: skip
    assert sum(map(len, groups.values())) == len(set.union(*groups.values()))  # none in two
    assert all(len(labels["noise", c]) >= 6 for c in NOISES)
    assert all(len(labels["sounds", c]) == (30 if c in NOISES else 40) for c in CLASSES)
    assert (len(NOISES), len(CLASSES)) == (8, 10)
    assert len(BROKEN | {COPY}) / len(PLAN) < 0.05
    assert len({item.path for item in PLAN}) == len(PLAN)


def members() -> list[Member]:
    """As the pipeline takes them: what has tags and no class is of a kind of its own."""
    told = [item.row.get("label", "") or item.row.get("tags", "") and "tags" for item in PLAN]
    return [
        Member(item.path, item.path, item.row["group"], what, item.row["role"], "", None)
        for item, what in zip(PLAN, told, strict=True)
    ]


@pytest.mark.parametrize("top", ["sounds", "songs"])
def test_what_is_there_to_tell_apart_moves_no_other_split(top: str) -> None:
    items = members()
    more = [item for item in items if item.path.startswith(f"{top}/")]
    assert {item.role for item in more} == {"labelled"}  # noise would be mixed with speech
    split_of = assign(items)
    without = assign([item for item in items if item not in more])
    assert {name: split_of[name] for name in without} == without


def test_every_tag_is_true_and_false_in_every_split() -> None:
    split_of = assign(members())
    songs = [item for item in PLAN if item.row.get("tags")]
    for split in ("train", "valid", "test"):
        found = [item.row["tags"].split("|") for item in songs
                 if split_of[item.row["group"]] == split]  # fmt: skip
        for tag in TAGS:
            count = sum(tag in tags for tags in found)
            assert 5 <= count <= len(found) - 5, (split, tag)


def test_sounds_are_for_classification() -> None:
    items = members()
    split_of = assign(items)
    for split in ("valid", "test"):
        heard = {item.group: item.label for item in items if split_of[item.group] == split}
        count = Counter(label for label in heard.values() if label in CLASSES)
        assert set(count) == set(CLASSES)
        assert min(count.values()) >= 3
        assert count.total() >= 25  # enough to measure a classifier


def test_classes_do_not_differ_by_file_format() -> None:
    endings = defaultdict(set)
    for item in PLAN:
        if item.row.get("label"):
            endings[item.row["label"]].add(Path(item.path).suffix)
    assert len(endings) == len(CLASSES)
    assert all(len(e) >= 4 for e in endings.values())


# ---- the folder --------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_ensure_makes_once_and_again_for_another_seed_or_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, calls = tmp_path / "new" / "demo[1]", []
    assert demo.ensure(folder, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 4) for k in (1, 2, 3, 4)]
    before = tree(folder)
    assert not demo.ensure(folder)
    assert demo.ensure(folder, seed=1)
    assert tree(folder) != before
    monkeypatch.setattr(demo, "VERSION", 99)
    assert demo.ensure(folder, seed=1)
    assert os.listdir(folder.parent) == ["demo[1]"]


@pytest.mark.usefixtures("tiny")
def test_a_killed_run_leaves_the_old_corpus_and_the_next_sweeps(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo.ensure(folder)
    before = tree(folder)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.ensure(folder, 1, stop)
    assert tree(folder) == before
    assert os.listdir(tmp_path) == ["demo"]
    left, alive = tmp_path / ".demo.part-99999999", tmp_path / ".demo.part-1"
    mine = tmp_path / ".demo.partly"
    for path in (left, alive, mine):  # no such process, a living one, not ours
        path.mkdir()
    demo.ensure(folder, 1)
    assert sorted(os.listdir(tmp_path)) == [".demo.part-1", ".demo.partly", "demo"]


@pytest.mark.usefixtures("tiny")
def test_the_files_are_on_disk_before_their_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    demo.ensure(folder)
    done: list[str] = []
    rename = Path.rename

    def renamed(path: Path, goal: Path) -> Path:
        done.append(f"{path.name.split('-')[0]} -> {goal.name.split('-')[0]}")
        return rename(path, goal)

    monkeypatch.setattr(demo.os, "sync", lambda: done.append("sync"))
    monkeypatch.setattr(demo.store, "sync_folder", lambda path: done.append(f"sync {path.name}"))
    monkeypatch.setattr(Path, "rename", renamed)
    demo.ensure(folder, 1)
    moved = ["demo -> .demo.old", ".demo.part -> demo"]
    assert done == ["sync", *moved, f"sync {tmp_path.name}"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("stamp", [None, "{", "[]", '{"made_by": "somebody"}'])
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "mine.wav").write_bytes(b"precious")
    if stamp is not None:
        (tmp_path / "demo.json").write_text(stamp)
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="not a demo corpus"):
        demo.ensure(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("tiny")
def test_an_empty_folder_is_filled_and_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert demo.ensure(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        demo.ensure(tmp_path / "file")
