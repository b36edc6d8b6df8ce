"""What is asked of a run of whatever model: analyze, evaluate, export, classify.

Reads: ARTIFACTS and RUN. Does: finds the run, and calls the same command of its model's script,
which reads the rest. Writes nothing itself.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.asked import words
from training.errors import Changed
from training.models import MODELS, absent, script
from training.run import main
from training.runs import folds_of, last_opened, named

# command -> the models that have it; none named: all of them
COMMANDS: dict[str, tuple[str, ...]] = dict.fromkeys(("analyze", "evaluate", "export"), ())
COMMANDS["classify"] = ("classifier", "hybrid")


def command(asked: list[str]) -> None:
    if len(asked) != 1 or asked[0] not in COMMANDS:
        raise Changed("no such command", "python -m training", " or ".join(COMMANDS), asked)
    root = Path(os.environ.get("ARTIFACTS") or "artifacts")
    models = COMMANDS[asked[0]]
    folder = _meant(root, words(os.environ.get("RUN", "")), models)
    model, again = folder.parent.name, f"make {asked[0]}"
    if models and model in MODELS and model not in models:
        do = f"name a run of a {' or a '.join(models)}"
        raise Changed(f"a {model} does not {asked[0]}", folder, do=do)
    commands = script(model, folder, again).cli
    try:
        commands.main(asked, standalone_mode=False)
    except ModuleNotFoundError as missing:
        raise absent(missing, folder, MODELS[model][1], again) from missing


def _meant(root: Path, names: list[str], models: Sequence[str]) -> Path:
    """A run of the model that is meant; a name of folds means the first of them."""
    if not names:
        return last_opened(root, *models)
    folds = folds_of(root, names[0])
    return folds[0] if folds else named(root, names[0])


if __name__ == "__main__":
    sys.exit(main(lambda: command(sys.argv[1:])))
