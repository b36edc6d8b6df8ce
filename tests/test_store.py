"""The store: whole files or none, no path out of its root, no damaged byte taken for good.

Reads and writes in pytest's own folder.
"""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.disk import guard, stamps, store
from pipeline.errors import MelmillError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_sealed_file_is_whole_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    with store.sealed(path) as sink:
        assert not path.exists()
        assert sink.write(b"one") == 3
        sink.write(memoryview(b"two"))
        assert sink.size == 6
    assert path.read_bytes() == b"onetwo"
    assert sink.hash.hexdigest() == hashlib.sha256(b"onetwo").hexdigest()
    assert names(path.parent) == ["a.bin"]


def fail(kind: type[BaseException]) -> None:
    raise kind("no")


@pytest.mark.parametrize("wrong", [ValueError, KeyboardInterrupt, MelmillError])
def test_an_exception_leaves_nothing(tmp_path: Path, wrong: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(wrong), store.sealed(path) as sink:  # noqa: PT012
        sink.write(b"x" * 100000)
        fail(wrong)
    assert names(tmp_path) == []


def test_an_exception_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    store.write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), store.sealed(path) as sink:  # noqa: PT012
        sink.write(b"new")
        fail(ZeroDivisionError)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "rename", "write"])
def test_what_the_system_refuses_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, call, full)
    with pytest.raises(MelmillError, match=r"cannot write: No space left.* MiB free.*Free some"):
        store.write_bytes(tmp_path / "a.bin", b"data")
    monkeypatch.undo()
    assert names(tmp_path) == []


def test_a_write_that_takes_less_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(store.os, "write", lambda fd, data: whole(fd, bytes(data[:7])))
    sha = store.write_bytes(tmp_path / "a.bin", b"0123456789" * 10)
    monkeypatch.undo()
    assert (tmp_path / "a.bin").read_bytes() == b"0123456789" * 10
    assert sha == hashlib.sha256(b"0123456789" * 10).hexdigest()


def test_what_is_equal_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    assert store.write_if_changed(path, b"abc")
    before = path.stat()
    assert not store.write_if_changed(path, b"abc")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_ctime_ns == before.st_ctime_ns
    assert store.write_if_changed(path, b"abd")
    assert store.write_if_changed(path, b"abcd")
    assert path.read_bytes() == b"abcd"


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize(
    "bad", ["../x", "a/../../x", "a/..", "/etc/passwd", "a\0b", "..", "link/x", "loop", "away"]
)
def test_no_path_leaves_its_root(tmp_path: Path, bad: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "away").symlink_to("/etc/passwd")
    with pytest.raises(MelmillError, match="leaves its folder"):
        store.inside(root, bad)


@pytest.mark.parametrize("good", ["a", "a/b.wav", "a..b", "...", "~", "a\\..\\b", "here/x"])
def test_plain_paths_stay(tmp_path: Path, good: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "here").symlink_to("sub")
    assert store.inside(tmp_path, good) == tmp_path / good


def test_a_root_that_is_a_link_is_a_root(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    assert store.inside(tmp_path / "data", "a.wav") == tmp_path / "data" / "a.wav"


# ------------------------------------------------------------------ JSON


VALUE = {"key": "ab", "list": [1, -2, 0.25, 1e300, True, None], "päth": "\udcff.wav", "z": {"": []}}


def test_json_is_sorted_ascii_and_knows_no_nan() -> None:
    data = store.dump_json({"b": 1, "a": "é\udcff"})
    assert data == b'{"a":"\\u00e9\\udcff","b":1}\n'
    assert json.loads(data)["a"] == "é\udcff"
    with pytest.raises(ValueError, match="JSON"):
        store.dump_json({"a": float("nan")})


def test_a_digest_is_of_the_value_not_of_its_order() -> None:
    assert store.digest({"a": 1, "b": [2]}) == store.digest(dict(b=[2], a=1))
    assert store.digest({"a": 1}) != store.digest({"a": 2})
    assert store.digest([]) == hashlib.sha256(b"[]\n").hexdigest()


@pytest.mark.parametrize("pretty", [False, True])
def test_no_flipped_bit_changes_what_is_read(tmp_path: Path, pretty: bool) -> None:
    """Every bit of a small file. A bit that spells the same value another way does no harm."""
    path = tmp_path / "a.json"
    sealed = store.seal(VALUE)
    data = store.dump_json(sealed, pretty=pretty)
    path.write_bytes(data)
    assert store.load_sealed(path) == sealed
    harmless = 0
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            assert store.load_sealed(path) == sealed
            harmless += 1
        except MelmillError as err:
            assert str(path) in str(err)  # noqa: PT017
            assert "Delete it and run the same command again" in str(err)  # noqa: PT017
    assert harmless <= 12  # the case of hex digits in an escape, and of an exponent's e


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b'{"a":1}', b"null", b"\xff\xfe", b"[" * 100000, b'{"seal":"x"}'],
)
def test_what_is_no_sealed_value_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(MelmillError, match="damaged file"):
        store.load_sealed(path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'"' + b"x" * 100 + b'"')
    with pytest.raises(MelmillError, match="larger than 50 bytes"):
        store.load_json(tmp_path / "a.json", limit=50)


# ------------------------------------------------------------------ hashes and stamps


class Reads(list[str]):
    """Hashes files, and remembers which were read for it."""

    def __call__(self, path: Path) -> str:
        self.append(path.name)
        return stamps.sha256_file(path)


@pytest.fixture
def reads() -> Reads:
    return Reads()


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, reads: Reads) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    path.write_bytes(b"abc")
    for _ in range(2):
        hashes = stamps.Hashes(table, reads)
        assert hashes.of(path) == hashlib.sha256(b"abc").hexdigest()
        assert hashes.of(path) == hashlib.sha256(b"abc").hexdigest()
        hashes.save()
    assert reads == ["a"]


def test_an_edit_that_restores_the_mtime_is_seen(tmp_path: Path, reads: Reads) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    path.write_bytes(b"abc")
    hashes = stamps.Hashes(table, reads)
    hashes.of(path)
    hashes.save()  # waits until the clock of the file system has moved on
    before = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert stamps.Hashes(table, reads).of(path) == hashlib.sha256(b"abd").hexdigest()
    assert reads == ["a", "a"]


def test_a_file_swapped_by_rename_is_seen(tmp_path: Path, reads: Reads) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    for name, data in (("a", b"abc"), ("b", b"xyz")):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, ns=(1, 1))
    hashes = stamps.Hashes(table, reads)
    hashes.of(path)
    hashes.save()
    (tmp_path / "b").rename(path)
    assert stamps.Hashes(table, reads).of(path) == hashlib.sha256(b"xyz").hexdigest()


@pytest.mark.parametrize("moved", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"])
def test_a_stamp_moves_with_each_of_its_parts(moved: str) -> None:
    parts = {"st_size": 1, "st_mtime_ns": 2, "st_ctime_ns": 3, "st_ino": 4, "st_atime_ns": 5}
    one, other = SimpleNamespace(**parts), SimpleNamespace(**parts | {moved: 9})
    assert stamps.stamp(one) != stamps.stamp(other)  # type: ignore[arg-type]
    read = SimpleNamespace(**parts | {"st_atime_ns": 9})  # to be read is no change
    assert stamps.stamp(one) == stamps.stamp(read)  # type: ignore[arg-type]


def test_what_was_just_written_need_not_be_read(tmp_path: Path, reads: Reads) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    hashes = stamps.Hashes(table, reads)
    hashes.learn(path, store.write_bytes(path, b"abc"))
    hashes.save()
    assert stamps.Hashes(table, reads).of(path) == hashlib.sha256(b"abc").hexdigest()
    assert reads == []


def test_forgotten_means_read_again(tmp_path: Path, reads: Reads) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    path.write_bytes(b"abc")
    hashes = stamps.Hashes(table, reads)
    hashes.of(path)
    hashes.save()
    hashes = stamps.Hashes(table, reads)
    hashes.forget(path)
    hashes.save()
    stamps.Hashes(table, reads).of(path)
    assert reads == ["a", "a"]


def test_gone_files_leave_the_table_and_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path, table = tmp_path / "a", tmp_path / "hashes.json"
    path.write_bytes(b"abc")
    hashes = stamps.Hashes(table)
    hashes.of(path)
    hashes.save()
    inode = table.stat().st_ino
    again = stamps.Hashes(table)
    again.of(path)
    again.save()
    assert table.stat().st_ino == inode
    path.unlink()
    stamps.Hashes(table).save()
    assert json.loads(table.read_bytes()) == {}


@pytest.mark.parametrize("data", [b"", b"[1]", b'{"a": 3}', b'{"a": [[1], 2, 3]}', b"\x00\xff"])
def test_a_damaged_table_costs_time_only(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "hashes.json").write_bytes(data)
    hashes = stamps.Hashes(tmp_path / "hashes.json")
    assert hashes.of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_settling_waits_one_tick_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(stamps.time, "sleep", slept.append)
    monkeypatch.setattr(stamps.time, "time_ns", lambda: 5_000_000_000)
    stamps.settle(4_000_000_001)  # long ago
    stamps.settle(9_000_000_001)  # a clock that was set back: no wait for that
    assert slept == []
    stamps.settle(4_999_000_001)
    stamps.settle(5_000_000_000)  # whole seconds: a file system that counts in those
    assert slept == [pytest.approx(0.019), pytest.approx(2.0)]


# ------------------------------------------------------------------ space, the lock


def test_too_little_space_is_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 100 << 20

    monkeypatch.setattr(guard.shutil, "disk_usage", lambda _: Usage)
    guard.need_space(tmp_path / "new", (100 << 20) - guard.SPARE)
    with pytest.raises(
        MelmillError, match=r"new: too little disk space; expected about 101 MiB; got 100 MiB free"
    ):
        guard.need_space(tmp_path / "new", (101 << 20) - guard.SPARE)


def test_the_lock_refuses_a_second_run_and_names_the_first(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from pipeline.disk import guard, stamps, store\n"
    code += "with guard.lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    said = f"another run is using this folder; got '.* {re.escape(str(tmp_path))}', process "
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(MelmillError, match=f"{said}{other.pid} on .* since .*Wait for it"),
            guard.lock(tmp_path),
        ):
            pass
        other.kill()
        other.wait()
    with guard.lock(tmp_path):  # a killed holder holds nothing
        pass
    assert names(tmp_path) == [".lock"]


def test_a_root_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MelmillError, match="cannot write"), guard.lock(tmp_path / "file" / "a"):
        pass


def test_fault_points_do_nothing_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_fault_counts", {})
    monkeypatch.delenv("MELMILL_FAULT", raising=False)
    for _ in range(3):
        store.fault_point("write")
    monkeypatch.setenv("MELMILL_FAULT", "write:2:ENOSPC")
    store.fault_point("rename")
    store.fault_point("write")
    with pytest.raises(OSError, match="No space left"):
        store.fault_point("write")
    store.fault_point("write")
