"""What every test run says first, and what it leaves out where torch is not installed.

Reads: which packages are there. Does: names machine and versions in pytest's header, and passes
over the tests of torch code with a line. Writes: what several test files read, in pytest's folder.
"""

import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest

TORCH = importlib.util.find_spec("torch") is not None

# Files that need torch to be read at all; the others skip by themselves.
collect_ignore = [] if TORCH else ["test_torch_fit.py", "test_resume_torch.py"]


def pytest_report_header() -> list[str]:
    names = ("numpy", "scipy", "librosa", "soundfile", "soxr", "h5py", "joblib", "tensorflow-cpu")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    torch = importlib.metadata.version("torch") if TORCH else "not installed: its tests are skipped"
    return [f"cores {os.cpu_count()}; " + ", ".join(found), f"torch {torch}"]


@pytest.fixture(scope="session")
def denoising_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two small denoising recipes, for tests of training: to be read only."""
    from tests import denoising  # needs torch

    return denoising.build(tmp_path_factory.mktemp("denoising"))
