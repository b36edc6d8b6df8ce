"""Training runs as processes of their own, to be killed, alone or side by side.

Reads: the run folders they leave. Does: forks each from a server that has imported torch and run
nothing, hashes what was learnt. Writes: what a process says, to a log beside its folder.
"""

import hashlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.engine.checkpoint import Checkpoints, load
from training.run import Run

SERVER = multiprocessing.get_context("forkserver")
# What takes seconds to import; an optimizer needs torch._dynamo.
SERVER.set_forkserver_preload(["torch._dynamo", "tests.toy", "tests.denoising"])
KILLED = -signal.SIGKILL
Script = Callable[..., int]  # (folder, **options) -> exit code; a function of a module


def _work(script: Script, root: str, env: dict[str, str], options: dict[str, Any]) -> None:
    os.environ.update(env)
    with open(f"{root}.log", "a") as log:
        os.dup2(log.fileno(), 2)
    sys.exit(script(root, **options))


def start(script: Script, root: Path, env: dict[str, str], **options: Any) -> Any:
    process = SERVER.Process(target=_work, args=(script, str(root), env, options), daemon=True)
    process.start()
    return process


def ended(process: Any, seconds: float = 250.0) -> int | None:
    """Its exit code; none, and no more of it, when it hangs."""
    process.join(seconds)
    code: int | None = process.exitcode
    process.kill()
    return code


def alone(script: Script, root: Path, **options: Any) -> int | None:
    """The exit code of one training process."""
    return ended(start(script, root, {}, **options))


def together(script: Script, root: Path, *faults: str, **options: Any) -> list[int | None]:
    """Two data-parallel processes, as torchrun starts them; each may have a fault of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    each = faults or ("", "")
    both = [
        start(script, root, {**env, "RANK": str(rank)}, fault=each[rank], **options)
        for rank in range(2)
    ]
    return [ended(process) for process in both]


def told(folder: Path) -> tuple[str, list[Any]]:
    """sha256 of all that was learnt, now and at its best, and the metrics, without clock times."""
    checkpoints, result = Checkpoints(folder), hashlib.sha256()
    for path in (checkpoints.all()[-1], checkpoints.best()):
        tree = load(path)
        tree.pop("seconds")
        _hash(tree, result)
    rows = Run(folder, {"config": {}, "setup": {"threads": 1}}).metrics()
    return result.hexdigest(), [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def _hash(value: Any, result: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            result.update(repr(key).encode())
            _hash(item, result)
    elif isinstance(value, np.ndarray):
        result.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    else:
        result.update(repr(value).encode())
