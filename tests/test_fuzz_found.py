"""What the sweep of damaged files found, each as a case of its own.

Reads and writes in pytest's folders. Does: forges one thing in a good file; it must be refused in
one plain line, as all that is damaged is.
"""

import hashlib
import os
import struct
from pathlib import Path

import pytest

from pipeline import cookbook, corpus
from pipeline.audio.codecs import probe
from pipeline.errors import MelmillError, Rejected, UsageError, plain
from tests import corpus as made
from tests.fuzz_files import with_pyav
from tests.hostile import _rf64, encoded, pcm16, tone
from training.data.index import DataError
from training.engine import checkpoint
from training.errors import Damaged, RunError
from training.run import read_metrics


@pytest.mark.parametrize("length", [2**60, 2**63 - 1, 2**63, 2**64 - 100])
def test_lengths_beyond_what_a_system_can_seek(tmp_path: Path, length: int) -> None:
    data = pcm16(1).tobytes()
    path = tmp_path / "x.wav"
    path.write_bytes(_rf64(data, length))
    with pytest.raises(Rejected, match=r"truncated|bad_header"):
        probe(path)
    w64 = encoded(tmp_path, "w64", tone(1))
    for at in (40 + 16, w64.index(b"data") + 16):  # of the chunk before the audio, of the audio
        path.write_bytes(w64[:at] + struct.pack("<Q", length) + w64[at + 8 :])
        with pytest.raises(Rejected, match=r"truncated|bad_header"):
            probe(path)


def test_a_track_of_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "x.m4a"
    with_pyav(path, "m4a", "aac", tone(1))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"stsd", b"free"))
    with pytest.raises(Rejected, match=r"unsupported: mov with a track that no decoder knows"):
        probe(path)


def ckpt(path: Path, head: bytes) -> Path:
    """A file that is a checkpoint by its magic and its hash."""
    data = checkpoint.MAGIC + len(head).to_bytes(8, "little") + head
    path.write_bytes(data + hashlib.sha256(data).digest())
    return path


HEADS = [b"", b"\xff\xfe", b"[]", b"{}", b'{"state": {"tensor": ["float32", [9], 0]}}', b"9" * 5000,
         b'{"state": {"tensor": ["object", [1], 0]}}', b'{"state": {"a": 1, "b": 2}}',
         b'{"state": {"dict": [1]}}', b'{"state": {"dict": [[{"dict": []}, 1]]}}',
         b'{"state": ' + b"[" * 10**5, b'{"state": {"tensor": ["float32", ["a"], 0]}}',
         b'{"state": {"tensor": ["float32", [1], -9]}}', b"\x80\x04]."]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_checkpoints_under_a_hash_that_fits(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(Damaged, match="no checkpoint of ours"):
        checkpoint.load(ckpt(tmp_path / "x.ckpt", head))


def test_metrics_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + b"[" * 10**5 + b'\n{"step": 2}\n')
    assert read_metrics(tmp_path) == [{"step": 1}]


RECIPES = {
    "no UTF-8": b'about = "\xff"',
    "nested": b"a = " + b"[" * 5000,
    "digits": b"a = " + b"9" * 5000,
    "large": made.CLASSES.replace("top_db = 80.0", "top_db = " + "9" * 400).encode(),
    "newline": made.CLASSES.replace("kind", '"a\\nb\\u001b[31m"', 1).encode(),
    "long": made.CLASSES.replace("mel", "x" * 10**6).encode(),
    "endless": b"#" * (cookbook.LARGEST + 1),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_recipes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(RECIPES[kind])
    with pytest.raises(UsageError) as caught:
        cookbook.load([os.fspath(path)])
    assert plain(str(caught.value)).rstrip(".") == str(caught.value).rstrip(".")
    assert len(str(caught.value)) < 4000


def test_what_is_named_may_be_no_pipe_or_device(tmp_path: Path) -> None:
    """Whose end may never come."""
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            corpus.read_splits(path)
        with pytest.raises(UsageError, match="cannot read"):
            cookbook.load([os.fspath(path)])


def test_messages_are_one_plain_line_of_bounded_length(tmp_path: Path) -> None:
    """Lists are quoted in them: no line of a list may pass for one of ours, or colour it."""
    path = tmp_path / "splits.csv"
    path.write_text('group,split\ng0,"a\nerror: all is well\x1b[2J' + "x" * 10**5 + '"\n')
    with pytest.raises(MelmillError) as caught:
        corpus.read_splits(path)
    assert "got a\\nerror: all is well\\x1b[2Jxxx" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert Rejected("missing", "a\r\u2028b").detail == "a\\r\\u2028b"
    for kind in (RunError, DataError):
        told = str(kind("what\n", "a\rb", "\x1b[2J", "x" * 10**5))
        assert told.startswith("a\\rb: what\\n; expected \\x1b[2J; got xxx")
        assert len(told) < 2000
