"""The models that runs are of, and the script of each.

Reads and writes nothing. Does: imports a model's script, or says what it needs that is not there.
"""

import importlib
from pathlib import Path
from typing import Any

from training.errors import RunError

# model -> the package of its script, and what brings the libraries that it needs
MODELS = {
    "denoiser": ("training.denoiser", "make torch"),
    "classifier": ("training.classifier", "make tensorflow"),
    "tagger": ("training.tagger", "make tensorflow"),
    "hybrid": ("training.hybrid", "make tensorflow"),
    "diarizer": ("training.diarizer", "make torch"),
}


def script(model: str, folder: Path, again: str) -> Any:
    """The module with the commands of a model, and `resume`; `again` is what was asked."""
    if model not in MODELS:
        raise RunError("a run of an unknown model", folder, ", ".join(MODELS), model)
    package, brings = MODELS[model]
    try:
        return importlib.import_module(f"{package}.__main__")
    except ModuleNotFoundError as missing:
        raise absent(missing, folder, brings, again) from missing


def absent(missing: ModuleNotFoundError, folder: Path, brings: str, again: str) -> RunError:
    do = f"run {brings}, then {again}"
    return RunError(f"{missing.name} is not installed", folder, do=do)
