"""What a person gets of a denoiser's run: tables, curves, spectrograms, sound, a card.

Reads: a run's metrics, configuration and weights, and the test splits. Does: measures beside doing
nothing and the other denoisers that are installed. Writes into the run's folder:
``training_history.png``, ``evaluation-<recipe>.csv`` and ``.json``, ``gains-<recipe>.png``,
``matrix.json`` and ``.png``, ``listen-<recipe>/``, ``MODEL.md``, and the exports.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training import durable, report
from training.data.index import Index, load_indexes
from training.data.torch_data import count
from training.denoiser import plots
from training.denoiser.card import card
from training.denoiser.evaluate import matrix, measure
from training.denoiser.listen import listen
from training.denoiser.peers import absent, peers
from training.denoiser.summary import Summary, save, summary
from training.denoiser.systems import System, ours
from training.denoiser.table import matrix_table, table
from training.denoiser.train import Trained
from training.engine.torch_export import TOLD, Ports, export, lines
from training.facts import FREE
from training.report import counts
from training.run import read_config, read_metrics, say
from training.runs import CARD

OURS = "melmill"
MATRIX = "matrix"
MOST = 300  # mixtures measured at the end of a training: 3 s each beside every other denoiser


def whole(run: Trained, artifacts: Path) -> str:
    """Everything, at the end of a run; returns what to print."""

    def measured() -> str:
        indexes = load_indexes(artifacts, run.facts["config"]["recipes"])
        for index in indexes:
            if (there := count(index, "test")) > MOST:
                rest = f"make evaluate RUN={run.folder.name} takes all of them"
                say(f"{index.name}: {MOST} of {there} test mixtures are measured; {rest}")
        _measured([run], indexes, MOST)
        for index in indexes:
            page = listen(ours(run.net, run.rate), index, run.folder / f"listen-{index.name}")
            say(f"listen: {page}")
        return redrawn(run.folder)

    return report.whole(run.folder, measured, redrawn)


def evaluation(
    runs: Sequence[Trained],
    on: Sequence[str],
    artifacts: Path,
    *,
    limit: int = 0,
    dnsmos: bool = True,
) -> str:
    """One run, or several that differ in their seed alone, on each recipe; with several recipes, or
    runs of several kinds, also the table of each on each."""
    names = on or list(dict.fromkeys(n for run in runs for n in run.facts["config"]["recipes"]))
    indexes = load_indexes(artifacts, names)
    kinds = {_kind(run) for run in runs}
    told = _measured(runs, indexes, limit, dnsmos) if len(kinds) == 1 else ""
    if len(kinds) > 1 or len(indexes) > 1:
        told += ("\n" if told else "") + _crossed(runs, indexes, limit)
    for run in runs:
        redrawn(run.folder)
    return told


def _kind(run: Trained) -> str:
    """What a run began with, its seed and the run it started from aside."""
    config = run.facts["config"]
    settings = {k: v for k, v in config["settings"].items() if k not in {"seed", *FREE}}
    return durable.digest({**config, "settings": settings, "init": "init" in config})


def _measured(
    runs: Sequence[Trained], indexes: Sequence[Index], limit: int = 0, dnsmos: bool = True
) -> str:
    """Runs of one kind, their seeds apart, beside the others on each recipe."""
    for line in absent():
        say(line)
    tables = []
    for index in indexes:
        for run in runs:
            report.warn(run.facts, run.folder.name, index)
        first: dict[str, System] = {OURS: ours(runs[0].net, runs[0].rate), **peers()}
        rows = measure(first, index, limit=limit, dnsmos=dnsmos)
        for row in rows:
            row["run"] = runs[0].folder.name if row["system"] == OURS else ""
        for run in runs[1:]:  # the others' answers would be the same again
            one: dict[str, System] = {OURS: ours(run.net, run.rate)}
            rate = rows[0]["rate"]
            again = measure(one, index, limit=limit, dnsmos=dnsmos, rate=rate)
            mine = [row for row in again if row["system"] == OURS]
            rows += [row | {"run": run.folder.name} for row in mine]
        told = summary(rows, OURS)
        for run in runs:
            save(rows, told, run.folder)
        tables.append(table(told))
    return "\n".join(tables)


def _crossed(runs: Sequence[Trained], indexes: Sequence[Index], limit: int) -> str:
    nets = {run.folder.name: (run.net, run.rate) for run in runs}
    cells = matrix(nets, {index.name: index for index in indexes}, limit=limit)
    for run in runs:
        durable.write_json(run.folder / f"{MATRIX}.json", {"gains": cells})
    return matrix_table(cells)


def redrawn(folder: Path) -> str:
    """Curves, tables and the card from what was measured before; returns what to print."""
    facts = read_config(folder)
    rows = read_metrics(folder)
    steps = next((row["step"] for row in rows if row["kind"] == "valid"), 0)
    score = facts["config"]["settings"]["score"]
    plots.history(rows, folder / "training_history.png", steps=int(steps), score=score)
    tables = []
    told: dict[str, Summary] = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        one = durable.read_json(path)
        told[one["recipe"]] = one
        plots.gains(one, folder / f"gains-{one['recipe']}.png")
        tables.append(table(one))
    crossed = folder / f"{MATRIX}.json"
    if crossed.exists():
        cells: dict[str, Any] = durable.read_json(crossed)["gains"]
        plots.matrix(cells, folder / f"{MATRIX}.png")
        tables.append(matrix_table(cells))
    found = durable.read_json(folder / TOLD) if (folder / TOLD).exists() else None
    text = card(facts, told, folder.name, found, counts(folder.parents[2], facts["data"]))
    durable.write(folder / CARD, [text.encode()])
    return "\n".join(tables) + f"\ncurves, tables, sound and card: {folder}"


def exported(run: Trained) -> str:
    """The run's model as ONNX and TorchScript, and the card that tells of them."""
    found = export(run.net, run.rate, run.folder, Ports("noisy", "clean", "samples"))
    redrawn(run.folder)
    return "\n".join([*lines(run.folder, found), f"how to use them: {run.folder / CARD}"])
