"""DNSMOS: what a listener would say of a recording, without the clean one beside it.

Reads: the network inside the package speechmos. Does: scores waves. Writes nothing.

P.835, overall quality, 1 to 5 (Reddy et al. 2022, arXiv 2110.01763).
"""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from training.denoiser.metrics import Wave
from training.denoiser.systems import at_rate

RATE = 16000  # Hz
SAMPLES = 144160  # 9.01 s, all that the network takes; shorter recordings are repeated
OVERALL = (-0.06766283, 1.11546468, 0.04602535)  # the authors' fit to what listeners said
WHERE = "dnsmos_models/sig_bak_ovr.onnx"
HOW = "DNSMOS is left out: pip install onnxruntime and pip install --no-deps speechmos to have it"


def model() -> Path | None:
    """Where the network lies; None when a package is missing."""
    found = find_spec("speechmos")
    if found is None or not found.submodule_search_locations or find_spec("onnxruntime") is None:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / WHERE
    return path if path.is_file() else None


def dnsmos(estimate: Wave, clean: Wave, rate: int) -> float:
    """Of one wave, the first 9 s of it; nan where `clean` is silent (nobody speaks)."""
    if not np.any(clean):
        return float("nan")
    wave = at_rate(estimate.astype(np.float32)[None], rate, RATE)[0]
    filled = np.resize(wave, SAMPLES)[None].clip(-1, 1)
    session = _session(str(model()))
    raw = float(session.run(None, {session.get_inputs()[0].name: filled})[0][0, 2])
    return float(np.polyval(OVERALL, raw))


@functools.lru_cache(1)
def _session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = joblib.cpu_count()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
