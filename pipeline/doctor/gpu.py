"""A GPU: is there one, and would training use it.

Reads: what nvidia-smi says, and which builds of the frameworks are installed, by their files. Does:
asks a framework itself only where there is a GPU and a build for it, in another process. Writes
nothing.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import NOTE, OK, Finding
from pipeline.doctor.libraries import installed

PATIENCE = 5.0  # seconds for nvidia-smi: a driver that hangs must not hang this
STARTS = 60.0  # seconds for a framework to start on its GPU for the first time
SHORT = {"torch": "torch", "tensorflow": "tf"}
ASK = {
    "torch": "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)",
    "tensorflow": "import tensorflow as t; print(len(t.config.list_physical_devices('GPU')))",
}


def check() -> Iterator[Finding]:
    there = cards()
    if not there:
        told = "none (no nvidia-smi)" if shutil.which("nvidia-smi") is None else "nvidia-smi: none"
        yield Finding(OK, "GPU", f"{told}: leave GPU=1 out, training runs on the cores")
        return
    yield Finding(OK, "GPU", "; ".join(there))
    for name in ASK:
        yield _framework(name)


def cards() -> list[str]:
    """Name, driver and memory of each GPU."""
    if shutil.which("nvidia-smi") is None:
        return []
    said = _said("nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                 "--format=csv,noheader", limit=PATIENCE)  # fmt: skip
    return [line.strip() for line in said.splitlines() if line.strip()]


def _said(*command: str, limit: float) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        return done.stdout
    return ""


def _framework(name: str) -> Finding:
    told = f"GPU {SHORT[name]}"
    take = f"make {name} GPU=1"
    if importlib.util.find_spec(name) is None:
        return Finding(NOTE, told, "not installed", f"{take} takes its build for a GPU")
    if not for_gpu(name):
        return Finding(NOTE, told, "the build for cores is installed", f"{take} changes it")
    seen = _said(sys.executable, "-c", ASK[name], limit=STARTS).strip().rpartition("\n")[2]
    if seen.isdigit() and int(seen):
        return Finding(OK, told, f"its build for a GPU is installed and sees {seen}")
    do = f"the driver may be older than the build wants: mend it, or make distclean, then {take}"
    return Finding(NOTE, told, "its build for a GPU is installed and sees none", do)


def for_gpu(name: str) -> bool:
    """Which build is installed, by its files: importing it would take seconds."""
    if name == "tensorflow":
        return not installed("tensorflow-cpu")
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else Path()
    text = version.read_text() if version.is_file() else ""
    return re.search(r"^cuda\b[^=]*= *['\"]", text, re.M) is not None
