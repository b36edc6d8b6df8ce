"""The course of a classifier's training: one run, or several under one name, and their figures.

Reads: what the runs began with. Does: trains one after the other, passes over those that are
finished, has them measured. Writes, through the others: the runs' folders, tables on stdout.

Several are trained where there are folds, each a run of its own, or where a kind has variants of
itself to be compared with. Their names begin with the one name and end with what each is.
"""

from collections.abc import Sequence
from pathlib import Path

import keras

from training.classes import report
from training.classes.kind import Kind, Planned, Set
from training.durable import digest
from training.engine.keras_ranks import place
from training.engine.keras_train import Config
from training.errors import Changed
from training.run import read_config, say
from training.runs import folds_of

Fold = Sequence[int] | None  # its number from 1, of so many


def of_fold(name: str, fold: Fold) -> str:
    return f"{name}-{fold[0]}of{fold[1]}" if fold else name


def begun(kind: Kind, root: Path, plan: Sequence[Planned], name: str, key: str) -> None:
    """Train all of a plan on an index of this key; its last run is what it is about."""
    if name:  # of variants too: one may be all that there is of an interrupted course
        fold = plan[-1].config["fold"]
        ends = [one.end.removesuffix(of_fold("", one.config["fold"])) for one in plan]
        for end in dict.fromkeys(reversed(ends)):
            _free(kind, root, f"{name}{end}", fold)
    if len(plan) == 1:
        _alone(kind, root, plan[0].config, name)
    else:
        _all(kind, root, plan, name or digest([plan[-1].config, key])[:8])


def on_one_machine(runs: int, folds: bool, variants: bool) -> None:
    """Several machines train one run: between two of them, nothing keeps them together. To be
    asked before anything waits for the others."""
    if runs > 1 and place()[1] > 1:
        asked = ["no FOLDS"] if folds else []
        asked += ["ABLATION=no"] if variants else []
        do = f"train a single run, with {' and '.join(asked)}, or all of them on one machine"
        what = "several machines cannot train several runs"
        raise Changed(what, "TF_CONFIG", "one run", runs, do)


def _free(kind: Kind, root: Path, name: str, fold: Fold) -> None:
    """One name is that of one run, or of so many folds: both would be meant by it."""
    count = fold[1] if fold else 0
    each = {read_config(folder)["config"]["fold"][1] for folder in folds_of(root, name, kind.model)}
    alone = (root / "runs" / kind.model / name / "config.json").exists()
    if (count and alone) or each - {count}:
        got = "a run without folds" if alone else f"{max(each)} folds"
        do = "name a new run with RUN="
        raise Changed("the name is taken", name, f"FOLDS={count}", got, do)


def _alone(kind: Kind, root: Path, config: Config, name: str, checkpoint: int = -1) -> None:
    folder = _trained(kind, root, config, name, checkpoint)
    if folder:
        print(report.whole(kind, folder, root))


def _trained(
    kind: Kind, root: Path, config: Config, name: str, checkpoint: int = -1
) -> Path | None:
    made = kind.train(root, config, name, checkpoint)
    if made is None:
        return None
    folder, result = made
    say(f"{folder}: {result.told}")
    return folder


def _all(
    kind: Kind, root: Path, plan: Sequence[Planned], name: str, back: tuple[int, int] = (-1, -1)
) -> None:
    """One after the other; those that are finished are passed over. `back`: the number of one, and
    the checkpoint that it goes back to."""
    folders, main = [], []
    for number, one in enumerate(plan):
        folder = root / "runs" / kind.model / f"{name}{one.end}"
        _one(kind, plan, number, folder, back[1] if number == back[0] else -1)
        folders.append(folder)
        main += [folder] if one.told else []
    told = report.evaluation(kind, [Set(name, tuple(main))], root)
    for folder in folders:
        report.redrawn(kind, folder)  # its card, which says that nothing is left to do
    print(told)


def _one(
    kind: Kind, plan: Sequence[Planned], number: int, folder: Path, checkpoint: int = -1
) -> None:
    """`2 of 20: features only, fold 1 of 5: mine-features-1of5`, and its training."""
    one = plan[number]
    fold = one.config["fold"]
    what = [one.words] if one.words else []
    what += [f"fold {fold[0]} of {fold[1]}"] if fold else []
    say(": ".join([f"{number + 1} of {len(plan)}", ", ".join(what) or kind.model, folder.name]))
    _trained(kind, folder.parents[2], one.config, folder.name, checkpoint)
    keras.backend.clear_session()


def resumed(kind: Kind, folder: Path, checkpoint: int = -1) -> None:
    """Go on with a run; where it is one of several, with all of them in their order, so that the
    one they are about is worked on last."""
    root, config = folder.parents[2], read_config(folder)["config"]
    plan = kind.plan(root, config)
    on_one_machine(len(plan), bool(config["fold"]), not all(one.told for one in plan))
    if len(plan) == 1:
        _alone(kind, root, config, folder.name, checkpoint)
        return
    own = next(number for number, one in enumerate(plan) if one.config == config)
    _all(kind, root, plan, folder.name.removesuffix(plan[own].end), (own, checkpoint))
