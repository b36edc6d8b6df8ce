"""Being asked to stop: a flag that a step looks at, not an exception in the middle of one.

Reads signals, writes nothing. A second signal ends the process as it always would.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any


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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(number: int, frame: FrameType | None) -> None:
        stop.signum = number
        _listen(before)

    for number in before:
        signal.signal(number, asked)
    try:
        yield stop
    finally:
        _listen(before)


def _listen(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
