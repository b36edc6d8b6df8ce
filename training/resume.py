"""Go on with a training run that was interrupted, of whatever model.

Reads: ARTIFACTS, RUN and CHECKPOINT, and what the run began with. Does: finds the run and calls the
script of its model. Writes nothing itself.
"""

import os
import sys
from pathlib import Path

from training.errors import Nothing, RunError
from training.locks import free
from training.models import MODELS, absent, script
from training.run import main, read_config, read_state, say
from training.runs import family_of, last_interrupted, named


def resume() -> None:
    root = Path(os.environ.get("ARTIFACTS") or "artifacts")
    run, checkpoint = os.environ.get("RUN", ""), os.environ.get("CHECKPOINT", "")
    if checkpoint and not run:
        raise RunError("a checkpoint of no run", "CHECKPOINT", do="say RUN= too")
    try:
        folder = _named(root, run, checkpoint) if run else last_interrupted(root)
    except Nothing as nothing:  # the shards may have been all there was to go on with
        say(str(nothing))
        return
    facts = read_config(folder)
    model, ranks = facts["model"], facts["setup"]["ranks"]
    free(folder)
    module = script(model, folder, "make resume")
    if ranks > 1 and "WORLD_SIZE" not in os.environ:
        say(f"going on with {folder}, {ranks} processes")
        _together(folder, ranks)
    elif ranks == 1:
        say(f"going on with {folder}")
    try:
        module.resume(folder, checkpoint)
    except ModuleNotFoundError as missing:
        raise absent(missing, folder, MODELS[model][1], "make resume") from missing


def _named(root: Path, run: str, checkpoint: str) -> Path:
    """The run of that name; of a name that only its parts have, what is to be gone on with."""
    try:
        return named(root, run)
    except RunError:
        parts = family_of(root, run)
        if not parts:
            raise
    if len({folder.parent for folder in parts}) > 1 or checkpoint:
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in parts)
        what = "a checkpoint of several runs" if checkpoint else "several such runs"
        raise RunError(what, root / "runs", f"one of {names}", run)
    states = [(read_state(folder), folder) for folder in parts]
    open_ = [folder for state, folder in states if state["state"] == "unfinished"]
    return open_[0] if open_ else max(states, key=lambda one: float(one[0]["opened"]))[1]


def _together(folder: Path, ranks: int) -> None:
    """Begin again as the processes that the run began with: another number learns otherwise."""
    os.environ["RUN"] = f"{folder.parent.name}/{folder.name}"
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "training.resume"])


if __name__ == "__main__":
    sys.exit(main(resume))
