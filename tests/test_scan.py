"""The scan: every file found is named once, and read again only when it changed.

Reads and writes folders of its own under pytest's.
"""

import json
import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from pipeline import jobs, scan
from pipeline.audio import codecs
from pipeline.disk import stamps
from pipeline.errors import REASONS, MelmillError, UsageError
from pipeline.layouts import recognise as layouts
from pipeline.scan import Manifest, Record
from pipeline.walk import walk
from tests import inline


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    found: list[str] = []
    real = scan._look_at

    def counted(path: str, *more: Any) -> tuple[str, stamps.Stamp, dict[str, Any]]:
        found.append(path)
        return real(path, *more)

    monkeypatch.setattr(scan, "_look_at", counted)
    monkeypatch.setattr(jobs, "run", inline.run)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def tone(path: Path, hz: int = 440, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = 0.1 * np.sin(np.arange(rate // 4) * hz / rate)
    sf.write(os.fsencode(path), x, rate, "PCM_16", format="WAV")
    return path


def run(data: Path, layout: str = "auto", role: str = "") -> Manifest:
    return scan.scan(data, data.parent / "artifacts", layout, role, 1)


def rejects(found: Manifest) -> dict[str, str]:
    return {r.path: r.reject for r in found.records if r.reject}


def paths(found: Manifest) -> list[str]:
    return [r.path for r in found.used()]


def test_a_record_says_what_the_file_is(data: Path, looked: list[str]) -> None:
    path = tone(data / "dog" / "a.wav")
    (record,) = run(data).records
    assert record == Record(
        "dog/a.wav", id=stamps.sha256_file(path), bytes=path.stat().st_size, codec="WAV/PCM_16",
        rate=16000, channels=1, frames=4000, store="int16", role="labelled", label="dog",
    )  # fmt: skip


@pytest.mark.parametrize(("begins", "used"), [(0.2, True), (0.25, False), (100.0, False)])
def test_turns_that_begin_after_the_end_are_of_another_recording(
    data: Path, looked: list[str], begins: float, used: bool
) -> None:
    tone(data / "a.wav")  # a quarter of a second
    (data / "a.rttm").write_text(
        f"SPEAKER a 1 0 0.1 <NA> <NA> Ann <NA>\nSPEAKER a 1 {begins} 5 <NA> <NA> Bob <NA>\n"
    )
    (record,) = run(data).records
    assert record.reject == ("" if used else "bad_list_row")
    if not used:
        assert record.detail == f"a segment begins at {begins:g} s, the recording ends at 0.25 s"


def test_labels_that_begin_after_the_end_are_in_another_unit(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")  # a quarter of a second
    tone(data / "b.wav", hz=900)
    (data / "melmill.csv").write_text(
        "path,label,start,end\na.wav,dog,100,200\na.wav,cat,0,0.1\nb.wav,dog,0.1,0.2\n"
    )
    found = run(data)
    assert rejects(found) == {"a.wav": "bad_list_row"}
    assert found.records[0].detail == "a segment begins at 100 s, the recording ends at 0.25 s"


def test_hidden_files_other_files_and_resource_forks_are_passed_over(
    data: Path, looked: list[str]
) -> None:
    for name in ("a.wav", ".b.wav", ".hidden/c.wav", "__MACOSX/._a.wav", "sub/__MACOSX/d.wav"):
        tone(data / name, hz=100 + len(name))
    (data / "notes.txt").write_text("x")
    (data / "cover.jpg").write_bytes(b"x")
    tone(data / "UPPER.WAV", hz=999)
    found = run(data)
    assert paths(found) == ["UPPER.WAV", "a.wav"]
    assert (len(found.records), found.ignored) == (2, 2)


def test_what_is_no_regular_file_is_listed_and_never_opened(data: Path, looked: list[str]) -> None:
    tone(data / "real.wav")
    outside = tone(data.parent / "outside.wav", hz=50)
    (data / "link.wav").symlink_to("real.wav")
    (data / "out.wav").symlink_to(outside)
    (data / "dangling.wav").symlink_to("nothing")
    (data / "folder").symlink_to(data.parent)
    (data / "loop").symlink_to(".")
    (data / "note").symlink_to("real.wav")  # no audio by its name: not our business
    os.mkfifo(data / "pipe.wav")
    (data / "a.wav").mkdir()
    tone(data / "a.wav" / "inside.wav", hz=70)
    found = run(data)
    assert paths(found) == ["a.wav/inside.wav", "real.wav"]
    assert rejects(found) == dict.fromkeys(
        ["link.wav", "out.wav", "dangling.wav", "folder", "loop", "pipe.wav"], "not_regular"
    )
    assert looked == paths(found)


def test_found_is_used_and_rejected(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    tone(data / "z.wav")  # the same bytes
    tone(data / "b.wav", hz=1000)
    (data / "empty.flac").write_bytes(b"")
    (data / "page.mp3").write_bytes(b"<!DOCTYPE html><html></html>")
    found = run(data)
    assert paths(found) == ["a.wav", "b.wav"]
    assert rejects(found) == {"z.wav": "duplicate", "empty.flac": "empty", "page.mp3": "not_audio"}
    assert all(code in REASONS for code in rejects(found).values())
    (twin,) = (r for r in found.records if r.path == "z.wav")
    assert twin.detail == "same bytes as a.wav"


def test_nothing_changed_reads_nothing_and_writes_nothing(data: Path, looked: list[str]) -> None:
    for k in range(5):
        tone(data / f"{k}.wav", hz=100 * k)
    first = run(data)
    assert len(looked) == 5
    before = {p: p.stat().st_ino for p in (data.parent / "artifacts").rglob("*")}
    second = run(data)
    assert len(looked) == 5
    assert second == first
    assert {p: p.stat().st_ino for p in (data.parent / "artifacts").rglob("*")} == before


def test_an_edit_with_its_mtime_put_back_is_read_again(data: Path, looked: list[str]) -> None:
    path = tone(data / "a.wav")
    tone(data / "b.wav", hz=500)
    first = run(data).records[0].id
    before = path.stat()
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert run(data).records[0].id != first
    assert looked == ["a.wav", "b.wav", "a.wav"]


def test_added_and_removed_files(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    tone(data / "b.wav", hz=500)
    run(data)
    (data / "a.wav").unlink()
    tone(data / "c.wav", hz=700)
    found = run(data)
    assert paths(found) == ["b.wav", "c.wav"]
    assert looked == ["a.wav", "b.wav", "c.wav"]
    assert set(found.stamps) == {"b.wav", "c.wav"}


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"files": 3}', b"\xff" * 100, None])
def test_a_lost_or_damaged_cache_costs_time_only(
    data: Path, looked: list[str], damage: bytes | None
) -> None:
    tone(data / "a.wav")
    first = run(data)
    cache = data.parent / "artifacts" / ".cache" / "scan.json"
    if damage is None:
        cache.unlink()
    else:
        cache.write_bytes(damage)
    assert run(data) == first
    assert looked == ["a.wav", "a.wav"]
    run(data)
    assert len(looked) == 2


def test_no_flipped_bit_in_the_cache_is_believed(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    run(data)
    cache = data.parent / "artifacts" / ".cache" / "scan.json"
    whole = scan.Cache(cache, data).table
    raw = cache.read_bytes()
    for at in range(len(raw)):
        bad = bytearray(raw)
        bad[at] ^= 1 << at % 8
        cache.write_bytes(bad)
        assert scan.Cache(cache, data).table in ({}, whole)


def test_a_cache_of_other_code_is_not_believed(
    data: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(data / "a.wav")
    run(data)
    monkeypatch.setattr(codecs, "library_versions", lambda: {"libsndfile": "another"})
    run(data)
    assert looked == ["a.wav", "a.wav"]


def test_the_manifest_does_not_tell_where_the_folder_lay(data: Path, looked: list[str]) -> None:
    for name in ("b.wav", "a.wav", "sub/c.wav"):
        tone(data / name, hz=100 * len(name) + ord(name[0]))
    run(data)
    text = (data.parent / "artifacts" / "manifest.jsonl").read_bytes()
    moved = data.rename(data.parent / "elsewhere")
    found = scan.scan(moved, data.parent / "other", "auto", "", 1)
    assert (data.parent / "other" / "manifest.jsonl").read_bytes() == text
    assert paths(found) == ["a.wav", "b.wav", "sub/c.wav"]


ODD = [b"\xff\xfe.wav", "ü \n\t'\".wav".encode(), unicodedata.normalize("NFD", "é.wav").encode(),
       "é.wav".encode(), b" .wav", b"-rf.wav", b"a\\b.wav", "日本.wav".encode()]  # fmt: skip


def test_odd_names_come_back_as_they_are(data: Path, looked: list[str]) -> None:
    for k, name in enumerate(ODD):
        tone(Path(os.fsdecode(os.path.join(os.fsencode(data), name))), hz=100 * k + 50)
    found = run(data)
    assert rejects(found) == {}
    again = scan.read(data.parent / "artifacts", data)
    assert again == found
    assert {os.fsencode(r.path) for r in again.records} == set(ODD)
    assert all((data / r.path).is_file() for r in again.records)


def test_every_field_comes_back_from_the_manifest(tmp_path: Path) -> None:
    records = [
        Record("a.wav", "ab" * 32, 5, "WAV/PCM_16", 8000, 2, 7, "float32", "labelled", "dog", "g",
               "test", 0, ("x", "y"), ((0.0, 1.5, "Ann"), (1.25, 2.0, "Bob")), "speaker"),
        Record("b.wav", reject="empty", detail="no bytes"),
    ]  # fmt: skip
    written = Manifest("csv", records, ignored=3)
    key = scan.write(tmp_path / "manifest.jsonl", written)
    found = scan.read(tmp_path, tmp_path)
    assert (found.layout, found.records, found.ignored, found.key) == ("csv", records, 3, key)


def test_no_flipped_bit_in_the_manifest_is_read(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    run(data)
    path = data.parent / "artifacts" / "manifest.jsonl"
    raw = path.read_bytes()
    for at in range(len(raw)):
        bad = bytearray(raw)
        bad[at] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(MelmillError, match="damaged manifest.*Run `make scan`"):
            scan.read(data.parent / "artifacts", data)


def test_no_manifest_and_no_folder(data: Path) -> None:
    with pytest.raises(MelmillError, match=r"manifest.jsonl: no manifest. Run `make scan` first"):
        scan.read(data.parent / "artifacts", data)
    with pytest.raises(MelmillError, match="no such folder"):
        run(data / "nothing")


def test_a_list_may_name_files_of_any_suffix(data: Path, looked: list[str]) -> None:
    tone(data / "speech.bin", hz=300)
    tone(data / "noise.wav", hz=600)
    (data / "melmill.csv").write_text(
        "path,role,label\nspeech.bin,clean,\nnoise.wav,noise,hum\ngone.wav,noise,hum\n"
    )
    found = run(data)
    assert found.layout == "csv"
    assert paths(found) == ["noise.wav", "speech.bin"]
    assert rejects(found) == {"gone.wav": "missing"}
    assert [r.role for r in found.used()] == ["noise", "clean"]
    assert found.ignored == 0  # a list is read, not passed over


def test_what_the_list_refuses_is_refused_only_if_the_file_is_good(
    data: Path, looked: list[str]
) -> None:
    tone(data / "a.wav")
    (data / "b.wav").write_bytes(b"")
    (data / "melmill.csv").write_text("path,role\na.wav,dragon\nb.wav,dragon\n")
    assert rejects(run(data)) == {"a.wav": "bad_list_row", "b.wav": "empty"}


def test_a_file_written_to_while_it_is_read_is_tried_again(
    data: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tone(data / "a.wav")
    real = codecs.probe

    def touched(where: Path) -> codecs.Sound:
        with open(path, "ab") as file:
            file.write(b"\0")
        return real(where)

    monkeypatch.setattr(codecs, "probe", touched)
    assert rejects(run(data)) == {"a.wav": "changed"}
    monkeypatch.setattr(codecs, "probe", real)
    tone(path)
    assert paths(run(data)) == ["a.wav"]


def test_what_the_system_refused_is_tried_again(
    data: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(data / "a.wav")

    def refuse(_: Path) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(stamps, "sha256_file", refuse)
        found = run(data)
    assert rejects(found) == {"a.wav": "unreadable"}
    assert found.records[0].detail == "Input/output error"
    assert paths(run(data)) == ["a.wav"]  # though its stamp is the same


def test_a_folder_that_may_be_listed_and_not_entered(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(data / "shut" / "a.wav")
    tone(data / "b.wav")
    (data / "shut" / "below").mkdir()
    (data / "shut").chmod(0o644)
    data.chmod(0o755)
    monkeypatch.chdir(data)  # a name without folders, as the user below may enter none
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        found, every = walk(Path())
    finally:
        if root:
            os.seteuid(0)
        (data / "shut").chmod(0o755)
    why = "unreadable:Permission denied"
    assert every == ["b.wav"]
    assert [(path, problem) for path, _, problem in found] == [
        ("b.wav", ""), ("shut/a.wav", why), ("shut/below", why),
    ]  # fmt: skip


def test_a_file_that_vanishes_meanwhile_is_no_crash(
    data: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(data / "a.wav")
    tone(data / "b.wav", hz=900)
    real = layouts.read_listing

    def vanish(*args: object, **named: object) -> layouts.Listing:
        (data / "a.wav").unlink(missing_ok=True)
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(layouts, "read_listing", vanish)
    found = run(data)
    assert paths(found) == ["b.wav"]
    assert rejects(found) == {"a.wav": "unreadable"}


def test_chunks_are_bounded_by_bytes_and_by_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CHUNK_BYTES", 100)
    monkeypatch.setattr(scan, "CHUNK_FILES", 3)
    sizes = {"a": 1000, "b": 60, "c": 60} | dict.fromkeys("defgh", 1)
    chunks = list(scan._chunks(list(sizes), sizes))
    assert chunks == [["a"], ["b", "c"], ["d", "e", "f"], ["g", "h"]]
    assert list(scan._chunks([], {})) == []


def test_a_wrong_layout_or_role_is_a_wrong_use(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    with pytest.raises(UsageError, match="did you mean musan|Did you mean musan"):
        run(data, layout="musna")
    with pytest.raises(UsageError, match="unknown role; expected clean, noise"):
        run(data, role="loud")


def test_lines_of_the_manifest_leave_out_what_is_empty(data: Path, looked: list[str]) -> None:
    tone(data / "a.wav")
    run(data)
    head, row, seal = (data.parent / "artifacts" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(head) == {"ignored": 0, "layout": "class-per-folder", "schema": 1}
    assert not {"reject", "detail", "fold", "split"} & set(json.loads(row))
    assert list(json.loads(seal)) == ["seal"]
    assert Counter(map(type, json.loads(row).values())) == {str: 5, int: 4}
