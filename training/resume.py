"""Go on with a training run that was interrupted, of whatever model.

Reads: ARTIFACTS, RUN and CHECKPOINT, and what the run began with. Does: finds the run and calls the
script of its model. Writes nothing itself.
"""

import importlib
import os
import sys
from pathlib import Path

from training.errors import RunError
from training.run import last_interrupted, main, read_config, say

MODELS = {"denoiser": "training.denoiser.__main__"}  # model -> the module whose `resume` goes on


def resume() -> None:
    root = Path(os.environ.get("ARTIFACTS") or "artifacts")
    run, checkpoint = os.environ.get("RUN", ""), os.environ.get("CHECKPOINT", "")
    if run:
        folder = _named(root, run)
    elif checkpoint:
        raise RunError("a checkpoint of no run", "CHECKPOINT", do="say RUN= too")
    else:
        folder = last_interrupted(root)
    model = read_config(folder)["model"]
    if model not in MODELS:
        raise RunError("a run of an unknown model", folder, ", ".join(MODELS), model)
    say(f"going on with {folder}")
    importlib.import_module(MODELS[model]).resume(folder, checkpoint)


def _named(root: Path, run: str) -> Path:
    """`name` or `model/name`."""
    runs = root / "runs"
    found = [path.parent for path in sorted(runs.glob("*/*/config.json"))]
    meant = [folder for folder in found if run in (folder.name, str(folder.relative_to(runs)))]
    if len(meant) == 1:
        return meant[0]
    known = ", ".join(str(folder.relative_to(runs)) for folder in found)
    raise RunError("several such runs" if meant else "no such run", runs, f"one of {known}", run)


if __name__ == "__main__":
    sys.exit(main(resume))
