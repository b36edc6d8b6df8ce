"""Our mel filterbank is librosa's, to the last bit."""

import subprocess
import sys
from pathlib import Path

import librosa.filters
import numpy as np
import pytest

from pipeline.dsp import bands

CASES = [
    (22050, 2048, 128, 0.0, 11025.0),
    (16000, 512, 96, 0.0, 8000.0),
    (16000, 512, 80, 20.0, 7600.0),
    (48000, 4096, 40, 1000.0, 20000.0),
    (44100, 1024, 229, 27.5, 16000.0),
    (8000, 255, 13, 999.9, 4000.0),
    (22050, 2048, 1, 0.0, 900.0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_the_filterbank_equals_librosas(case: tuple, scale: str, norm: bool) -> None:
    rate, n_fft, mels, fmin, fmax = case
    theirs = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=mels, fmin=fmin, fmax=fmax,
        htk=scale == "htk", norm="slaney" if norm else None,
    )  # fmt: skip
    ours = bands.triangles(*case, scale, norm)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_a_spectrum_is_made_without_importing_librosa() -> None:
    code = (
        "import sys, numpy as np; from pipeline.dsp import mel; "
        "mel.mel_power(np.zeros(4096, np.float32), mel.MelSpec(22050, 2048, 512, 128)); "
        "sys.exit('librosa' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
