"""The denoiser's commands: train, resume, evaluate, analyze, denoise, export.

Reads: options, or the environment variables that `make` sets (RECIPE, PROFILE, RUN, ...). Does:
finds the run that is meant and calls the module that does the work. Writes: tables on stdout,
everything else in the run's folder artifacts/runs/denoiser/<run>/.
"""

import sys
from pathlib import Path
from typing import Any

import click

from training.asked import checkpoint_step, recipes, words
from training.denoiser import report
from training.denoiser.files import denoise_path, exit_code
from training.denoiser.profiles import PROFILES, chosen
from training.denoiser.train import MODEL, Trained, configuration, train, trained
from training.engine.torch_ranks import joined
from training.errors import Changed
from training.options import of_model, of_runs, of_training, option
from training.run import main, read_config, say
from training.runs import last_opened, named


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a denoiser from shards, measure it, use it."""


@cli.command("train")
@of_model(
    "denoise-speech-snr",
    PROFILES,
    "Names or .toml files, separated by commas: several make one model for all.",
)
@option("--arch", envvar="ARCH", default="", help="unet, unet-small, spec or spec-large.")
@of_training
@option("--init", envvar="INIT", default="", help="A run whose weights to start from.")
def train_command(artifacts: str, recipe: str, run: str, **asked: Any) -> None:
    """Train, then measure on the test split."""
    root = Path(artifacts)
    init = asked.pop("init")
    profile = chosen(asked.pop("profile"), init=bool(init), **asked)
    config = configuration(root, recipes(recipe), profile, init)
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
@option(
    "--limit",
    envvar="LIMIT",
    type=click.IntRange(0),
    default=0,
    help="Mixtures of each recipe; 0 is all.",
)
@option(
    "--dnsmos/--no-dnsmos",
    envvar="DNSMOS",
    default=True,
    help="The slowest score, where its model is installed.",
)
def evaluate_command(artifacts: str, run: str, on: str, limit: int, dnsmos: bool) -> None:
    """Measure beside doing nothing and the other denoisers that are installed."""
    root = Path(artifacts)
    print(report.evaluation(_runs(root, run), recipes(on), root, limit=limit, dnsmos=dnsmos))


@cli.command("analyze")
@of_runs
def analyze_command(artifacts: str, run: str) -> None:
    """Draw curves and tables again from what was measured."""
    for folder in _folders(Path(artifacts), run):
        print(report.redrawn(folder))


@cli.command("denoise")
@of_runs
@option("--in", "source", envvar="IN", required=True, help="A recording or a folder of them.")
@option("--out", "target", envvar="OUT", required=True, help="Where the clean ones go.")
def denoise_command(artifacts: str, run: str, source: str, target: str) -> None:
    """Clean recordings of any length, rate and number of channels."""
    one, *others = _runs(Path(artifacts), run)
    if others:
        raise Changed("one denoiser at a time", "RUN", "one name", run)
    say(f"with {one.folder}")
    sys.exit(exit_code(denoise_path(one.net, one.rate, Path(source), Path(target))))


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
