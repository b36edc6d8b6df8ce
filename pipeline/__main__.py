"""`python -m pipeline`: one thread in this process and in every worker, then the commands."""

import os

# Before numpy loads its libraries: sums in one order, and no more threads than workers.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

from pipeline.cli import main  # noqa: E402  (numpy must load after the lines above)

if __name__ == "__main__":
    main()
