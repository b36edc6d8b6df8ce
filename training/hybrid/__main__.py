"""The hybrid's commands: train, and those of every classifier.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
everything else in the run's folder artifacts/runs/hybrid/<run>/.

TensorFlow is imported by the commands that compute: seconds that --help need not take.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.asked import one_recipe, size
from training.classes import commands
from training.engine.quiet import tensorflow
from training.hybrid import MODEL
from training.hybrid.profiles import NETS, PROFILES, VARIANTS, chosen
from training.options import of_folds, of_model, of_training, option, yes_no
from training.run import can_begin, main
from training.runs import fold_ends

if TYPE_CHECKING:
    from training.classes.kind import Kind


def kind() -> "Kind":
    from training.hybrid.kind import KIND

    return KIND


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a hybrid classifier from shards, measure it, use it."""


commands.added(cli, MODEL, kind)


@cli.command("train")
@of_model("hybrid", PROFILES)
@option("--net", envvar="NET", default="", help=", ".join(NETS) + ".")
@yes_no("--augment/--no-augment", envvar="AUGMENT", default=True, help="Sound changed anew.")
@yes_no("--ablation/--no-ablation", envvar="ABLATION", default=True, help="And its variants.")
@option("--max-ram", envvar="MAX_RAM", default="", help="Ceiling. [default: 15GB, or what is free]")
@of_folds
@of_training
def train_command(
    artifacts: str, recipe: str, run: str, folds: int, ablation: bool, max_ram: str, **asked: Any
) -> None:
    """Train, with what shows what each part is worth, then measure."""
    root, recipe = Path(artifacts), one_recipe(recipe)
    ceiling = size(max_ram) if max_ram else 0
    ends = [f"-{variant}" if variant else "" for variant in VARIANTS if ablation or not variant]
    each = [f"{run}{end}{fold}" for end in ends for fold in fold_ends(folds)]
    profile = chosen(asked.pop("profile"), runs=len(each), **asked)
    can_begin(root, MODEL, {"recipe": recipe, **profile.config()}, [run, *each])
    tensorflow()
    from training.classes import course
    from training.hybrid.train import planned

    course.on_one_machine(len(each), folds > 0, variants=ablation)
    plan, name, key = planned(root, recipe, profile, folds, ablation, ceiling, run)
    course.begun(kind(), root, plan, name, key)


def resume(folder: Path, checkpoint: str = "") -> None:
    """Go on with a run; where it is one of several, with all of them."""
    commands.resume(kind, folder, checkpoint)


if __name__ == "__main__":
    sys.exit(main(lambda: cli.main(standalone_mode=False)))
