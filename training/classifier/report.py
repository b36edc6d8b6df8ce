"""What a person gets of classifiers' runs: tables, curves, pictures, a card.

Reads: runs' metrics, configurations and weights, and the examples that they did not learn from.
Does: measures runs beside each other and beside baselines fitted on the same training examples.
Writes into the first one's folder (folds: into one of their own beside them):
``training_history.png``, ``evaluation-<recipe>.json``, ``confusion-``,
``calibration-`` and ``classes-<recipe>.png``, ``MODEL.md``, and the exports.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training import durable
from training.classifier import plots, use
from training.classifier.answers import Asked, softmax
from training.classifier.baselines import baselines, statistics
from training.classifier.card import card
from training.classifier.parts import Parts, parts
from training.classifier.scores import pooled
from training.classifier.summary import Summary, save, summary
from training.classifier.table import table
from training.classifier.train import trained
from training.data.index import SPLITS, DataError, Index, load_index
from training.data.tf_data import Examples
from training.errors import Changed, RunError
from training.graph.usage import TOLD
from training.history import LOSS, RATE, Panel, history
from training.run import read_config, read_metrics, say
from training.runs import CARD

PANELS = (LOSS, Panel("accuracy", "accuracy"), Panel("macro_f1", "macro-F1"), RATE)
TIMED = 20  # clips
AT_ONCE = 256  # examples whose statistics are taken at once


@dataclass(frozen=True)
class Set:
    """A run, or the runs of all folds under one name."""

    name: str
    folders: tuple[Path, ...]  # by fold

    @property
    def folder(self) -> Path:
        """Where what was measured goes."""
        one = self.folders[0]
        return one if len(self.folders) == 1 else one.with_name(f"{self.name}-folds")


def evaluation(sets: Sequence[Set], artifacts: Path, on: str = "") -> str:
    """The first set beside the others and the baselines, on what none of them learnt from; returns
    what to print."""
    facts = [[read_config(folder) for folder in one.folders] for one in sets]
    on = "" if on == facts[0][0]["config"]["recipe"] else on  # folds have tests of their own there
    index = _index(facts, artifacts, on)
    folds = [tuple(fact["config"]["fold"] or ()) for fact in facts[0]]
    for one, others in zip(sets[1:], facts[1:], strict=True):
        found = [tuple(fact["config"]["fold"] or ()) for fact in others]
        if found != folds:
            raise Changed("runs of other folds", one.name, folds, found, "compare like with like")
    costs: dict[str, dict[str, float | None]] = {}
    each = []
    for number, fold in enumerate(folds):
        held = parts(index, (fold[0], fold[1]) if fold and not on else None)
        answers = {one.name: _ours(one.folders[number], index, held, costs, one.name)
                   for one in sets}  # fmt: skip
        each.append({**held.rows(held.test), **answers, **_theirs(index, held, facts[0][0])})
        if len(folds) > 1:
            say(f"fold {number + 1} of {len(folds)} is measured")
    data = pooled(each) if len(each) > 1 else each[0]
    known = ("labels", "groups", "sources", "fold")
    told = summary(
        {name: data[name] for name in known if name in data},
        {name: held for name, held in data.items() if name not in known},
        index.classes, recipe=index.name, ours=sets[0].name, costs=costs,
        split="all folds" if len(each) > 1 else "test",
    )  # fmt: skip
    sets[0].folder.mkdir(exist_ok=True)
    save(told, sets[0].folder)
    if len(sets[0].folders) == 1:
        return redrawn(sets[0].folder)
    _pictures(told, sets[0].folder)
    return f"{table(told)}\ntables and pictures: {sets[0].folder}"


def _index(facts: Sequence[Sequence[Mapping[str, Any]]], artifacts: Path, on: str) -> Index:
    """What to measure on; refused where a set knows other classes."""
    index = load_index(artifacts / (on or facts[0][0]["config"]["recipe"]))
    for fact in (fact for one in facts for fact in one):
        if fact["config"]["classes"] != list(index.classes):
            raise Changed(
                "a classifier of other classes", index.folder, index.classes,
                fact["config"]["classes"],
            )  # fmt: skip
        field = fact["config"]["features"]
        heard = fact["config"]["heard"]
        if _heard(heard, field) != _heard(index.recipe, field):
            what, there = "a classifier of other features", f"those of {index.name}"
            raise Changed(what, index.folder, there, f"those of {heard['name']}")
        if fact["data"].get(index.name, index.key) != index.key:
            say(
                f"WARNING: {index.folder}: built anew since the run was trained, which may have "
                "learnt from what is in the test part now"
            )
    return index


def _heard(recipe: Mapping[str, Any], field: str) -> list[Any]:
    """What makes the numbers that a net sees, as a recipe has it."""
    window = {name: recipe["window"][name] for name in ("samples", "edges")}
    return [recipe["audio"], window, recipe["features"].get(field)]


def _ours(
    folder: Path, index: Index, held: Parts, costs: dict[str, dict[str, float | None]], name: str
) -> np.ndarray:
    one = trained(folder)
    answers = softmax(Asked(index, held.test, one.config["features"])(one.net))
    if name not in costs:
        parameters = float(one.net.count_params())
        costs[name] = {"parameters": parameters, "ms": milliseconds(one.net)}
    return answers


def milliseconds(net: keras.Model) -> float:
    """Of this process' cores together, for a clip at a time."""
    import tensorflow as tf

    clip = tf.zeros((1, *net.input_shape[1:]))
    answer = tf.function(lambda x: net(x, training=False))
    answer(clip)
    began = time.process_time()
    for _ in range(TIMED):
        answer(clip).numpy()
    return (time.process_time() - began) * 1000 / TIMED


def _theirs(index: Index, held: Parts, facts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The baselines' answers; they learn from what ours learnt from or was judged by."""
    learnt, features = held.train | held.valid, facts["config"]["features"]
    x = {name: _statistics(index, part, features)
         for name, part in (("learnt", learnt), ("test", held.test))}  # fmt: skip
    labels, groups = held.told["label"][learnt], held.told["group"][learnt]
    seed = facts["config"]["settings"]["seed"]
    return baselines((x["learnt"], labels), x["test"], len(index.classes), seed, groups=groups)


def _statistics(index: Index, part: np.ndarray, features: str) -> np.ndarray:
    examples = Examples(index, SPLITS, AT_ONCE, fields=(features,), chosen=part, shuffle=False)
    found = [statistics(batch[features].numpy()) for batch in examples.epoch(0)]
    return np.concatenate(found)


def whole(folder: Path, artifacts: Path) -> str:
    """Everything, at the end of a run; returns what to print. What cannot be measured is told after
    all else is made: the run is finished all the same."""
    try:
        return evaluation([Set(folder.name, (folder,))], artifacts)
    except (RunError, DataError) as error:
        say(redrawn(folder))
        what = f"the run is finished, but not measured ({error})"
        do = f"mend that, then make evaluate RUN={folder.name}"
        raise RunError(what, folder, do=do) from error


def redrawn(folder: Path) -> str:
    """Curves, tables, pictures and the card from what was measured; returns what to print."""
    facts = read_config(folder)
    rows = read_metrics(folder)
    steps = next((row["step"] for row in rows if row["kind"] == "valid"), 0)
    score = facts["config"]["settings"]["score"]
    path = folder / "training_history.png"
    history(rows, path, panels=PANELS, steps=int(steps), score=score)
    told = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        one = durable.read_json(path)
        told[one["recipe"]] = one
        _pictures(one, folder)
    found = durable.read_json(folder / TOLD) if (folder / TOLD).exists() else None
    counts = _counts(folder.parents[2], facts["data"])
    durable.write(folder / CARD, [card(facts, told, folder.name, found, counts).encode()])
    tables = [table(one) for one in told.values()]
    return "\n".join([*tables, f"curves, tables, pictures and card: {folder}"])


def exported(folder: Path, artifacts: Path) -> str:
    """The run's model as files that run without this project, and the card that tells of them."""
    told = use.exported(folder, artifacts)
    redrawn(folder)
    lines = [_line(folder, one) for one in told["exports"]]
    return "\n".join([*lines, f"how to use them: {folder / CARD}"])


def _line(folder: Path, one: Mapping[str, Any]) -> str:
    """One export, in words."""
    change = f"{one['difference']:.1g} from the net"
    if one["int8"]:
        change = f"{100 * one['drop']:.1f} points of accuracy lost"
    return (
        f"{folder / one['file']}: {one['bytes'] / 1e6:.2f} MB, {one['input']} in, loaded again: "
        f"{change}, {one['ms']:.1f} ms of one core for a clip"
    )


def _pictures(told: Summary, folder: Path) -> None:
    plots.confusion(told, folder / f"confusion-{told['recipe']}.png")
    plots.calibration(told, folder / f"calibration-{told['recipe']}.png")
    plots.classes(told, folder / f"classes-{told['recipe']}.png")


def _counts(artifacts: Path, data: Mapping[str, str]) -> dict[str, Any]:
    """Sizes of the recipe that still is what the run began with."""
    counts = {}
    for name, key in data.items():
        with contextlib.suppress(DataError):
            index = load_index(artifacts / name)
            if index.key == key:
                counts[name] = index.counts
    return counts
