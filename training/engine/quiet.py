"""TensorFlow without its greetings.

Reads and writes nothing. Does: imports TensorFlow, and lets it compute once, while what its C++
parts print of themselves at that goes nowhere: three lines about a processor's abilities would
stand above every result. What Python raises is seen as ever.
"""

import os
import sys


def tensorflow() -> None:
    """Import it; a second call does nothing."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
