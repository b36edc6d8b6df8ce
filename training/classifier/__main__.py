"""The classifier's commands: train, teacher, and those of every classifier.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
everything else in the run's folder artifacts/runs/classifier/<run>/.

TensorFlow is imported by the commands that compute: seconds that --help need not take.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.asked import one_recipe, words
from training.classes import commands
from training.classifier import MODEL
from training.classifier.profiles import BACKBONES, PROFILES, chosen
from training.engine.quiet import tensorflow
from training.options import of_folds, of_model, of_runs, of_training, option, yes_no
from training.run import can_begin, main
from training.runs import fold_ends

if TYPE_CHECKING:
    from training.classes.kind import Kind


def kind() -> "Kind":
    from training.classifier.kind import KIND

    return KIND


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a noise classifier from shards, measure it, use it."""


commands.added(cli, MODEL, kind)


@cli.command("train")
@of_model("noise-classifier", PROFILES)
@option("--backbone", envvar="BACKBONE", default="", help=", ".join(BACKBONES) + ".")
@option("--weights", envvar="WEIGHTS", default="", help="A file of weights to start from.")
@option("--teacher", envvar="TEACHER", default="", help="Files of make teacher, or runs.")
@yes_no("--augment/--no-augment", envvar="AUGMENT", default=True, help="Examples changed anew.")
@of_folds
@of_training
def train_command(
    artifacts: str, recipe: str, run: str, weights: str, teacher: str, folds: int, **asked: Any
) -> None:
    """Train, then measure on the test split, or on all folds."""
    root, recipe = Path(artifacts), one_recipe(recipe)
    names = [f"{run}{end}" for end in fold_ends(folds)]
    profile = chosen(asked.pop("profile"), runs=len(names), **asked)
    can_begin(root, MODEL, {"recipe": recipe, **profile.config()}, [run, *names])
    tensorflow()
    from training.classes import course
    from training.classifier.train import planned

    course.on_one_machine(len(names), folds > 0, variants=False)
    plan, key = planned(root, recipe, profile, words(teacher), weights, folds)
    course.begun(kind(), root, plan, run, key)


def resume(folder: Path, checkpoint: str = "") -> None:
    """Go on with a run; of a fold, with all of them."""
    commands.resume(kind, folder, checkpoint)


@cli.command("teacher")
@of_runs
def teacher_command(artifacts: str, run: str) -> None:
    """Write what runs answer for the examples they learnt from, for a student."""
    root = Path(artifacts)
    tensorflow()
    from training.classifier.use import taught

    for one in commands.sets(root, run, MODEL):
        for folder in one.folders:
            print(taught(folder, root))


if __name__ == "__main__":
    sys.exit(main(lambda: cli.main(standalone_mode=False)))
