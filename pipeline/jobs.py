"""joblib, used once: the same tasks in worker processes, in any order, one thread each.

Reads: tasks (small, picklable). Does: runs them, survives workers that die, ties every worker's
life to its parent's. Writes: nothing itself. The executor is joblib's, so a backend registered and
chosen with joblib.parallel_config runs the same tasks elsewhere.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Any

import joblib
import psutil
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError
from joblib.parallel import LokyBackend, get_active_backend

from pipeline.disk.store import say

WORKER = 300 << 20  # bytes one worker may need; MAX_RAM divided by this bounds the workers
CAP = 3 << 30  # bytes a worker may ask for at all: a forged header cannot take the machine down
LIVES = 3  # pools that may die before the work goes on in this process

AHEAD = 2  # tasks that a single worker has been given: one is under way, one waits
IDLE = 300  # seconds after which a worker without a task ends, as joblib has it
LONG = 1.0  # seconds that a task must take for its memory to be given back: to get it costs 10 ms
_ready = False
_singles: dict[int, ProcessPoolExecutor] = {}  # process -> its only worker


class _NoPool(Exception):
    """Worker processes cannot be started here."""


def cores() -> int:
    """Cores this process may use (affinity and cgroup), at least one."""
    return max(1, joblib.cpu_count())


def workers(jobs: int | None, max_ram: int | None) -> int:
    """How many workers: as asked, else one a core, and no more than fit in `max_ram` bytes."""
    wanted = jobs or cores()
    return max(1, min(wanted, max_ram // WORKER)) if max_ram else wanted


def prepare(parent: int) -> None:
    """First thing in each worker: die with the parent, bound allocations, leave ^C to it."""
    global _ready
    _ready = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write remarks of their own there
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG
        resource.setrlimit(resource.RLIMIT_DATA, (CAP, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    else:
        threading.Thread(target=_outlive, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the lines above
        os._exit(1)


def in_worker() -> bool:
    return _ready


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _call(function: Callable[[Any], Any], index: int, task: Any) -> tuple[int, Any]:
    began = time.monotonic()
    result = function(task)
    if in_worker() and time.monotonic() - began > LONG:
        with contextlib.suppress(AttributeError):  # glibc alone; it would keep up to 64 MB
            ctypes.CDLL(None).malloc_trim(0)
    return index, result


def run(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    count: int,
    recover: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Any]]:
    """(index, result) of each task as it ends.

    When a pool dies, `recover` looks for the culprit and the unfinished tasks go to a new pool;
    after LIVES pools the rest runs in this process.
    """
    left = dict(enumerate(tasks))
    for _ in range(LIVES):
        if not left:
            return
        try:
            for index, result in _pool(function, left, count):
                del left[index]
                yield index, result
        except _NoPool as err:
            say(f"no worker processes can be started ({err})")
            break
        except (BrokenProcessPool, TerminatedWorkerError) as err:
            say(f"a worker process died ({type(err).__name__}); {len(left)} tasks go on")
            if recover:
                recover()
    if left:
        say(f"going on with {len(left)} tasks one at a time in this process")
    for index, task in sorted(left.items()):
        yield index, function(task)


def _pool(
    function: Callable[[Any], Any], left: dict[int, Any], count: int
) -> Iterator[tuple[int, Any]]:
    ours = isinstance(get_active_backend()[0], LokyBackend)  # not a cluster's own workers
    if ours and count == 1:
        yield from _alone(function, left)
        return
    pool = joblib.Parallel(
        n_jobs=count,
        return_as="generator_unordered",
        batch_size=1,
        max_nbytes=None,  # tasks hold no arrays, so no shared memory is laid out for them
        **({"initializer": prepare, "initargs": (os.getpid(),)} if ours else {}),
    )
    with _starting():
        results = pool([joblib.delayed(_call)(function, i, t) for i, t in left.items()])
    try:
        yield from results
    finally:
        with contextlib.suppress(Exception):
            results.close()


def _alone(function: Callable[[Any], Any], left: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """The tasks in one worker, which joblib would not start for one: but a decoder that dies must
    not take this process along. The worker stays for the next stage, as joblib's own do."""
    here = os.getpid()  # a worker is not its parent's forks'
    with _starting():
        worker = _singles.get(here) or ProcessPoolExecutor(
            1, timeout=IDLE, initializer=prepare, initargs=(here,)
        )
    _singles[here] = worker
    going: deque[Future[tuple[int, Any]]] = deque()  # the next one waits while a result is used
    try:
        for index, task in list(left.items()):
            with _starting():
                going.append(worker.submit(_call, function, index, task))
            if len(going) == AHEAD:
                yield going.popleft().result()
        while going:
            yield going.popleft().result()
    except BaseException:
        del _singles[here]
        worker.shutdown(wait=False, kill_workers=True)
        raise


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    try:
        with quiet():
            yield
    except (
        BrokenProcessPool
    ):  # a RuntimeError too: a worker that died while nothing was asked of it
        raise
    except (OSError, RuntimeError) as err:
        raise _NoPool(str(err)) from err


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Processes started here never see ^C, which a terminal sends to all of them: until they
    run `prepare` they would print a traceback each."""
    resource_tracker.ensure_running()  # starting it later would lift the mask again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill_workers() -> None:
    """Stop every worker now. Only what frees their semaphores lives on, for a moment."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if "resource_tracker" not in " ".join(child.cmdline()):
                    child.kill()
