"""`python -m pipeline`: one thread in this process and in every worker, then the commands."""

import os

# Before numpy loads its libraries: sums in one order, and no more threads than workers.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
# glibc gives every large array back to the system and faults it in again: 0.5 ms a spectrum.
# Keeping 64 MB costs less. Read when a process starts, so it acts in the workers.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))

from pipeline.cli import main  # noqa: E402  (numpy must load after the lines above)

if __name__ == "__main__":
    main()
