"""`python -m pipeline`: one thread in this process and in every worker, then the commands.

Reads and writes nothing. Does: sets what must stand before numpy loads, and what ^C and SIGTERM do.
"""

import contextlib
import os
import signal
import sys

# Before numpy loads its libraries: sums in one order, and no more threads than workers.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
# glibc gives every large array back to the system and faults it in again: 0.5 ms a spectrum.
# Keeping 64 MB costs less. Read when a process starts, so it acts in the workers.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
# Workers die with this process; the helper that then frees their semaphores should not speak of it.
os.environ["PYTHONWARNINGS"] = ",".join(
    filter(None, [os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning"])
)


def _stop(number: int, _frame: object) -> None:
    """Leave at once. What is sealed stands, nothing else counts."""
    with contextlib.suppress(Exception):  # the signal may come before or amid the imports
        sys.stdout.flush()
        sys.modules["pipeline.jobs"].kill_workers()
    os.write(2, b"\nstopped. The same command (or `make resume`) goes on from here\n")
    os._exit(128 + number)


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) != signal.SIG_IGN:  # as under nohup, or behind a shell's &
            signal.signal(_number, _stop)

try:
    from pipeline.cli import main  # numpy must load after the lines above
except (ImportError, OSError) as _err:  # OSError: soundfile without its C library
    if __name__ != "__main__":
        raise
    from pipeline.doctor.libraries import report

    sys.exit(report(_err))

if __name__ == "__main__":
    main()
