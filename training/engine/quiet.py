"""TensorFlow without its greetings.

Reads and writes nothing. Does: imports TensorFlow, and lets it compute once, while what its C++
parts print of themselves at that goes nowhere: three lines about a processor's abilities would
stand above every result. What Python raises is seen as ever.
"""

import importlib
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
        for name in ("tensorflow", "keras"):  # the first is the one to tell of where it is missing
            importlib.import_module(name)
        # Every run of a cross-validation is traced anew, which is no reason to advise anybody.
        sys.modules["tensorflow"].get_logger().setLevel("ERROR")
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
