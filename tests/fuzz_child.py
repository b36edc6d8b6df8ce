"""A process that reads damaged files one after another, and may die of any of them.

Reads: numbers of cases from the command line. Does: bounds memory, and time for each case; what the
kernel ends, it ends with a trace on stderr. Writes: a line of JSON for each case on stdout.

    python -m tests.fuzz_child FOLDER FIRST END    # FOLDER is written when it is not there
"""

import faulthandler
import json
import resource
import signal
import sys
from pathlib import Path

from tests import fuzz_files
from tests.fuzz_reads import read

MEMORY = 4 << 30  # bytes of addresses; a third of it for the libraries
SECONDS = 10  # for one case, which takes milliseconds


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    faulthandler.register(signal.SIGALRM, chain=True)  # a trace, then the kernel ends us
    faulthandler.register(signal.SIGXCPU, chain=True)


def _clocked() -> None:
    """So long from now on, of the world's time and of the processor's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, most))
    signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)


def main(folder: Path, first: int, end: int) -> None:
    out = sys.stdout
    if not folder.exists():
        fuzz_files.write(folder)
    _bounded()
    for number in range(first, end):
        _clocked()
        out.write(json.dumps([number, read(folder, number)]) + "\n")
        out.flush()


if __name__ == "__main__":
    base, *rest = sys.argv[1:]
    main(Path(base), *map(int, rest))
