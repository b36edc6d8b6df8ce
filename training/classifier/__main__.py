"""The classifier's commands: train, resume, teacher, evaluate, analyze, classify, export.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
everything else in the run's folder artifacts/runs/classifier/<run>/.

TensorFlow is imported by the commands that compute: seconds that --help need not take.
"""

import re
import sys
from pathlib import Path
from typing import Any

import click

from training.asked import recipes, words
from training.classifier import MODEL
from training.classifier.profiles import BACKBONES, PROFILES, chosen
from training.engine.quiet import tensorflow
from training.errors import Changed, RunError
from training.options import artifacts as artifacts_option
from training.options import of_runs, of_training, option
from training.run import main, read_config, say
from training.runs import folds_of, last_opened, named


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a noise classifier from shards, measure it, use it."""


@cli.command("train")
@artifacts_option
@option("--recipe", envvar="RECIPE", default="noise-classifier", show_default=True)
@option(
    "--profile", envvar="PROFILE", default="demo", show_default=True, help=", ".join(PROFILES) + "."
)
@option("--backbone", envvar="BACKBONE", default="", help=", ".join(BACKBONES) + ".")
@option("--weights", envvar="WEIGHTS", default="", help="A file of weights to start from.")
@option("--teacher", envvar="TEACHER", default="", help="Files of make teacher, or runs.")
@option("--folds", envvar="FOLDS", type=click.IntRange(0), default=0, help="Cross-validation.")
@option("--augment/--no-augment", envvar="AUGMENT", default=True, help="Examples changed anew.")
@of_training
def train_command(
    artifacts: str, recipe: str, run: str, weights: str, teacher: str, folds: int, **asked: Any
) -> None:
    """Train, then measure on the test split, or on all folds."""
    root, names = Path(artifacts), recipes(recipe)
    if len(names) != 1:
        raise Changed("one recipe at a time", "RECIPE", "one name", recipe)
    if folds == 1:
        raise Changed("one fold leaves nothing to learn from", "FOLDS", "2 or more", folds)
    profile = chosen(asked.pop("profile"), **{**asked, "epochs": asked["epochs"] or 0})
    tensorflow()
    from training.classifier import course

    course.begun(root, names[0], profile, run, words(teacher), weights, folds)


def resume(folder: Path, checkpoint: str = "") -> None:
    """Go on with a run from its newest checkpoint, or from the one of a step; of a fold, with the
    others after it."""
    steps = re.fullmatch(r"(?:.*step-)?(\d+)(?:-best)?(?:\.ckpt)?|", checkpoint)
    if not steps:
        raise Changed("not a checkpoint", "CHECKPOINT", "a step, such as 1200", checkpoint)
    tensorflow()
    from training.classifier import course

    course.resumed(folder, int(steps[1] or -1))


@cli.command("teacher")
@of_runs
def teacher_command(artifacts: str, run: str) -> None:
    """Write what runs answer for the examples they learnt from, for a student."""
    root = Path(artifacts)
    tensorflow()
    from training.classifier.use import taught

    for one in _sets(root, run):
        for folder in one.folders:
            print(taught(folder, root))


@cli.command("evaluate")
@of_runs
@option("--on", envvar="ON", default="", help="A recipe. [default: the one it was trained on]")
def evaluate_command(artifacts: str, run: str, on: str) -> None:
    """Measure the first run beside the others that are named, and beside baselines."""
    root, names = Path(artifacts), recipes(on)
    if len(names) > 1:
        raise Changed("one recipe at a time", "ON", "one name", on)
    tensorflow()
    from training.classifier.report import evaluation

    print(evaluation(_sets(root, run), root, *names))


@cli.command("analyze")
@of_runs
def analyze_command(artifacts: str, run: str) -> None:
    """Draw curves and tables again from what was measured."""
    root = Path(artifacts)
    tensorflow()
    from training.classifier.report import redrawn

    for one in _sets(root, run):
        for folder in one.folders:
            print(redrawn(folder))


@cli.command("classify")
@of_runs
@option("--in", "source", envvar="IN", required=True, help="A recording or a folder of them.")
@option("--top", envvar="TOP", type=click.IntRange(1), default=3, show_default=True)
@option("--json/--table", "as_json", envvar="JSON", default=False, help="Lines of JSON.")
def classify_command(artifacts: str, run: str, source: str, top: int, as_json: bool) -> None:
    """Say which classes recordings hold, and when."""
    root = Path(artifacts)
    tensorflow()
    from training.classifier.classify import classify_path
    from training.classifier.use import hearing

    one = _one(root, run)
    say(f"with {one}")
    heard, recipe, classes = hearing(one)
    where = Path(source)
    sys.exit(classify_path(heard, recipe, classes, where, top=top, as_json=as_json, out=sys.stdout))


@cli.command("export")
@of_runs
def export_command(artifacts: str, run: str) -> None:
    """Write the model as SavedModel and TensorFlow Lite, each loaded again and compared."""
    root = Path(artifacts)
    tensorflow()
    from training.classifier.report import exported

    print(exported(_one(root, run), root))


def _one(root: Path, run: str) -> Path:
    if len(words(run)) > 1:
        raise Changed("one classifier at a time", "RUN", "one name", run)
    return named(root, run, MODEL) if run else last_opened(root, MODEL)


def _sets(root: Path, run: str) -> list[Any]:
    """The runs that are named; a name of folds is all of them."""
    from training.classifier.report import Set

    found = []
    for word in words(run):
        folds = folds_of(root, word, MODEL)
        there = [read_config(folder)["config"]["fold"] for folder in folds]
        if there and there != [[k + 1, there[0][1]] for k in range(there[0][1])]:
            got = ", ".join(folder.name for folder in folds)
            raise RunError("not all of the folds are there", word, got=got, do="make resume first")
        found.append(Set(word, tuple(folds) if folds else (named(root, word, MODEL),)))
    if found:
        return found
    last = last_opened(root, MODEL)
    return [Set(last.name, (last,))]


if __name__ == "__main__":
    sys.exit(main(lambda: cli.main(standalone_mode=False)))
