"""The commands that every kind of classifier has: evaluate, analyze, classify, export, and resume.

Reads: options, or the environment variables that `make` sets (RUN, ON, IN, ...). Does: finds the
run that is meant and calls the module that does the work. Writes: tables on stdout, everything else
in the run's folder.

TensorFlow is imported by the commands that compute: seconds that --help need not take.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.asked import checkpoint_step, one_recipe, words
from training.engine.quiet import tensorflow
from training.errors import Changed, RunError
from training.folders import asked_for
from training.options import Whole, of_runs, option, yes_no
from training.run import read_config, say
from training.runs import folds_of, last_opened, named

if TYPE_CHECKING:
    from training.classes.kind import Kind, Set

Told = Callable[[], "Kind"]  # imports the kind, which needs TensorFlow


def added(cli: click.Group, model: str, kind: Told) -> None:
    """Give a model's script the commands that all kinds have."""
    cli.add_command(_evaluate(model, kind))
    cli.add_command(_analyze(model, kind))
    cli.add_command(_classify(model, kind))
    cli.add_command(_export(model, kind))


def resume(kind: Told, folder: Path, checkpoint: str = "") -> None:
    """Go on with a run from its newest checkpoint, or from the one of a step; of several under one
    name, with all of them."""
    step = checkpoint_step(checkpoint)
    tensorflow()
    from training.classes import course

    course.resumed(kind(), folder, step)


def _evaluate(model: str, kind: Told) -> click.Command:
    @click.command("evaluate")
    @of_runs
    @option("--on", envvar="ON", default="", help="A recipe. [default: the one it was trained on]")
    def evaluate(artifacts: str, run: str, on: str) -> None:
        """Measure the first run beside the others that are named, and beside baselines."""
        root, on = Path(artifacts), one_recipe(on, "ON") if on else ""
        tensorflow()
        from training.classes.report import evaluation

        print(evaluation(kind(), sets(root, run, model), root, on))

    return evaluate


def _analyze(model: str, kind: Told) -> click.Command:
    @click.command("analyze")
    @of_runs
    def analyze(artifacts: str, run: str) -> None:
        """Draw curves and tables again from what was measured."""
        root = Path(artifacts)
        tensorflow()
        from training.classes.report import redrawn

        for one in sets(root, run, model):
            for folder in one.folders:
                print(redrawn(kind(), folder))

    return analyze


def _classify(model: str, kind: Told) -> click.Command:
    @click.command("classify")
    @of_runs
    @option("--in", "source", envvar="IN", required=True, help="A recording or a folder of them.")
    @option("--top", envvar="TOP", type=Whole(1), default=3, show_default=True)
    @yes_no("--json/--table", "as_json", envvar="JSON", default=False, help="Lines of JSON.")
    def classify(artifacts: str, run: str, source: str, top: int, as_json: bool) -> None:
        """Say which classes recordings hold, and when."""
        one = _one(Path(artifacts), run, model)
        asked_for(Path(source))
        tensorflow()
        from training.classes.classify import classify_path

        say(f"with {one}")
        heard, recipe, classes = kind().hearing(one)
        out, where = sys.stdout, Path(source)
        sys.exit(classify_path(heard, recipe, classes, where, top=top, as_json=as_json, out=out))

    return classify


def _export(model: str, kind: Told) -> click.Command:
    @click.command("export")
    @of_runs
    def export(artifacts: str, run: str) -> None:
        """Write the model as SavedModel and TensorFlow Lite, each loaded again and compared."""
        root = Path(artifacts)
        tensorflow()
        from training.classes.report import exported

        print(exported(kind(), _one(root, run, model), root))

    return export


def _one(root: Path, run: str, model: str) -> Path:
    if len(words(run)) > 1:
        raise Changed(f"one {model} at a time", "RUN", "one name", run)
    return named(root, run, model) if run else last_opened(root, model)


def sets(root: Path, run: str, model: str) -> "list[Set]":
    """The runs that are named; a name of folds is all of them."""
    from training.classes.kind import Set

    found = []
    for word in words(run):
        folds = folds_of(root, word, model)
        there = [read_config(folder)["config"]["fold"] for folder in folds]
        if there and there != [[k + 1, there[0][1]] for k in range(there[0][1])]:
            got = ", ".join(folder.name for folder in folds)
            raise RunError("not all of the folds are there", word, got=got, do="make resume first")
        found.append(Set(word, tuple(folds) if folds else (named(root, word, model),)))
    if found:
        return found
    last = last_opened(root, model)
    return [Set(last.name, (last,))]
