"""Work in threads: the order kept, errors passed on, nothing left behind, nothing piled up.

Reads and writes nothing.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from training.data.ordered import AHEAD, ordered


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("ordered")]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_keeps_the_order_whoever_is_first(workers: int) -> None:
    done: list[int] = []
    others = threading.Event()

    def work(item: int) -> int:
        if item == 0 and workers > 1:  # the first one is ready after the second
            assert others.wait(10)
        if item == 1:
            others.set()
        done.append(item)
        return 10 * item

    assert list(ordered(iter(range(50)), work, workers)) == list(range(0, 500, 10))
    assert sorted(done) == list(range(50))
    assert workers == 1 or done[0] != 0
    assert not threads()


def test_the_source_is_read_by_one_thread_at_a_time_and_never_far_ahead() -> None:
    inside, read = threading.Lock(), 0

    def source() -> Iterator[int]:
        nonlocal read
        for item in range(100):
            assert inside.acquire(blocking=False)
            read += 1
            inside.release()
            yield item

    for taken, item in enumerate(ordered(source(), int, 3), 1):
        assert item == taken - 1
        assert read <= taken + 3 + AHEAD
    assert read == 100


@pytest.mark.parametrize("bad", [0, 5, 19])
@pytest.mark.parametrize("where", ["source", "work"])
def test_an_error_comes_after_what_was_before_it(bad: int, where: str) -> None:
    def fails(item: int, here: str) -> int:
        if item == bad and here == where:
            raise OSError(f"{here} {item}")
        return item

    source = (fails(item, "source") for item in range(20))
    found: list[int] = []

    def take() -> None:
        for item in ordered(source, lambda item: fails(item, "work"), 3):
            found.append(item)

    with pytest.raises(OSError, match=f"{where} {bad}"):
        take()
    assert found == list(range(bad))
    assert not threads()


def test_leaving_early_stops_the_threads_and_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    made = ordered(source(), int, 2)
    assert next(made) == 0
    assert threads()
    made.close()  # type: ignore[attr-defined]
    assert not threads()
    assert closed.is_set()


def test_leaving_early_does_none_of_the_work_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun = threading.Semaphore(1), threading.Semaphore(0)
    done = []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            gate.release(100)
            super().shutdown(wait)

    def work(item: int) -> int:
        begun.release()
        assert gate.acquire(timeout=10)
        done.append(item)
        return item

    monkeypatch.setattr("training.data.ordered.ThreadPoolExecutor", Pool)
    made = ordered(iter(range(99)), work, 1)
    assert next(made) == 0
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)  # the second one stands at the gate
    made.close()  # type: ignore[attr-defined]
    assert done == [0, 1]


def test_an_empty_source() -> None:
    assert list(ordered(iter(()), int, 2)) == []
