"""Runs without their start: a process that has imported the pipeline forks for each of them.

Reads requests, one JSON line each, from stdin. Does: runs the commands in a fork, all tasks in that
one process, stopped before its first instruction if a tracer is to be attached. Writes: the pid of
a stopped run and the wait status of each to stdout. The sweeps need hundreds of runs; starting the
interpreter and its libraries is three quarters of a small one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from tests import corpus


class Server:
    """The other end, in the test."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"], env=corpus.environment(), cwd=corpus.REPO,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _ask(self, args: list[Any], output: Path, stop: bool) -> None:
        assert self.process.stdin is not None
        told = {"args": [str(a) for a in args], "output": os.fspath(output), "stop": stop}
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def run(self, args: list[Any], output: Path) -> int:
        """The exit code; what was said stands in `output`."""
        self._ask(args, output, False)
        return os.waitstatus_to_exitcode(self._answer())

    def traced(self, args: list[Any], output: Path, *options: str) -> int:
        """The same under strace, from the run's first instruction."""
        self._ask(args, output, True)
        pid = self._answer()
        tracer = subprocess.Popen(["strace", "-f", "-q", "-p", str(pid), *options])
        while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text():
            assert tracer.poll() is None
            time.sleep(0.002)
        os.kill(pid, signal.SIGCONT)
        tracer.wait(120)
        return os.waitstatus_to_exitcode(self._answer())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def server() -> Iterator[Server]:
    found = Server()
    try:
        yield found
    finally:
        found.close()


def _run(request: dict[str, Any]) -> NoReturn:
    from pipeline import cli

    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if request["stop"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    sys.argv = ["pipeline", *request["args"]]
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 70
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def serve() -> None:
    exec(corpus.ALONE, {})
    from pipeline import cli  # noqa: F401  (before the forks, for all of them)

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(request)
        if request["stop"]:
            os.waitpid(pid, os.WUNTRACED)
            print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
