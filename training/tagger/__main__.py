"""The tagger's commands: train, import, tag, evaluate, analyze, export.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
taggrams where it is told, everything else in the run's folder artifacts/runs/tagger/<run>/.

TensorFlow is imported by the commands that compute: seconds that --help need not take.
"""

import sys
from pathlib import Path
from typing import Any

import click

from training.asked import checkpoint_step, one_recipe, words
from training.engine.quiet import tensorflow
from training.errors import Changed, RunError
from training.folders import asked_for
from training.options import Whole, of_model, of_runs, of_training, option, yes_no
from training.options import artifacts as artifacts_option
from training.run import can_begin, cores, main, read_config, say
from training.runs import last_opened, named
from training.tagger import IMPORT, MODEL
from training.tagger.profiles import NETS, PROFILES, chosen


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a music tagger from shards, measure it, use it."""


@cli.command("train")
@of_model("musicnn", PROFILES)
@option("--net", envvar="NET", default="", help=", ".join(NETS) + ".")
@option("--init", envvar="INIT", default="", help="A run to start from.")
@yes_no("--augment/--no-augment", envvar="AUGMENT", default=True, help="Patches changed anew.")
@of_training
def train_command(artifacts: str, recipe: str, run: str, init: str, **asked: Any) -> None:
    """Train, then measure on the test split."""
    root, recipe = Path(artifacts), one_recipe(recipe)
    start = named(root, init, MODEL) if init else None
    if start is not None:  # its net, unless another is asked for, which is refused by name
        asked["net"] = asked["net"] or read_config(start)["config"]["net"]
    profile = chosen(asked.pop("profile"), init=bool(init), **asked)
    known = {"recipe": recipe} | ({} if init else profile.config())
    can_begin(root, MODEL, known, [run])
    tensorflow()
    from training.data.index import load_index
    from training.tagger.train import configuration

    _trained(root, configuration(load_index(root / recipe), profile, start), run)


def resume(folder: Path, checkpoint: str = "") -> None:
    """Go on with a run from its newest checkpoint, or from the one of a step."""
    step, config = checkpoint_step(checkpoint), read_config(folder)["config"]
    if config.get("published"):
        raise RunError("published weights are not trained here", folder, do=IMPORT)
    tensorflow()
    _trained(folder.parents[2], config, folder.name, step)


def _trained(root: Path, config: dict[str, Any], name: str, checkpoint: int = -1) -> None:
    from training.tagger import report
    from training.tagger.train import train

    made = train(root, config, name, checkpoint)
    if made:
        folder, result = made
        say(f"{folder}: {result.told}")
        print(report.whole(folder, root))


@cli.command("import")
@artifacts_option
def import_command(artifacts: str) -> None:
    """Make runs of the published weights."""
    root = Path(artifacts)
    tensorflow()
    from training.tagger.published import imported
    from training.tagger.report import redrawn

    for folder in imported(root):
        redrawn(folder)
        print(f"{folder}: tag with it (make tag RUN={folder.name}), start from it (INIT=), ...")


@cli.command("evaluate")
@of_runs
@option("--on", envvar="ON", default="", help="A recipe. [default: the one it was trained on]")
def evaluate_command(artifacts: str, run: str, on: str) -> None:
    """Measure the first run beside the others that are named, and beside baselines."""
    root, on = Path(artifacts), one_recipe(on, "ON") if on else ""
    tensorflow()
    from training.tagger.report import evaluation

    print(evaluation(_folders(root, run), root, on))


@cli.command("analyze")
@of_runs
def analyze_command(artifacts: str, run: str) -> None:
    """Draw curves and tables again from what was measured."""
    tensorflow()
    from training.tagger.report import redrawn

    for folder in _folders(Path(artifacts), run):
        print(redrawn(folder))


@cli.command("tag")
@of_runs
@option("--in", "source", envvar="IN", required=True, help="A track or a folder of them.")
@option("--out", "target", envvar="OUT", default="", help="For taggrams. [default: artifacts/tags]")
@option("--top", envvar="TOP", type=Whole(1), default=10, show_default=True)
@yes_no("--json/--table", "as_json", envvar="JSON", default=False, help="Lines of JSON.")
@option("--jobs", envvar="JOBS", type=Whole(1), default=None, help="Tracks at once.")
def tag_command(
    artifacts: str, run: str, source: str, target: str, top: int, as_json: bool, jobs: int | None
) -> None:
    """Say which tags tracks have, and when."""
    root, one = Path(artifacts), _folders(Path(artifacts), run)
    if len(one) > 1:
        raise Changed("one tagger at a time", "RUN", "one name", run)
    asked_for(Path(source))
    tensorflow()
    from training.tagger.tag import Asked, tag_path
    from training.tagger.use import hearing, one_thread_each

    say(f"with {one[0]}")
    jobs = jobs or cores()
    one_thread_each(jobs)
    heard, cut, tags = hearing(one[0])
    folder = Path(target) if target else root / "tags"
    asked = Asked(tags, cut, top, as_json)
    sys.exit(tag_path(heard, asked, Path(source), sys.stdout, folder, jobs))


@cli.command("export")
@of_runs
def export_command(artifacts: str, run: str) -> None:
    """Write the model as SavedModel and TensorFlow Lite, each loaded again and compared."""
    root = Path(artifacts)
    tensorflow()
    from training.tagger.report import exported

    for folder in _folders(root, run):
        print(exported(folder, root))


def _folders(root: Path, run: str) -> list[Path]:
    return [named(root, word, MODEL) for word in words(run)] or [last_opened(root, MODEL)]


if __name__ == "__main__":
    sys.exit(main(lambda: cli.main(standalone_mode=False)))
