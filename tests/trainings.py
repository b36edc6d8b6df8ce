"""Training runs as processes of their own, to be killed, alone or side by side.

Reads: the run folders they leave. Does: forks each from a server that has imported its framework
and run nothing, hashes what was learnt. Writes: what a process says, to a log beside its folder.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from training.engine.checkpoint import Checkpoints, load
from training.run import Run

CONTEXT = multiprocessing.get_context("forkserver")
KILLED = -signal.SIGKILL
Script = Callable[..., int]  # (folder, **options) -> exit code; a function of a module


@dataclass(frozen=True)
class Kind:
    """How the processes of a framework begin, and how two of them find each other."""

    server: forkserver.ForkServer
    places: Callable[[int, list[int]], dict[str, str]]  # (rank, two free ports) -> environment


def _server(*modules: str) -> forkserver.ForkServer:
    """What takes seconds to import is there before the fork."""
    made = forkserver.ForkServer()
    made.set_forkserver_preload(list(modules))
    return made


def _torchrun(rank: int, ports: list[int]) -> dict[str, str]:
    both = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0])}
    return {**both, "RANK": str(rank)}


def _workers(rank: int, ports: list[int]) -> dict[str, str]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    told = {"cluster": cluster, "task": {"type": "worker", "index": rank}}
    return {"TF_CONFIG": json.dumps(told)}


# An optimizer of torch needs torch._dynamo.
TORCH = Kind(_server("torch._dynamo", "tests.toy", "tests.denoising", "tests.diarizing"), _torchrun)
KERAS = Kind(_server("tests.toy_keras", "tests.classifying"), _workers)


def _work(script: Script, root: str, env: dict[str, str], options: dict[str, Any]) -> None:
    os.environ.update(env)
    with open(f"{root}.log", "a") as log:
        os.dup2(log.fileno(), 2)
    sys.exit(script(root, **options))


def start(
    script: Script, root: Path, env: dict[str, str], kind: Kind = TORCH, **options: Any
) -> Any:
    process = CONTEXT.Process(target=_work, args=(script, str(root), env, options), daemon=True)
    with mock.patch.object(
        forkserver, "connect_to_new_process", kind.server.connect_to_new_process
    ):
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


def together(
    script: Script, root: Path, *faults: str, kind: Kind = TORCH, **options: Any
) -> list[int | None]:
    """Two data-parallel processes, as launchers start them; each may have a fault of its own."""
    each, ports = faults or ("", ""), _free(2)
    both = [
        start(script, root, kind.places(rank, ports), kind, fault=each[rank], **options)
        for rank in range(2)
    ]
    return [ended(process) for process in both]


def _free(count: int) -> list[int]:
    """Ports that nobody listens to."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


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
