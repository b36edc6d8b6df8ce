"""Decoding: each file once, whatever comes later; what is wrong with a file is told, not stored.

Reads and writes folders of its own under pytest's.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from pipeline import decode, jobs, scan, suspects, verify_corpus
from pipeline.audio import codecs
from pipeline.audio.pcm import Pack, Recording
from pipeline.decode import Decoded
from pipeline.disk import guard, stamps, store
from pipeline.errors import MelmillError, Rejected
from pipeline.scan import Manifest
from tests import inline

RATE = 8000


class Bench:
    """A data folder, its artifacts, and the ids that were decoded."""

    def __init__(self, folder: Path) -> None:
        self.data, self.artifacts = folder / "data", folder / "artifacts"
        self.data.mkdir()
        self.opened: list[str] = []

    def add(self, name: str, seed: int, seconds: float = 0.5, kind: str = "PCM_16") -> Path:
        path = self.data / name
        x = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))
        sf.write(path, (x * 32768).astype(np.int16), RATE, kind)
        return path

    def scan(self) -> Manifest:
        return scan.scan(self.data, self.artifacts, "auto", "", 1)

    def decode(self, manifest: Manifest | None = None) -> Decoded:
        self.opened.clear()
        manifest = manifest or self.scan()
        return decode.decode(manifest, self.data, self.artifacts, 1)

    def packs(self, found: Decoded) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in found.folder.glob("*.pcm")}

    def rejects(self, found: Decoded) -> dict[str, str]:
        name = {stamps.sha256_file(p): p.name for p in self.data.iterdir()}
        return {name.get(ident, "gone"): why for ident, (why, _) in found.rejected.items()}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    real = codecs.open_sound

    def counted(path: Path, *more: Any) -> codecs.Reader:
        made.opened.append(path.name)
        return real(path, *more)

    monkeypatch.setattr(jobs, "run", inline.run)
    monkeypatch.setattr(decode.codecs, "probe", lambda path: _probe(real, path))
    monkeypatch.setattr(decode.codecs, "open_sound", counted)
    return made


def _probe(real: Callable[[Path], codecs.Reader], path: Path) -> codecs.Sound:
    with real(path) as reader:
        return reader.sound


def sound(found: Decoded, path: Path) -> np.ndarray:
    ident = stamps.sha256_file(path)
    pack = Pack(found.folder / found.packs[ident])
    return pack.native(ident, 0, 1 << 40)


def test_packs_hold_what_libsndfile_reads(bench: Bench) -> None:
    plain, wide = bench.add("a.wav", 1), bench.add("b.flac", 2, kind="PCM_24")
    both = np.random.default_rng(3).uniform(-0.5, 0.5, (900, 2)).astype(np.float32)
    sf.write(bench.data / "c.wav", both, 44100, "FLOAT")
    found = bench.decode()
    for path in (plain, wide):
        assert np.array_equal(sound(found, path), sf.read(path, dtype="float32")[0])
    stereo = sound(found, bench.data / "c.wav")
    np.testing.assert_allclose(stereo, both.mean(axis=1), rtol=0, atol=1e-7)
    kinds = {r.codec: (r.rate, r.dtype) for r in found.recordings.values()}
    assert kinds == {
        "WAV/PCM_16": (8000, "int16"), "FLAC/PCM_24": (8000, "float32"),
        "WAV/FLOAT": (44100, "float32"),
    }  # fmt: skip
    assert (found.done, round(found.seconds, 3)) == (3, 1.02)


def test_a_second_run_decodes_and_writes_nothing(bench: Bench) -> None:
    for k in range(4):
        bench.add(f"{k}.wav", k)
    first = bench.decode()
    assert sorted(bench.opened) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    before = {p: p.stat().st_ino for p in bench.artifacts.rglob("*")}
    second = bench.decode()
    assert bench.opened == []
    assert (second.packs, second.recordings) == (first.packs, first.recordings)
    assert (second.key, second.rejected) == (first.key, first.rejected)
    assert second.done == 0
    assert {p: p.stat().st_ino for p in bench.artifacts.rglob("*")} == before


def test_when_a_bucket_is_divided_its_recordings_are_copied(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PACK", 3 * (2 * RATE // 2 + 44))  # three of these files
    for k in range(9):
        bench.add(f"{k}.wav", k)
    before = set(bench.packs(bench.decode()))
    for k in range(9, 30):
        bench.add(f"{k}.wav", k)
        bench.decode()
        assert bench.opened == [f"{k}.wav"]
    grown = bench.decode()
    assert max(len(name.split(".")[0]) for name in bench.packs(grown)) > 2
    assert before - set(bench.packs(grown))  # some were divided
    fresh = decode.decode(bench.scan(), bench.data, tmp_path / "fresh", 1)
    assert bench.packs(fresh) == bench.packs(grown)
    assert (fresh.folder / "index.json").read_bytes() == (grown.folder / "index.json").read_bytes()


def test_a_removed_file_leaves_the_packs_as_if_it_had_never_been(
    bench: Bench, tmp_path: Path
) -> None:
    for k in range(6):
        bench.add(f"{k}.wav", k)
    bench.decode()
    (bench.data / "3.wav").unlink()
    found = bench.decode()
    assert bench.opened == []
    fresh = decode.decode(bench.scan(), bench.data, tmp_path / "fresh", 1)
    assert bench.packs(fresh) == bench.packs(found)


def test_another_decoder_decodes_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.add("a.wav", 1)
    bench.decode()
    monkeypatch.setattr(decode, "decoder_version", lambda: "another")
    found = bench.decode()
    assert bench.opened == ["a.wav"]
    assert len(bench.packs(found)) == 1


def test_a_damaged_recording_alone_is_decoded_again(bench: Bench) -> None:
    paths = [bench.add(f"{k}.wav", k) for k in range(12)]
    found = bench.decode()
    before = bench.packs(found)
    name = max(before, key=lambda name: list(found.packs.values()).count(name))
    victim = next(p for p in paths if found.packs[stamps.sha256_file(p)] == name)
    raw = bytearray(before[name])
    raw[found.recordings[stamps.sha256_file(victim)].offset + 100] ^= 4
    (found.folder / name).write_bytes(raw)
    bench.add("new.wav", 99)  # whatever bucket it falls in
    after = bench.decode()
    assert set(bench.opened) == {"new.wav", victim.name}
    assert np.array_equal(sound(after, victim), sf.read(victim, dtype="float32")[0])


@pytest.mark.parametrize("how", ["cut", "gone", "empty"])
def test_a_lost_pack_is_made_again(bench: Bench, how: str) -> None:
    for k in range(6):
        bench.add(f"{k}.wav", k)
    first = bench.decode()
    before = bench.packs(first)
    name = sorted(before)[0]
    lost = sum(pack == name for pack in first.packs.values())
    if how == "gone":
        (first.folder / name).unlink()
    else:
        (first.folder / name).write_bytes(before[name][:-5] if how == "cut" else b"")
    again = bench.decode()
    assert bench.packs(again) == before
    assert len(bench.opened) == lost < 6


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"key": 1}'])
def test_a_lost_index_costs_time_only(bench: Bench, damage: bytes) -> None:
    bench.add("a.wav", 1)
    found = bench.decode()
    table = found.folder / "index.json"
    whole = table.read_bytes()
    table.write_bytes(damage)
    bench.decode()
    assert bench.opened == []
    assert table.read_bytes() == whole


# ------------------------------------------------------------------ what is wrong with a file


def test_an_edit_since_the_scan_is_not_stored_under_the_old_name(bench: Bench) -> None:
    path = bench.add("a.wav", 1)
    bench.add("b.wav", 2)
    manifest = bench.scan()
    bench.add("a.wav", 3)
    found = bench.decode(manifest)
    assert [why for why, _ in found.rejected.values()] == ["changed"]
    assert len(found.recordings) == 1
    again = bench.decode()
    assert bench.opened == ["a.wav"]
    assert again.rejected == {}
    assert np.array_equal(sound(again, path), sf.read(path, dtype="float32")[0])


def test_without_the_scans_cache_an_edit_is_still_seen(bench: Bench) -> None:
    bench.add("a.wav", 1)
    bench.scan()
    (bench.artifacts / ".cache" / "scan.json").unlink()
    manifest = scan.read(bench.artifacts, bench.data)
    bench.add("a.wav", 3)
    found = bench.decode(manifest)
    assert [why for why, _ in found.rejected.values()] == ["changed"]


def test_a_touch_is_no_change(bench: Bench) -> None:
    path = bench.add("a.wav", 1)
    manifest = bench.scan()
    os.utime(path, ns=(5, 5))
    assert bench.decode(manifest).rejected == {}


def test_a_file_written_to_while_it_is_decoded_is_rejected_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.add("a.wav", 1)
    bench.add("b.wav", 2)
    manifest = bench.scan()
    real = codecs.Reader.blocks

    def swapped(self: codecs.Reader) -> Iterator[np.ndarray]:
        if os.fstat(self._fd).st_ino == path.stat().st_ino:
            path.rename(path.with_suffix(".old"))
            path.write_bytes(path.with_suffix(".old").read_bytes())
        yield from real(self)

    with monkeypatch.context() as patch:
        patch.setattr(codecs.Reader, "blocks", swapped)
        found = bench.decode(manifest)
    assert bench.rejects(found) == {"a.wav": "changed"}
    assert len(found.recordings) == 1
    assert bench.decode(manifest).rejected == {}
    assert bench.opened == ["a.wav"]


@pytest.mark.parametrize(
    ("wrong", "code", "again"),
    [
        (OSError(5, "Input/output error"), "unreadable", True),
        (MemoryError(), "decoder_error", False),
    ],
)
def test_reasons_that_may_pass_are_tried_again_and_others_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, wrong: Exception, code: str, again: bool
) -> None:
    bench.add("a.wav", 1)
    bench.add("b.wav", 2)
    manifest = bench.scan()

    def fail(self: codecs.Reader) -> Iterator[np.ndarray]:
        raise wrong

    with monkeypatch.context() as patch:
        patch.setattr(codecs.Reader, "blocks", fail)
        found = bench.decode(manifest)
    assert bench.rejects(found) == {"a.wav": code, "b.wav": code}
    found = bench.decode(manifest)
    assert sorted(bench.opened) == (["a.wav", "b.wav"] if again else [])
    assert bool(found.rejected) is not again


@pytest.mark.parametrize(
    ("wrong", "lasts"),
    [
        ("decoder_error", False), ("truncated", True), ("changed", False), ("unreadable", False),
        ("timeout", False), ("decoder_crash", False), ("missing", False), ("not_regular", False),
    ],
)  # fmt: skip
def test_a_rejection_for_the_bytes_outlives_its_pack(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, lasts: bool
) -> None:
    """A new file in its bucket makes another pack."""
    bad = bench.add("bad.wav", 1)
    real = codecs.open_sound

    def refuses(path: Path, *more: Any) -> codecs.Reader:
        reader = real(path, *more)
        if path.name == "bad.wav":
            reader.close()
            raise Rejected(wrong, "so it is")
        return reader

    def bucket(path: Path) -> int:
        return int(stamps.sha256_file(path)[0], 16) >> 2

    monkeypatch.setattr(codecs, "open_sound", refuses)
    before = bench.packs(bench.decode())
    assert any(bucket(bench.add("other.wav", seed)) == bucket(bad) for seed in range(2, 99))
    found = bench.decode()
    assert not before.keys() & bench.packs(found).keys()
    assert bench.rejects(found) == {"bad.wav": wrong}
    assert sorted(bench.opened) == (["other.wav"] if lasts else ["bad.wav", "other.wav"])
    fresh = decode.decode(bench.scan(), bench.data, tmp_path / "fresh", 1)
    assert bench.packs(fresh) == bench.packs(found)
    monkeypatch.setattr(decode, "decoder_version", lambda: "another")
    bench.decode()
    assert sorted(bench.opened) == ["bad.wav", "other.wav"]


def test_a_file_that_is_cut_while_it_is_decoded_has_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the cut file that its id names."""
    whole = bench.add("a.wav", 1).read_bytes()
    manifest, real = bench.scan(), codecs.open_sound

    def cut(path: Path, *more: Any) -> codecs.Reader:
        os.truncate(path, len(whole) // 2)
        return real(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(codecs, "open_sound", cut)
        found = bench.decode(manifest)
    assert [why for why, _ in found.rejected.values()] == ["changed"]
    (bench.data / "a.wav").write_bytes(whole)
    assert bench.decode().rejected == {}


def test_an_index_of_another_version_is_told_and_made_anew(bench: Bench) -> None:
    bench.add("a.wav", 1)
    found = bench.decode()
    table = found.folder / "index.json"
    right = table.read_bytes()
    value = store.load_sealed(table)
    value["recordings"] = {ident: row[:-1] for ident, row in value["recordings"].items()}
    table.write_bytes(store.dump_json(store.seal(value)))
    with pytest.raises(MelmillError, match="another version"):
        decode.stored(table)
    assert verify_corpus.check(bench.artifacts, 1)[0] == [
        f"{table}: of another version. Run `make features`"
    ]
    bench.decode()
    assert table.read_bytes() == right


def test_bad_files_are_rejected_one_by_one(bench: Bench) -> None:
    good = bench.add("good.wav", 1)
    hole = np.zeros(4000, np.float32)
    hole[2000] = np.nan
    sf.write(bench.data / "nan.wav", hole, RATE, "FLOAT")
    raw = bench.add("cut.flac", 2).read_bytes()
    (bench.data / "cut.flac").write_bytes(raw[: len(raw) // 2])
    found = bench.decode()
    assert bench.rejects(found)["nan.wav"] == "not_finite"
    assert bench.rejects(found)["cut.flac"] in ("truncated", "decoder_error")
    assert list(found.recordings) == [stamps.sha256_file(good)]


def test_a_folder_swapped_for_a_link_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    (bench.data / "sub").mkdir()
    bench.add("sub/a.wav", 1)
    manifest = bench.scan()
    (bench.data / "sub").rename(tmp_path / "outside")
    (bench.data / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(MelmillError, match="leaves its folder"):
        bench.decode(manifest)


def test_a_file_swapped_for_a_link_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    path = bench.add("a.wav", 1)
    manifest = bench.scan()
    path.rename(tmp_path / "outside.wav")
    path.symlink_to(tmp_path / "outside.wav")
    found = bench.decode(manifest)
    assert [why for why, _ in found.rejected.values()] == ["not_regular"]


# ------------------------------------------------------------------ files that kill a worker


def dying(bench: Bench, name: str) -> Callable[..., Iterator[tuple[int, Any]]]:
    """jobs.run whose pool dies inside the file of this name until that file is left out."""
    path = os.fspath(bench.data / name)

    def run(
        function: Any, tasks: list[decode.Task], count: int, recover: Callable[[], None]
    ) -> Iterator[tuple[int, Any]]:
        for index, task in enumerate(tasks):
            if path not in task.condemned and any(s.path == path for s in task.sources):
                Path(task.notes).mkdir(parents=True, exist_ok=True)
                (Path(task.notes) / "12345").write_text(suspects.name(path))
                recover()
            yield index, function(task)

    return run


@pytest.mark.parametrize(
    ("exitcode", "why"),
    [(-signal.SIGSEGV, "decoder_crash"), (-signal.SIGALRM, "timeout"), (0, ""), (1, "")],
)
def test_a_file_that_kills_alone_too_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, exitcode: int, why: str
) -> None:
    for k in range(4):
        bench.add(f"{k}.wav", k)
    manifest = bench.scan()
    alone: list[str] = []

    def tried(path: str, size: int, attempt: Callable[[str], None]) -> int:
        alone.append(Path(path).name)
        assert (size, attempt) == (Path(path).stat().st_size, decode.listen)
        return exitcode

    monkeypatch.setattr(suspects, "alone", tried)
    monkeypatch.setattr(jobs, "run", dying(bench, "2.wav"))
    found = bench.decode(manifest)
    assert alone == ["2.wav"]
    assert bench.rejects(found) == ({"2.wav": why} if why else {})
    assert len(found.recordings) == (3 if why else 4)
    assert ("2.wav" in bench.opened) is not bool(why)
    assert not list((bench.artifacts / ".cache" / "inside").iterdir())


def test_a_file_alone_in_a_process_of_its_own(bench: Bench, tmp_path: Path) -> None:
    path = bench.add("a.wav", 1)
    (tmp_path / "page.wav").write_bytes(b"<html></html>")
    for each in (path, tmp_path / "page.wav"):
        assert suspects.alone(os.fspath(each), 0, decode.listen) == 0


def test_a_pool_that_died_before_any_file_names_none(tmp_path: Path) -> None:
    assert suspects.culprits(tmp_path / "none", {"a.wav": 1}, decode.listen) == {}


def test_what_is_no_note_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"\xff\xfe")
    (tmp_path / "77").write_text("nothing known")
    assert suspects.culprits(tmp_path, {"a.wav": 1}, decode.listen) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".DS_Store"]


# ------------------------------------------------------------------ twins and estimates


def test_the_same_samples_in_another_container_are_a_twin(bench: Bench) -> None:
    first = bench.add("a.wav", 1)
    second = bench.add("b.flac", 1)
    third = bench.add("c.wav", 1, seconds=0.49)
    found = bench.decode()
    a, b, c = map(stamps.sha256_file, (first, second, third))
    assert len({a, b, c}) == 3
    assert decode.twins(found, [a, b, c]) == {b: a}
    assert decode.twins(found, [b, c, a]) == {a: b}
    assert decode.twins(found, [a, "unknown"]) == {}


@pytest.mark.parametrize(
    ("kind", "channels", "name"),
    [
        ("PCM_24", 1, "b.wav"), ("PCM_24", 1, "b.flac"), ("PCM_32", 1, "b.wav"),
        ("FLOAT", 1, "b.wav"), ("DOUBLE", 1, "b.wav"), ("PCM_16", 2, "b.flac"),
        ("PCM_24", 3, "b.wav"),
    ],
)  # fmt: skip
def test_the_same_samples_with_more_bits_or_channels_are_a_twin(
    bench: Bench, kind: str, channels: int, name: str
) -> None:
    a = bench.add("a.wav", 1, seconds=9)  # more than a block
    x, _ = sf.read(a, dtype="float64")
    x[7], x[70000] = -1.0, 32767 / 32768
    sf.write(a, x, RATE, "PCM_16")
    full = np.stack([x] * channels, 1)
    sf.write(bench.data / name, full, RATE, kind)
    full[70000] -= 2.0**-17  # in the second block, a bit that 16 do not hold
    sf.write(bench.data / "c.wav", full, RATE, "FLOAT")
    found = bench.decode()
    one, other, third = map(stamps.sha256_file, (a, bench.data / name, bench.data / "c.wav"))
    dtypes = [found.recordings[i].dtype for i in (one, other, third)]
    assert dtypes == ["int16", "float32", "float32"]  # what is stored is as it was
    assert decode.twins(found, [one, other, third]) == {other: one}
    assert decode.twins(found, [third, other, one]) == {one: other}
    again = bench.decode()
    assert bench.opened == []
    assert decode.twins(again, [one, other, third]) == {other: one}


def test_equal_checksums_are_not_taken_for_equal_sound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (stamps.sha256_file(bench.add(f"{k}.wav", k)) for k in range(2))
    found = bench.decode()
    monkeypatch.setattr(Recording, "sound", lambda self: "the same")
    assert decode.twins(found, [a, b]) == {}


def test_a_forged_header_cannot_ask_for_the_whole_disk(bench: Bench) -> None:
    bench.add("a.wav", 1)
    manifest = bench.scan()
    size = manifest.records[0].bytes
    honest = decode.estimate(manifest, set())
    assert honest == manifest.records[0].frames * 2
    manifest.records[0] = scan.replace(manifest.records[0], frames=1 << 50)
    assert decode.estimate(manifest, set()) == 40 * size
    assert decode.estimate(manifest, {manifest.records[0].id}) == 0


def test_a_file_that_tells_no_length_counts_by_its_bytes(bench: Bench) -> None:
    path = bench.data / "a.mp3"
    sf.write(path, 0.1 * np.random.default_rng(1).standard_normal(20 * RATE), RATE, format="MP3")
    manifest = bench.scan()
    size = path.stat().st_size
    bare = scan.replace(manifest.records[0], frames=0)
    assert decode.estimate(Manifest("auto", [bare]), set()) == 12 * size
    assert decode.estimate(Manifest("auto", [bare]), {bare.id}) == 0


def test_too_little_space_stops_before_the_first_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.wav", 1)
    monkeypatch.setattr(guard, "SPARE", 1 << 60)
    with pytest.raises(MelmillError, match="too little disk space"):
        bench.decode()
    assert bench.opened == []
