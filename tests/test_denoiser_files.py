"""Files and folders through a denoiser: what is cleaned, passed over, named, refused and shown."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from training import folders, recordings  # noqa: E402
from training.denoiser.files import Cleaned, denoise_path, exit_code  # noqa: E402
from training.denoiser.spec import SpecNet  # noqa: E402
from training.errors import RunError  # noqa: E402

torch.set_num_threads(1)
RATE = 16000


def halving() -> SpecNet:
    """A net that makes everything ten times softer."""
    net = SpecNet(RATE, 4, 1)
    with torch.no_grad():
        net.last.weight.zero_()
        net.last.bias.mul_(0.1)
    return net


def clean(source: Path, target: Path) -> list[Cleaned]:
    return denoise_path(halving(), RATE, source, target)


def put(path: Path, frames: int = 1600, **form: str) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(frames).uniform(-0.5, 0.5, frames)
    soundfile.write(path, wave, RATE, **form)
    return path.read_bytes()


def is_cleaned(source: Path, target: Path) -> bool:
    before, after = soundfile.read(source)[0], soundfile.read(target)[0]
    return len(before) == len(after) and 0.05 < after.std() / before.std() < 0.15


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "a.wav")
    done = clean(tmp_path / "a.wav", tmp_path / "to" / "b.flac")
    assert is_cleaned(tmp_path / "a.wav", tmp_path / "to" / "b.flac")
    assert done == [Cleaned(tmp_path / "a.wav", tmp_path / "to" / "b.flac", 0.1)]
    assert exit_code(done) == 0
    assert "cleaned 1 of 1 recording, 0.1 s of sound in " in capsys.readouterr().err
    (done,) = clean(tmp_path / "a.wav", tmp_path / "to")
    assert done.target == tmp_path / "to" / "a.wav"
    assert is_cleaned(done.source, done.target)


def test_a_folder_becomes_the_same_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    good = ["a.wav", "b/c.FLAC", "b/d/e.ogg", "b/none.wav"]
    for i, name in enumerate(good):
        put(source / name, 0 if "none" in name else 1600 + i)
    (source / "b" / "bad.wav").write_text("no sound")
    (source / "song.m4a").write_bytes(b"sound")
    for other in ("notes.txt", "b/cover.png", ".hidden.wav", ".trash/x.wav", "b/._a.wav"):
        (source / other).parent.mkdir(exist_ok=True)
        (source / other).touch()
    (source / "loop").symlink_to(source)
    done = clean(source, target)
    assert tree(target) == sorted(good)
    assert all(is_cleaned(source / name, target / name) for name in good[:3])
    assert soundfile.info(target / "b" / "none.wav").frames == 0
    assert [one.source.name for one in done if one.reason] == ["song.m4a", "bad.wav"]
    assert exit_code(done) == 1
    said = capsys.readouterr().err
    assert "b/bad.wav: cannot be read; got Format not recognised" in said
    assert "song.m4a: libsndfile does not read .m4a. Convert it first" in said
    assert "cleaned 4 of 6 recordings, 0.3 s of sound" in said
    assert "; 5 other files passed over" in said


def test_out_inside_in_is_not_cleaned_again(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    for _ in range(2):
        assert len(clean(tmp_path, tmp_path / "b" / "clean")) == 1
        assert tree(tmp_path) == ["a.wav", "b/clean/a.wav"]
        assert is_cleaned(tmp_path / "a.wav", tmp_path / "b" / "clean" / "a.wav")


@pytest.mark.parametrize(
    ("source", "target"),
    [("a.wav", "a.wav"), ("a.wav", "."), ("a.wav", "hard.wav"), ("a.wav", "soft.wav"),
     (".", "."), (".", "same"), ("sub", ".")],
)  # fmt: skip
def test_a_source_is_never_overwritten(source: str, target: str, tmp_path: Path) -> None:
    held = put(tmp_path / "a.wav")
    (tmp_path / "hard.wav").hardlink_to(tmp_path / "a.wav")
    (tmp_path / "soft.wav").symlink_to("a.wav")
    (tmp_path / "same").symlink_to(".")
    inner = put(tmp_path / "sub" / "sub" / "b.wav")  # cleaned into .: sub/b.wav
    outer = put(tmp_path / "sub" / "b.wav", 3200)
    with pytest.raises(RunError, match=r"overwritten. Name another OUT"):
        clean(tmp_path / source, tmp_path / target)
    assert (tmp_path / "a.wav").read_bytes() == held
    assert (tmp_path / "sub" / "b.wav").read_bytes() == outer
    assert (tmp_path / "sub" / "sub" / "b.wav").read_bytes() == inner


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.wav")
    put(tmp_path / "b.wav")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").touch()
    with pytest.raises(RunError, match="a folder cannot go into a file"):
        clean(tmp_path / "in", tmp_path / "b.wav")
    with pytest.raises(RunError, match=r"no sound files; expected \.aif.*got 1 others"):
        clean(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(RunError, match="cannot write: Not a directory"):
        clean(tmp_path / "in", tmp_path / "b.wav" / "out")
    (done,) = clean(tmp_path / "none.wav", tmp_path / "c.wav")
    assert "no such file" in done.reason


def test_lines_tell_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "READ", 1600)
    monkeypatch.setattr(folders, "EVERY", 0.0)
    put(tmp_path / "in" / "a.wav", 16000)
    put(tmp_path / "in" / "b.wav", 48000)
    clean(tmp_path / "in", tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 43  # a block each, what was left of each file, and the last
    assert lines[0].startswith("0.1 s of 4.0 s of sound  ")
    assert lines[0].endswith(" left  file 1 of 2: a.wav")
    assert lines[-2].startswith("4.0 s of 4.0 s of sound  ")
    assert lines[-2].endswith(" left  file 2 of 2: b.wav")
