"""Being asked to stop: said at once, though what is computed goes on to its end.

Reads nothing. Does: sends this process signals, while C code keeps its main thread. Writes nothing.
"""

import os
import signal
import threading
import time
import zlib

import pytest

from training.engine import flags
from training.engine.flags import stop_flag


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_is_said_before_the_step_ends(signum: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[float, str]] = []
    monkeypatch.setattr(flags, "say", lambda text: said.append((time.monotonic(), text)))
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    data = os.urandom(60_000_000)
    with stop_flag() as stop:
        threading.Timer(0.1, os.kill, (os.getpid(), signum)).start()
        zlib.compress(data, 9)  # a second or more in C, whatever signals come
        ended = time.monotonic()
        assert stop.signum == signum
    ((when, text),) = said
    assert when < ended - 0.2
    assert text.startswith("stopping after this step")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_nothing_is_said_where_nobody_asks(capsys: pytest.CaptureFixture[str]) -> None:
    count = threading.active_count()
    with stop_flag() as stop:
        pass
    assert (stop.signum, capsys.readouterr(), threading.active_count()) == (0, ("", ""), count)
