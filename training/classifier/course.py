"""The course of a classifier's training: one run, or one for each fold, then what it comes to.

Reads: an index, and teachers' answers where runs are named as teachers. Does: makes the
configuration of each run, trains one after the other, passes over those that are finished, has them
measured. Writes, through the others: the runs' folders, tables on stdout.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from training.classifier import MODEL, report
from training.classifier.profiles import Profile
from training.classifier.teacher import FILE, hash_of
from training.classifier.train import configuration, train
from training.data.index import load_index
from training.durable import digest
from training.errors import Changed, RunError
from training.run import read_config, say
from training.runs import folds_of, named

Fold = tuple[int, int] | None  # its number from 1, of so many


def begun(
    root: Path,
    recipe: str,
    profile: Profile,
    name: str,
    teachers: Sequence[str],
    weights: str,
    folds: int,
) -> None:
    """Train on the recipe's own splits, or, with folds, on each."""
    index, start = load_index(root / recipe), Path(weights) if weights else None
    each: list[Fold] = [(k + 1, folds) for k in range(folds)]
    configs = [
        configuration(
            index, profile, fold=fold, teachers=_teachers(root, teachers, fold), start=start
        )
        for fold in each or [None]
    ]
    if name:
        _free(root, name, folds)
    if folds:
        _folds(root, configs, name or digest([configs[0], index.key])[:8])
    else:
        _train(root, configs[0], name)


def _free(root: Path, name: str, folds: int) -> None:
    """One name is that of one run, or of so many folds: both would be meant by it."""
    each = {read_config(folder)["config"]["fold"][1] for folder in folds_of(root, name, MODEL)}
    alone = (root / "runs" / MODEL / name / "config.json").exists()
    if (folds and alone) or each - {folds}:
        got = "a run without folds" if alone else f"{max(each)} folds"
        do = "name a new run with RUN="
        raise Changed("the name is taken", name, f"FOLDS={folds}", got, do)


def _teachers(root: Path, asked: Sequence[str], fold: Fold) -> list[Path]:
    """Files of answers: as named, or those of the named runs (of the same fold)."""
    found = []
    for word in asked:
        path = Path(word)
        if not path.is_file():
            path = named(root, _of_fold(word, fold), MODEL) / FILE
            if not path.is_file():
                do = f"run make teacher RUN={word} first"
                raise RunError("that run has written no answers", path, do=do)
        found.append(path)
    return found


def _of_fold(name: str, fold: Fold) -> str:
    return f"{name}-{fold[0]}of{fold[1]}" if fold else name


def _train(root: Path, config: dict[str, Any], name: str, checkpoint: int = -1) -> None:
    folder = _trained(root, config, name, checkpoint)
    if folder:
        print(report.whole(folder, root))


def _trained(root: Path, config: dict[str, Any], name: str, checkpoint: int = -1) -> Path | None:
    made = train(root, config, name, checkpoint=checkpoint)
    if made is None:
        return None
    folder, result = made
    say(
        f"{folder}: {result.why}; {result.state.step} steps, {result.speed:.0f} examples/s, "
        f"waiting for data {result.wait:.1%}, saving {result.saving:.1%} of the time"
    )
    return folder


def _folds(root: Path, configs: Sequence[dict[str, Any]], name: str) -> None:
    """Each fold is a run of its own; those that are finished are passed over."""
    folders = []
    for config in configs:
        folder = _trained(root, config, _of_fold(name, config["fold"]))
        if folder is None:
            raise Changed("folds are trained by one process", "TF_CONFIG", "none")
        folders.append(folder)
        keras.backend.clear_session()
    measured = report.evaluation([report.Set(name, tuple(folders))], root)
    for folder in folders:
        report.redrawn(folder)  # its card, which says that nothing is left to do
    print(measured)


def resumed(folder: Path, checkpoint: int = -1) -> None:
    """Go on with a run; of a fold, with the others after it."""
    root, config = folder.parents[2], read_config(folder)["config"]
    if not config["fold"]:
        _train(root, config, folder.name, checkpoint)
        return
    _trained(root, config, folder.name, checkpoint)
    count = config["fold"][1]
    base = folder.name.removesuffix(_of_fold("", config["fold"]))
    each = [{**config, "fold": [k + 1, count], "teachers": _same(config, k + 1)}
            for k in range(count)]  # fmt: skip
    _folds(root, each, base)


def _same(config: dict[str, Any], number: int) -> list[list[str]]:
    """The teachers of another fold."""
    fold, count = config["fold"]
    old, new = _of_fold("", (fold, count)), _of_fold("", (number, count))
    paths = [Path(path) for path, _ in config["teachers"]]
    moved = [p.parent.with_name(p.parent.name.replace(old, new)) / p.name for p in paths]
    return [[str(path), hash_of(path)] for path in moved]
