"""Recordings and folders of them through a diarizer: what is written for each, what is passed over,
named and refused, and how much memory it takes.

Reads and writes in pytest's folders. The net learnt from chords for seconds, and knows them.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests import corpus, diarizing, recorded  # noqa: E402
from tests.commanded import Told  # noqa: E402
from tests.diarizing import TINY, quick, spoken  # noqa: E402
from tests.here import fresh  # noqa: E402
from training.diarizer import report, rttm  # noqa: E402
from training.diarizer.diarize import diarize_path  # noqa: E402
from training.diarizer.infer import Listener, diarized  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402
from training.diarizer.scores import errors, speakers  # noqa: E402
from training.diarizer.train import trained  # noqa: E402
from training.errors import RunError  # noqa: E402

LEARNT = replace(TINY, settings=replace(TINY.settings, epochs=14, rate=1e-2), augment=None)
TALK = [("A", 0.4, 2.0), ("B", 2.4, 4.0), ("A", 4.5, 6.0), ("B", 6.5, 9.0), ("A", 9.5, 11.0)]
ENDS = (".html", ".png", ".rttm")


@pytest.fixture(scope="module")
def artifacts(
    diarizer_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:  # fmt: skip
    """With a run `a`; pictures are not drawn."""
    root = fresh(diarizer_shards, tmp_path_factory.mktemp("files") / "artifacts")
    with quick(profile=LEARNT):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "whole", lambda run, artifacts: "")
            one = diarizing.OF.told("train", root, RUN="a")
        assert one.code == 0, one.err
        yield root


@pytest.fixture(scope="module")
def listener(artifacts: Path) -> Listener:
    return Listener(trained(diarizing.OF.folder(artifacts, "a")))


def diarize(artifacts: Path, source: Path, target: Path, **more: str) -> Told:
    return diarizing.OF.told(
        "diarize", artifacts, IN=os.fspath(source), OUT=os.fspath(target), **more
    )


def put(path: Path, turns: Any = TALK, seconds: float = 12.0, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(os.fsencode(path), spoken(turns, seconds, rate), rate)
    return path


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# ---- one recording -----------------------------------------------------------------------------


def test_a_recording_becomes_turns_a_picture_and_a_page(artifacts: Path, tmp_path: Path) -> None:
    source = put(tmp_path / "talk one.wav")
    with quick(drawn=True):
        run = diarize(artifacts, source, tmp_path / "to" / "found.rttm")
    assert run.code == 0, run.err
    assert tree(tmp_path / "to") == [f"found{end}" for end in ENDS]
    assert (tmp_path / "to" / "found.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "to" / "found.html").read_text()
    assert "talk one.wav" in page
    assert "data:audio/wav;base64," in page
    (name, turns), = rttm.read(tmp_path / "to" / "found.rttm").items()  # fmt: skip
    assert name == "talk_one"
    assert all(0 <= turn.start < turn.end <= 12.0 for turn in turns)
    truth = [Turn(a, b, who) for who, a, b in TALK]
    found = errors(truth, turns)
    assert found.missed + found.false < 0.1 * found.speech  # so small a net knows no voices
    assert run.out == ""
    said = run.err.splitlines()
    assert said[0] == f"with {diarizing.OF.folder(artifacts, 'a')}"
    count = len(speakers(turns))
    words = "1 speaker" if count == 1 else f"{count} speakers"
    assert said[1].startswith(f"{source}  12.0 s  {words}: speaker1 ")
    assert re.fullmatch(
        rf"diarized 1 of 1 recording, 12.0 s of sound in .*, into {tmp_path}/to/found.rttm", said[2]
    )


def test_others_read_what_is_written(artifacts: Path, tmp_path: Path) -> None:
    database = pytest.importorskip("pyannote.database.util")
    diarize(artifacts, put(tmp_path / "a b.wav"), tmp_path / "x.rttm")
    (found,) = database.load_rttm(tmp_path / "x.rttm").values()
    (turns,) = rttm.read(tmp_path / "x.rttm").values()
    assert len(list(found.itertracks())) == len(turns)


def test_the_file_is_written_as_lines_of_ten_fields(artifacts: Path, tmp_path: Path) -> None:
    diarize(artifacts, put(tmp_path / "a.wav"), tmp_path / "x.rttm")
    lines = (tmp_path / "x.rttm").read_text().splitlines()
    assert lines
    form = r"SPEAKER a 1 \d+\.\d{3} \d+\.\d{3} <NA> <NA> speaker\d+ <NA> <NA>"
    assert all(re.fullmatch(form, line) for line in lines)


def test_into_a_folder_that_is_there_or_not(artifacts: Path, tmp_path: Path) -> None:
    source = put(tmp_path / "talk.v1.flac")
    (tmp_path / "there.v2").mkdir()
    (tmp_path / "odd.rttm").mkdir()
    for name in ("there.v2", "odd.rttm", "new"):
        assert diarize(artifacts, source, tmp_path / name).code == 0
        assert tree(tmp_path / name) == [f"talk.v1{end}" for end in ENDS]


def test_a_place_that_cannot_be(artifacts: Path, tmp_path: Path) -> None:
    source = put(tmp_path / "in" / "a.wav")
    for place in (tmp_path / "talk.txt", tmp_path / "held", source):
        if place.name == "held":
            place.write_text("mine")
        run = diarize(artifacts, source, place)
        assert (run.code, run.out) == (1, "")
        said = f"{place}: no place for turns; expected an .rttm file or a folder. Name one with OUT"
        assert said in run.err
    assert (tmp_path / "held").read_text() == "mine"
    for place in (tmp_path / "held", tmp_path / "new.rttm"):
        run = diarize(artifacts, tmp_path / "in", place)
        assert run.code == 1
        assert f"{place}: a folder cannot go into a file. Name a folder with OUT=" in run.err
    run = diarize(artifacts, source, tmp_path / "held" / "x.rttm")
    assert run.code == 1
    assert "cannot write: " in run.err
    assert tree(tmp_path) == ["held", "in/a.wav"]


def test_nothing_to_hear_is_refused_at_once(listener: Listener, tmp_path: Path) -> None:
    recorded.assert_nothing_to_hear(
        tmp_path, lambda source: diarize_path(listener, source, tmp_path / "out")
    )
    assert not (tmp_path / "out").exists()


def test_any_rate_and_any_channels(listener: Listener, tmp_path: Path) -> None:
    """The same turns, to two frames."""
    want = diarized(listener, put(tmp_path / "a.wav", rate=8000)).turns
    assert len(want) > 2
    for rate in (11025, 48000):
        path = put(tmp_path / f"{rate}.wav", rate=rate)
        wave, _ = sf.read(path)
        sf.write(tmp_path / "both.wav", np.stack([wave, wave], 1), rate, "FLOAT")
        a, b = (diarized(listener, p).turns for p in (path, tmp_path / "both.wav"))
        assert errors(a, b).rate < 0.01
        assert errors(want, a).rate < 0.1


# ---- how many speak ----------------------------------------------------------------------------


def test_no_more_speakers_than_asked(artifacts: Path, tmp_path: Path) -> None:
    turns = [("ABCDE"[k % 5], 1.7 * k, 1.7 * k + 1.5) for k in range(20)]
    source, counts = put(tmp_path / "a.wav", turns, 35.0), []
    for asked in ("1", "2", "3", "0", ""):
        assert diarize(artifacts, source, tmp_path / "x.rttm", SPEAKERS=asked).code == 0
        (found,) = rttm.read(tmp_path / "x.rttm").values()
        counts.append(len(speakers(found)))
    assert counts[0] == 1
    assert all(count <= most for count, most in zip(counts[:3], (1, 2, 3), strict=True))
    assert counts[3] == counts[4] > 1
    for asked, said in (("-1", "-1 is not in the range"), ("two", "'two' is not a valid")):
        run = diarize(artifacts, source, tmp_path / "x.rttm", SPEAKERS=asked)
        assert (run.code, len(run.err.splitlines())) == (2, 1)
        assert said in run.err


@pytest.mark.parametrize("seconds", [0.01, 0.5, 8.0, 31.0])
def test_in_silence_nobody_speaks(artifacts: Path, tmp_path: Path, seconds: float) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(round(seconds * 16000)), 16000)
    run = diarize(artifacts, tmp_path / "a.wav", tmp_path / "x.rttm")
    assert run.code == 0, run.err
    assert (tmp_path / "x.rttm").read_bytes() == b""
    assert rttm.read(tmp_path / "x.rttm") == {}
    assert "nobody speaks" in run.err
    assert "nobody speaks" in (tmp_path / "x.html").read_text()


def test_silence_amid_a_recording_changes_nothing_before_it(
    listener: Listener, tmp_path: Path
) -> None:
    wave = spoken(TALK, 12.0)
    sf.write(tmp_path / "a.wav", np.concatenate([wave, np.zeros(30 * 16000), wave]), 16000)
    turns = diarized(listener, tmp_path / "a.wav").turns
    assert not [turn for turn in turns if 20.5 < (turn.start + turn.end) / 2 < 38]
    assert [turn for turn in turns if turn.start > 42]


# ---- a folder ----------------------------------------------------------------------------------


def test_a_folder_becomes_the_same_tree_and_goes_on_past_what_it_cannot_hear(
    artifacts: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    for name in ("a.wav", "b/c.FLAC", "b/d/e.ogg"):
        put(source / name, TALK[:2], 4.5)
    (source / "bad.wav").write_text("no sound")
    (source / "b" / "notes.txt").touch()
    sf.write(source / "b" / "one.wav", np.ones(1) * 0.1, 16000)
    sf.write(source / "none.wav", np.zeros(0), 16000)
    wave = spoken(TALK[:2], 4.5)
    wave[40_000] = np.nan
    sf.write(source / "nan.wav", wave, 16000, "FLOAT")
    run = diarize(artifacts, source, target)
    assert (run.code, run.out) == (1, "")
    stems = ("a", "b/c", "b/d/e")
    assert tree(target) == sorted(f"{stem}{end}" for stem in stems for end in ENDS)
    assert "bad.wav: cannot be read; got Format not recognised" in run.err
    assert "b/one.wav: too short; expected at least 0.01 s; got 1 frames at 16000 Hz" in run.err
    assert "none.wav: holds no sound" in run.err
    assert "nan.wav: samples that are no numbers; got at 2.500 s" in run.err
    assert "diarized 3 of 7 recordings, 13.5 s of sound in" in run.err
    assert "; 1 other file passed over" in run.err
    for stem in stems:
        assert set(rttm.read(target / f"{stem}.rttm")) == {Path(stem).name}


def test_two_recordings_of_one_name_become_two(artifacts: Path, tmp_path: Path) -> None:
    """And none of them takes the place of a third, whatever that is called."""
    source = tmp_path / "in"
    for name in ("a.wav", "a.flac", "a.wav.ogg", "sub/a.wav", "b.wav"):
        put(source / name, TALK[:1], 2.5)
    assert diarize(artifacts, source, tmp_path / "out").code == 0
    stems = ("a.wav.ogg", "a.flac", "a.wav", "b", "sub/a")
    assert tree(tmp_path / "out") == sorted(f"{stem}{end}" for stem in stems for end in ENDS)


def test_into_the_folder_itself_and_again(artifacts: Path, tmp_path: Path) -> None:
    put(tmp_path / "a.wav", TALK[:1], 2.5)
    for _ in range(2):
        assert diarize(artifacts, tmp_path, tmp_path).code == 0
        assert tree(tmp_path) == ["a.html", "a.png", "a.rttm", "a.wav"]


def test_turns_of_somebody_else_are_never_replaced(artifacts: Path, tmp_path: Path) -> None:
    for name in ("a.wav", "sub/b.wav"):
        put(tmp_path / name, TALK[:1], 2.5)
    own = tmp_path / "sub" / "b.rttm"
    own.write_text("SPEAKER b 1 0 1 <NA> <NA> Ann <NA>\n")
    for source, target in ((tmp_path, tmp_path), (tmp_path / "sub" / "b.wav", own)):
        run = diarize(artifacts, source, target)
        assert run.code == 1
        assert f"{own}: an RTTM file that this did not write stands where" in run.err
    assert "Ann" in own.read_text()
    assert tree(tmp_path) == ["a.wav", "sub/b.rttm", "sub/b.wav"]


def test_a_name_that_is_too_long_stops_nobody_else(listener: Listener, tmp_path: Path) -> None:
    put(tmp_path / "in" / f"{'a' * 245}.wav", TALK[:1], 2.5)
    put(tmp_path / "in" / "b.wav", TALK[:1], 2.5)
    assert diarize_path(listener, tmp_path / "in", tmp_path / "out") == 1
    assert "b.rttm" in tree(tmp_path / "out")


def test_names_that_are_no_text(artifacts: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff <b>\n.wav")
    try:
        put(path, TALK[:2], 4.5)
    except (OSError, sf.LibsndfileError):
        pytest.skip("no such name on this disk")
    with quick(drawn=True):
        run = diarize(artifacts, path, tmp_path / "x.rttm")
        assert run.code == 0, run.err
        assert diarize(artifacts, tmp_path, tmp_path / "out").code == 0
    assert len(run.err.splitlines()) == 3
    (name,) = rttm.read(tmp_path / "x.rttm")
    assert name == "\\udcff_<b>\\n"
    assert "&lt;b&gt;" in (tmp_path / "x.html").read_text()
    assert len(tree(tmp_path / "out")) == 3


def test_a_disk_that_cannot_be_written_ends_it(listener: Listener, tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.wav", TALK[:1], 2.5)
    put(tmp_path / "in" / "b.wav", TALK[:1], 2.5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.rttm").mkdir()
    with pytest.raises(RunError, match="cannot write: Is a directory"):
        diarize_path(listener, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "b.rttm").exists()


def test_a_file_that_breaks_off_is_no_recording(listener: Listener, tmp_path: Path) -> None:
    recorded.cut_short(tmp_path / "a.flac", 30, 16000)
    assert diarize_path(listener, tmp_path / "a.flac", tmp_path / "x.rttm") == 1
    assert not (tmp_path / "x.rttm").exists()
    whole = put(tmp_path / "b.wav", TALK[:1], 2.5)
    whole.write_bytes(whole.read_bytes()[:40_000])
    assert diarize_path(listener, whole, tmp_path / "x.rttm") == 1
    assert not (tmp_path / "x.rttm").exists()


# ---- long ones ---------------------------------------------------------------------------------


def test_memory_does_not_grow_with_a_recording(listener: Listener, tmp_path: Path) -> None:
    found = recorded.peaks(tmp_path, lambda path: diarized(listener, path))
    for minutes, (account, _) in found.items():
        assert account.seconds == pytest.approx(60 * minutes)
    grown = found[10][1] - found[2][1]  # of eight minutes, 48000 frames of 10 ms
    assert grown < 1_000_000
    assert found[10][1] < 40_000_000


@pytest.mark.slow
def test_an_hour_in_bounded_memory(artifacts: Path, tmp_path: Path) -> None:
    """As a process of its own, pictures and page too."""
    turns = [("ABC"[k % 3], 4.0 * k, 4.0 * k + 3.5) for k in range(15)]
    wave, peaks = np.float32(spoken(turns, 60.0)), {}
    for minutes in (1, 60):
        with sf.SoundFile(tmp_path / f"{minutes}.wav", "w", 16000, 1) as file:
            for _ in range(minutes):
                file.write(wave)
        process = subprocess.Popen(
            [sys.executable, "-m", "training.diarizer", "diarize"], cwd=corpus.REPO,
            env=corpus.environment({
                "ARTIFACTS": os.fspath(artifacts), "IN": str(tmp_path / f"{minutes}.wav"),
                "OUT": str(tmp_path / "out"),
            }),
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks[minutes] = used.ru_maxrss * 1024
    assert peaks[60] - peaks[1] < 120_000_000  # the sound alone is 230 MB as float32
    (found,) = rttm.read(tmp_path / "out" / "60.rttm").values()
    assert found[-1].end > 3590
    assert len(found) > 500
