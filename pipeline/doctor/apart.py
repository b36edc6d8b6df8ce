"""Work that may die or hang, in a process of its own.

Reads nothing. Does: forks, hands over what the work yields, tells how it ended. Writes nothing.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

_END = "end"


class Lost(Exception):
    """The process died or did not end in time."""


def apart(work: Callable[[], Iterable[Any]], limit: float) -> Iterator[Any]:
    """What `work` yields; raises `Lost` when it dies, or after `limit` seconds."""
    fork = multiprocessing.get_context("fork")  # nothing is imported again: milliseconds
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_work, args=(work, sender), daemon=True)
    process.start()
    sender.close()
    until = time.monotonic() + limit
    try:
        while receiver.poll(max(0.0, until - time.monotonic())):
            got = receiver.recv()
            if got == _END:
                return
            yield got
        raise Lost(f"it did not end in {limit:.0f} s")
    except EOFError:
        process.join()
        code = process.exitcode or 0
        raise Lost(f"it killed its process (signal {-code})" if code < 0 else "it failed") from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _work(work: Callable[[], Iterable[Any]], sender: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write remarks of their own there
    for one in work():
        sender.send(one)
    sender.send(_END)
    sender.close()
    os._exit(0)
