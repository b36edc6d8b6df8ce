"""Progress: quiet when quick, lines with rate and time left elsewhere, a bar on a terminal.

Reads and writes nothing.
"""

import io
import sys
import threading

import pytest

from pipeline import progress
from pipeline.progress import Progress


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", found.monotonic)
    return found


def test_a_quick_stage_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("scan", 100) as bar:
        for _ in range(100):
            clock.now += progress.EVERY / 101
            bar.step()
    assert capsys.readouterr() == ("", "")


def test_a_slow_one_says_how_far_how_fast_and_how_long(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("decode", 100) as bar:
        clock.now += 20
        bar.step(40, seconds=7200)
        bar.step(1)  # within the next ten seconds: no second line
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "decode: 40 of 100 files, 2.00 h of audio, 2.0 files/s, 30 s left\n"


def test_lines_are_ten_seconds_apart(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("x", 60, "shard") as bar:
        for _ in range(60):
            clock.now += 1
            bar.step()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[0] == "x: 10 of 60 shards, 1.0 shards/s, 50 s left"


def test_one_long_file_moves_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is told without a step, as long as there is anything to wait for."""
    monkeypatch.setattr(progress, "PATIENCE", 0.001)
    monkeypatch.setattr(progress, "TICK", 0.001)
    printed = threading.Event()

    class Lines(io.StringIO):
        def flush(self) -> None:
            printed.set()

    lines = Lines()
    monkeypatch.setattr(sys, "stderr", lines)
    with Progress("decode", 1, working=lambda: 5400.0):
        clock.now += 11
        assert printed.wait(10)
    assert lines.getvalue() == "decode: 0 of 1 files, 1.50 h of audio, 11 s so far\n"


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with Progress("mix", 3) as bar:
        bar.step(2, seconds=3600)
        assert bar.bar is not None
        bar.bar.refresh()  # it paints ten times a second at most
        assert "2/3" in screen.getvalue()
        assert "1.00 h of audio" in screen.getvalue()
    assert screen.getvalue().endswith("\r")


def test_a_bar_is_there_before_the_first_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    painted = threading.Event()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if "0/3" in text:
                painted.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with Progress("mix", 3) as bar:
        assert bar.bar is not None
        bar.bar.delay = 1000.0  # nothing but the tick paints
        assert painted.wait(20)


def test_a_total_told_later_is_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("demo", 1) as bar:
        bar.total = 7
        bar.step(2)
        assert bar.bar is not None
        assert bar.bar.total == 7


def test_a_bar_is_closed_when_the_stage_fails() -> None:
    class Bar:
        closed = False

        def get_lock(self) -> threading.Lock:
            return threading.Lock()

        def close(self) -> None:
            self.closed = True

    stage = Progress("x", 1)
    stage.bar = bar = Bar()  # type: ignore[assignment]
    with pytest.raises(KeyError), stage:
        {}["missing"]
    assert bar.closed
