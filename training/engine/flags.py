"""Being asked to stop: a flag that a step looks at, not an exception in the middle of one.

Reads signals; writes a line to stderr. A second signal ends the process as it always would.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from training.run import say

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """`signum` is 0 until the process is asked to stop."""

    signum = 0


@contextlib.contextmanager
def stop_flag() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a flag for as long as the block runs."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may listen to signals
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def asked(number: int, frame: FrameType | None) -> None:
        stop.signum = number
        _listen(before)

    for number in before:
        signal.signal(number, asked)
    try:
        with _told_at_once():
            yield stop
    finally:
        _listen(before)


@contextlib.contextmanager
def _told_at_once() -> Iterator[None]:
    """Say that a signal has come when it comes: a handler waits for the end of what is computed, a
    thread that reads what the C side of Python writes of signals does not."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def tell() -> None:
        while told := ours.recv(1):
            if told[0] in SIGNALS:
                say("stopping after this step, then all is saved; asked again, at once")
                return

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()
        teller.join()
        ours.close()


def _listen(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
