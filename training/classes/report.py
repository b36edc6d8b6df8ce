"""What a person gets of classifiers' runs: tables, curves, pictures, a card.

Reads: runs' metrics, configurations and weights, and the examples that they did not learn from.
Does: measures runs beside each other and beside baselines fitted on the same training examples.
Writes into the first one's folder (folds: into one of their own beside them):
``training_history.png``, ``evaluation-<recipe>.json``, ``confusion-``,
``calibration-`` and ``classes-<recipe>.png``, ``MODEL.md``, and the exports.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import report
from training.classes import plots
from training.classes.baselines import baselines
from training.classes.kind import Kind, Set
from training.classes.parts import Parts, parts
from training.classes.scores import pooled
from training.classes.summary import Summary, save, summary
from training.data.index import Index, load_index
from training.errors import Changed
from training.graph.answers import milliseconds
from training.graph.usage import lines
from training.history import LOSS, RATE, Panel
from training.run import read_config, say
from training.runs import CARD

PANELS = (LOSS, Panel("accuracy", "accuracy"), Panel("macro_f1", "macro-F1"), RATE)

Costs = dict[str, dict[str, float | None]]


def evaluation(kind: Kind, sets: Sequence[Set], artifacts: Path, on: str = "") -> str:
    """The first set beside the others and the baselines, on what none of them learnt from; returns
    what to print."""
    sets = [each for one in sets for each in (one, *kind.beside(one))]
    facts = [[read_config(folder) for folder in one.folders] for one in sets]
    on = "" if on == facts[0][0]["config"]["recipe"] else on  # folds have tests of their own there
    index = _index(kind, sets, facts, artifacts, on)
    folds = [tuple(fact["config"]["fold"] or ()) for fact in facts[0]]
    for one, others in zip(sets[1:], facts[1:], strict=True):
        found = [tuple(fact["config"]["fold"] or ()) for fact in others]
        if found != folds:
            raise Changed("runs of other folds", one.name, folds, found, "compare like with like")
    costs: Costs = {}
    each = []
    for number, fold in enumerate(folds):
        held = parts(index, (fold[0], fold[1]) if fold and not on else None)
        rows = held.rows(held.test)
        for one in sets:
            rows |= _ours(kind, one.folders[number], index, held, costs, one.name)
        each.append(rows | _theirs(kind, index, held, facts[0][0]["config"]))
        if len(folds) > 1:
            say(f"fold {number + 1} of {len(folds)} is measured")
    told = _told(each, index, sets[0].name, costs)
    sets[0].folder.mkdir(exist_ok=True)
    save(told, sets[0].folder)
    if len(sets[0].folders) == 1:
        return redrawn(kind, sets[0].folder)
    kind.report.pictures(told, sets[0].folder)
    return f"{kind.report.table(told)}\ntables and pictures: {sets[0].folder}"


def _told(
    each: Sequence[Mapping[str, np.ndarray]], index: Index, ours: str, costs: Costs
) -> Summary:
    data = pooled(each) if len(each) > 1 else each[0]
    known = ("labels", "groups", "sources", "fold")
    return summary(
        {name: data[name] for name in known if name in data},
        {name: held for name, held in data.items() if name not in known},
        index.classes, recipe=index.name, ours=ours, costs=costs,
        split="all folds" if len(each) > 1 else "test",
    )  # fmt: skip


def _index(
    kind: Kind,
    sets: Sequence[Set],
    facts: Sequence[Sequence[Mapping[str, Any]]],
    artifacts: Path,
    on: str,
) -> Index:
    """What to measure on; refused where a set knows other classes."""
    index = load_index(artifacts / (on or facts[0][0]["config"]["recipe"]))
    runs = [(one.name, fact) for one, each in zip(sets, facts, strict=True) for fact in each]
    for name, fact in runs:
        config = fact["config"]
        if config["classes"] != list(index.classes):
            what, own = "a classifier of other classes", config["classes"]
            raise Changed(what, index.folder, index.classes, own)
        if kind.heard(config["heard"], config) != kind.heard(index.recipe, config):
            what, there = "a classifier of other features", f"those of {index.name}"
            raise Changed(what, index.folder, there, f"those of {config['heard']['name']}")
        report.warn(fact, name, index)
    return index


def _ours(
    kind: Kind, folder: Path, index: Index, held: Parts, costs: Costs, name: str
) -> dict[str, np.ndarray]:
    one = kind.trained(folder)
    answers = kind.answers(one, index, held.test)
    if name not in costs:
        parameters, ms = float(one.net.count_params()), milliseconds(kind.clip(one))
        costs[name] = {"parameters": parameters, "ms": ms}
    return {f"{name}{end}": found for end, found in answers.items()}


def _theirs(
    kind: Kind, index: Index, held: Parts, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The baselines' answers; they learn from what ours learnt from or was judged by."""
    learnt = held.train | held.valid
    x, test = (kind.statistics(config, index, part) for part in (learnt, held.test))
    labels, groups = held.told["label"][learnt], held.told["group"][learnt]
    seed = config["settings"]["seed"]
    return baselines((x, labels), test, len(index.classes), seed, groups=groups)


def whole(kind: Kind, folder: Path, artifacts: Path) -> str:
    """Everything, at the end of a run; returns what to print."""
    return report.whole(
        folder,
        lambda: evaluation(kind, [Set(folder.name, (folder,))], artifacts),
        lambda where: redrawn(kind, where),
    )


def redrawn(kind: Kind, folder: Path) -> str:
    """Curves, tables, pictures and the card from what was measured; returns what to print."""
    return report.redrawn(kind.report, folder)


def pictures(told: Summary, folder: Path) -> None:
    """What any classifier's summary looks like."""
    plots.confusion(told, folder / f"confusion-{told['recipe']}.png")
    plots.calibration(told, folder / f"calibration-{told['recipe']}.png")
    plots.classes(told, folder / f"classes-{told['recipe']}.png")


def exported(kind: Kind, folder: Path, artifacts: Path) -> str:
    """The run's model as files that run without this project, and the card that tells of them."""
    told = kind.exported(folder, artifacts)
    redrawn(kind, folder)
    return "\n".join([*lines(folder, told), f"how to use them: {folder / CARD}"])
