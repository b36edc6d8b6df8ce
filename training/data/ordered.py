"""Work done by threads ahead of where it is needed, handed out in order.

Reads and writes nothing. Does: keeps a few items in hand; an error of a thread reaches who asks for
the item; who leaves early leaves no thread behind.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AHEAD = 4  # items in hand, besides one in the work of each thread

T = TypeVar("T")
R = TypeVar("R")


def ordered(source: Iterator[T], work: Callable[[T], R], workers: int) -> Iterator[R]:
    """work(item) of every item, in order, made by threads a few items ahead.

    The source is read by those threads too, one at a time and in turn.
    """
    turn, read = threading.Condition(), 0

    def one(number: int) -> tuple[R] | None:
        nonlocal read
        with turn:
            turn.wait_for(lambda: read == number)
            try:
                item = next(source)
            except StopIteration:
                return None
            finally:
                read += 1
                turn.notify_all()
        return (work(item),)

    with ThreadPoolExecutor(workers, "ordered") as pool:
        count = workers + AHEAD
        waiting = deque(pool.submit(one, number) for number in range(count))
        try:
            while (made := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(one, count))
                count += 1
                yield made[0]
        finally:
            pool.shutdown(cancel_futures=True)
