"""Damaged files of every kind through every reader: accepted or refused, never anything else.

Reads and writes in pytest's folders. Does: lets a process read one case after another, starts the
next one behind a case that killed it, and counts. A traceback, a hang, a message that is no plain
line and a sealed file with other content fail with the line that does it again:

    python -m tests.fuzz_child FOLDER NUMBER NUMBER+1
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import corpus, fuzz_files
from tests.fuzz_files import KINDS, SOUND
from tests.fuzzed import kind_of, mutated, valid
from tests.sweeps import note

SOME, MANY = 1500, 50_000
SEALED = ("tfrecord", "h5", "pcm", "index", "receipt", "manifest", "ckpt", "state")
HUNG = (signal.SIGALRM, signal.SIGXCPU)
AGAIN = "python -m tests.fuzz_child FOLDER {0} {1}"


class Sweep:
    """Cases `first` to `end`, and what came of each kind."""

    def __init__(self, folder: Path, first: int, end: int) -> None:
        self.folder, self.end = folder, end
        self.count: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrong: list[str] = []
        self.starts = 0
        while first < end:
            assert self.starts < 200, "\n".join(self.wrong)
            first = self._on(first)

    def _on(self, first: int) -> int:
        """Run a child from `first` on; the first case that is not done."""
        self.starts += 1
        log = self.folder.parent / f"log-{self.starts}"
        with open(log, "w") as trace:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz_child", self.folder, str(first), str(self.end)],
                cwd=corpus.REPO, env=corpus.environment(), stdout=subprocess.PIPE, stderr=trace,
                text=True,
            )  # fmt: skip
            assert child.stdout is not None
            for line in child.stdout:
                if not line.endswith("\n"):
                    break
                first, outcome = json.loads(line)
                self._note(first, outcome)
                first += 1
        code = child.wait(60)
        if first < self.end:
            self._died(first, code, log.read_text(errors="replace")[-2000:])
            first += 1
        return first

    def _note(self, number: int, outcome: str) -> None:
        plain = outcome in ("accepted", "refused")
        self.count[kind_of(number)[0]][outcome if plain else "wrong"] += 1
        if not plain:
            self._say(number, outcome)

    def _died(self, number: int, code: int, trace: str) -> None:
        kind = kind_of(number)[0]
        what = "hung" if -code in HUNG else f"died of {code}"
        self.count[kind][what] += 1
        # The pipeline survives a decoder that dies (tests/test_hostile_run.py), nothing else may.
        if -code not in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE) or (
            kind not in SOUND
        ):
            self._say(number, f"{what}\n{trace}")
        else:
            print(f"{kind} {number}: {what}: {AGAIN.format(number, number + 1)}")

    def _say(self, number: int, what: str) -> None:
        kind, seed = kind_of(number)
        self.wrong.append(f"{kind} seed {seed}: {AGAIN.format(number, number + 1)}\n{what}")

    def total(self) -> Counter[str]:
        return sum(self.count.values(), Counter())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("fuzz") / "valid"
    fuzz_files.write(base)
    return base


def _table(count: Mapping[str, Counter[str]]) -> str:
    return "\n".join(f"{kind:13}" + "  ".join(f"{n} {what}" for what, n in sorted(row.items()))
                     for kind, row in count.items())  # fmt: skip


@pytest.mark.parametrize("cases", [SOME, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_damaged_files(folder: Path, cases: int) -> None:
    first = int(os.environ.get("MELMILL_FUZZ_FROM", 0))  # others than those that always run
    began = time.monotonic()
    sweep = Sweep(folder, first, first + cases)
    total = sweep.total()
    took = time.monotonic() - began
    print(f"{_table(sweep.count)}\n{dict(total)} in {took:.0f} s, {sweep.starts} children")
    assert total.total() == cases
    if cases == MANY:
        note("mutated inputs, parent alive and no finding", cases - len(sweep.wrong), cases)
    assert not sweep.wrong, f"{len(sweep.wrong)} of {cases}\n" + "\n\n".join(sweep.wrong[:20])
    # Neither all nor none, or the sweep would show nothing.
    for kind in KINDS:
        assert sweep.count[kind]["refused"] or kind == "metrics", kind
    sounds = sum((sweep.count[kind] for kind in SOUND), Counter())
    assert sounds["accepted"] > sounds.total() / 10


def test_valid_files_are_accepted(folder: Path, tmp_path: Path) -> None:
    """As they are: a sweep over files that nobody reads would pass, too."""
    code = (
        "import sys; from pathlib import Path; from tests import fuzz_reads, fuzzed\n"
        "fuzz_reads.mutated = lambda base, kind, seed: (seed, fuzzed.valid(base)[kind][seed])\n"
        f"base = Path({os.fspath(folder)!r})\n"
        f"for number in range({2 * len(KINDS)}): print(fuzz_reads.read(base, number))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=corpus.REPO, env=corpus.environment(),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == ["accepted"] * 2 * len(KINDS), done.stdout


def test_the_same_seed_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    """So that one line does a case again, on another day."""
    again = tmp_path / "valid"
    fuzz_files.write(again)
    assert valid(again) == valid(folder)
    cases = [kind_of(number) for number in range(4 * len(KINDS))]
    assert [mutated(again, *case) for case in cases] == [mutated(folder, *case) for case in cases]
    changed = [mutated(folder, kind, 3)[1] not in valid(folder)[kind] for kind in KINDS]
    assert sum(changed) > 0.8 * len(KINDS)


def test_a_child_that_dies_or_hangs_is_told_and_left(folder: Path, tmp_path: Path) -> None:
    """The sweep's own net: a kill, a hang and an error are found, and the rest goes on."""
    hook = corpus.hook(tmp_path / "hook", DEADLY)
    real = corpus.environment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "environment", lambda env=None: real(hook))
        sweep = Sweep(folder, 0, 8)
    assert sweep.total() == {"accepted": 4, "died of -9": 1, "died of -11": 1, "hung": 1,
                             "wrong": 1}  # fmt: skip
    assert sweep.starts == 4
    told = [text.splitlines()[0] for text in sweep.wrong]
    assert told == [f"{kind_of(n)[0]} seed 0: {AGAIN.format(n, n + 1)}" for n in (1, 4, 6)]


DEADLY = """
import os, signal, time
import tests.fuzz_reads as reads
def read(base, number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 4:
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # as in ten seconds
        time.sleep(60)
    return "Traceback" if number == 6 else "accepted"
reads.read = read
"""
