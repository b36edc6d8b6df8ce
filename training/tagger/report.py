"""What a person gets of taggers' runs: tables, curves, pictures, a card.

Reads: runs' metrics, configurations and weights, and the tracks that they did not learn from. Does:
measures runs beside each other and beside baselines fitted on the same training tracks. Writes into
the first one's folder: ``training_history.png``, ``evaluation-<recipe>.json``,
``tags-<recipe>.png``, ``MODEL.md``, and the exports.

A run that has no words for a recipe's tags, as the published weights may, does not answer itself:
a logistic regression learns the tags from what its net knows of each patch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training import report
from training.classes.baselines import statistics
from training.data.index import Index, load_index
from training.engine.keras_train import Trained
from training.errors import Changed
from training.graph.answers import Asked, milliseconds
from training.graph.usage import TOLD, lines
from training.history import LOSS, RATE, Panel
from training.report import Report
from training.run import read_config
from training.runs import CARD
from training.tagger import plots, use
from training.tagger.baselines import MFCC, OFTEN, linear, often
from training.tagger.card import card
from training.tagger.summary import Summary, save, summary
from training.tagger.table import table
from training.tagger.train import Part, best, hears, usable

PANELS = (LOSS, Panel("pr_auc", "PR-AUC"), Panel("roc_auc", "ROC-AUC"), RATE)
LEARNT = " + LR"  # after the name of a run whose net is learnt from

Costs = dict[str, dict[str, float | None]]


def evaluation(folders: Sequence[Path], artifacts: Path, on: str = "") -> str:
    """The first run beside the others and the baselines, on tracks that none of them learnt from;
    returns what to print."""
    index = _index(folders, artifacts, on)
    field = read_config(folders[0])["config"]["features"]
    learnt = [Part(index, split, field) for split in ("train", "valid")]
    test = Part(index, "test", field)
    tags, groups = (np.concatenate([part.rows[name] for part in learnt])
                    for name in ("tags", "groups"))  # fmt: skip
    systems: dict[str, np.ndarray] = {}
    costs: Costs = {}
    for folder in folders:
        one = best(folder)
        columns = _columns(one, index)
        name = folder.name if columns else f"{folder.name}{LEARNT}"
        if columns:
            systems[name] = test.answers(one.net)[:, columns]
        else:
            seen = use.looked(one.net)
            x = np.concatenate([part.ask(seen) for part in learnt])
            systems[name] = linear(x, tags, groups, test.ask(seen))
        costs[name] = {"parameters": float(one.net.count_params()), "ms": milliseconds(one.net)}
    ours = next(iter(systems))
    x = np.concatenate([_mfcc(part) for part in learnt])
    systems[MFCC] = linear(x, tags, groups, _mfcc(test))
    systems[OFTEN] = often(tags, len(test.tags))
    told = summary(test.rows, systems, index.tags, recipe=index.name, ours=ours, costs=costs)
    save(told, folders[0])
    return redrawn(folders[0])


def _index(folders: Sequence[Path], artifacts: Path, on: str) -> Index:
    """What to measure on; refused where a run hears otherwise."""
    facts = [read_config(folder) for folder in folders]
    index = load_index(artifacts / (on or facts[0]["config"]["recipe"]))
    usable(index)
    for folder, fact in zip(folders, facts, strict=True):
        config = fact["config"]
        if hears(config["heard"], config["features"]) != hears(index.recipe, config["features"]):
            what, there = "a tagger of other features", f"those of {index.name}"
            raise Changed(what, index.folder, there, f"those of {config['heard']['name']}")
        report.warn(fact, folder.name, index)
    return index


def _columns(one: Trained, index: Index) -> list[int]:
    """Where a run's answers for the recipe's tags stand; none where it lacks a word."""
    words = one.config["tags"]
    known = all(tag in words for tag in index.tags)
    return [words.index(tag) for tag in index.tags] if known else []


def _mfcc(part: Part) -> np.ndarray:
    ask: Asked = part.ask
    found = [statistics(batch[ask.fields[0]].numpy()) for batch in ask.examples.epoch(0)]
    return np.concatenate(found)


def whole(folder: Path, artifacts: Path) -> str:
    """Everything, at the end of a run; returns what to print."""
    return report.whole(folder, lambda: evaluation([folder], artifacts), redrawn)


def _pictures(told: Summary, folder: Path) -> None:
    plots.tags(told, folder / f"tags-{told['recipe']}.png")


def redrawn(folder: Path) -> str:
    """Curves, tables, pictures and the card from what was measured; returns what to print."""
    return report.redrawn(Report(PANELS, table, _pictures, card, TOLD), folder)


def exported(folder: Path, artifacts: Path) -> str:
    """The run's model as files that run without this project, and the card that tells of them."""
    told = use.exported(folder, artifacts)
    redrawn(folder)
    return "\n".join([*lines(folder, told), f"how to use them: {folder / CARD}"])
