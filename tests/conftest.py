"""What every test run says first, and what it leaves out where a framework is missing.

Reads: which packages are there. Does: names machine and versions in pytest's header, and passes
over the tests of torch or TensorFlow code with a line; says at the end what the sweeps found.
Writes: what several test files read, in pytest's folder.
"""

import importlib.metadata
import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

from tests import sweeps

TORCH = importlib.util.find_spec("torch") is not None
TENSORFLOW = importlib.util.find_spec("tensorflow") is not None

# Files that need torch or TensorFlow to be read at all; the others skip by themselves.
OF_TORCH = ["test_torch_fit.py", "test_resume_torch.py"]
OF_TENSORFLOW = ["test_keras_fit.py", "test_keras_ranks.py", "test_resume_keras.py",
                 "test_classifier_resume.py", "test_hybrid_resume.py"]  # fmt: skip
collect_ignore = ([] if TORCH else OF_TORCH) + ([] if TENSORFLOW else OF_TENSORFLOW)


def pytest_report_header() -> list[str]:
    names = ("numpy", "scipy", "librosa", "soundfile", "soxr", "h5py", "joblib", "tensorflow-cpu")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    if not TENSORFLOW:
        found.append("the tests of TensorFlow code are skipped")
    torch = importlib.metadata.version("torch") if TORCH else "not installed: its tests are skipped"
    return [f"cores {os.cpu_count()}; " + ", ".join(found), f"torch {torch}"]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # processes that share the work inherit the name
        descriptor, path = tempfile.mkstemp(prefix="melmill-sweeps-")
        os.close(descriptor)
        os.environ["MELMILL_SWEEPS"] = path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in sweeps.table(Path(os.environ["MELMILL_SWEEPS"])):
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        Path(os.environ.pop("MELMILL_SWEEPS")).unlink()


@pytest.fixture(scope="session")
def denoising_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two small denoising recipes, for tests of training: to be read only."""
    from tests import denoising  # needs torch

    return denoising.build(tmp_path_factory.mktemp("denoising"))


@pytest.fixture(scope="session")
def diarizer_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of small conversations and recordings, for tests of the diarizer: to be read only."""
    from tests import diarizing  # needs torch

    return diarizing.build(tmp_path_factory.mktemp("diarizing"))
