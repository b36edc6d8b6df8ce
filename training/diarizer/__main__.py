"""The diarizer's commands: train, resume, evaluate, analyze, diarize, export.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
everything else in the run's folder artifacts/runs/diarizer/<run>/.
"""

import sys
from pathlib import Path
from typing import Any

import click

from training.asked import checkpoint_step, recipes, words
from training.diarizer import report
from training.diarizer.diarize import diarize_path
from training.diarizer.infer import Listener
from training.diarizer.profiles import PROFILES, chosen
from training.diarizer.train import MODEL, Trained, configuration, train, trained
from training.engine.torch_ranks import joined
from training.errors import Changed
from training.options import of_model, of_runs, of_training, option, yes_no
from training.run import main, read_config, read_state, say
from training.runs import last_opened, named


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a diarizer from shards, measure it, use it."""


@cli.command("train")
@of_model(
    "conversations",
    PROFILES,
    "Names or .toml files, separated by commas: several make one model for all.",
)
@option("--head", envvar="HEAD", default="", help="powerset or pit-bce.")
@yes_no("--augment/--no-augment", envvar="AUGMENT", default=True, help="Sequences changed anew.")
@of_training
@option("--init", envvar="INIT", default="", help="A run whose weights to start from.")
@option("--teacher", envvar="TEACHER", default="", help="A run whose answers to learn from too.")
def train_command(artifacts: str, recipe: str, run: str, **asked: Any) -> None:
    """Train, then measure on the test split."""
    root = Path(artifacts)
    init, teacher = asked.pop("init"), asked.pop("teacher")
    profile = chosen(asked.pop("profile"), init=bool(init), **asked)
    config = configuration(root, recipes(recipe), profile, init, teacher)
    _train(root, config, run)


def _train(root: Path, config: dict[str, Any], name: str, checkpoint: int = -1) -> None:
    with joined() as ranks:
        made = train(root, config, name, ranks, checkpoint=checkpoint)
    if made is None:
        return
    folder, result = made
    say(f"{folder}: {result.told}")
    print(report.whole(trained(folder), root))


def resume(folder: Path, checkpoint: str = "") -> None:
    """Go on with a run from its newest checkpoint, or from the one of a step."""
    step, root = checkpoint_step(checkpoint), folder.parents[2]
    _train(root, read_config(folder)["config"], folder.name, step)


@cli.command("evaluate")
@of_runs
@option("--on", envvar="ON", default="", help="Recipes. [default: those it was trained on]")
def evaluate_command(artifacts: str, run: str, on: str) -> None:
    """Measure beside the other diarizers that are installed, and beside knowing nothing."""
    root = Path(artifacts)
    print(report.evaluation(_runs(root, run), recipes(on), root))


@cli.command("analyze")
@of_runs
def analyze_command(artifacts: str, run: str) -> None:
    """Draw curves and tables again from what was measured."""
    for folder in _folders(Path(artifacts), run):
        print(report.redrawn(folder))


@cli.command("diarize")
@of_runs
@option("--in", "source", envvar="IN", required=True, help="A recording or a folder of them.")
@option("--out", "target", envvar="OUT", required=True, help="An .rttm file, or a folder.")
@option(
    "--speakers", envvar="SPEAKERS", type=click.IntRange(0), default=0,
    help="There are at most so many; 0 is any number.",
)  # fmt: skip
def diarize_command(artifacts: str, run: str, source: str, target: str, speakers: int) -> None:
    """Say who spoke when in recordings of any length: RTTM, a timeline, a page to listen to."""
    one, *others = _runs(Path(artifacts), run)
    if others:
        raise Changed("one diarizer at a time", "RUN", "one name", run)
    unfinished = read_state(one.folder)["state"] != "finished"
    say(f"with {one.folder}" + (", which is not finished" if unfinished else ""))
    sys.exit(diarize_path(Listener(one), Path(source), Path(target), speakers))


@cli.command("export")
@of_runs
def export_command(artifacts: str, run: str) -> None:
    """Write the model as ONNX and TorchScript, each loaded again and compared, and its card."""
    for one in _runs(Path(artifacts), run):
        print(report.exported(one))


def _folders(root: Path, run: str) -> list[Path]:
    folders = [named(root, name, MODEL) for name in words(run)] or [last_opened(root, MODEL)]
    return list(dict.fromkeys(folders))


def _runs(root: Path, run: str) -> list[Trained]:
    return [trained(folder) for folder in _folders(root, run)]


if __name__ == "__main__":
    sys.exit(main(lambda: cli.main(standalone_mode=False)))
