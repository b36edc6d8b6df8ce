"""Which run is meant: a named one, the last interrupted one, the one that was worked on last.

Reads artifacts/runs/<model>/<run>/config.json and state.json; writes nothing. A run is complete
when it has its card, which every script writes last: one that was stopped while it was measured
goes on with that.
"""

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from training.errors import Nothing, RunError
from training.locks import held
from training.run import read_config, read_state

CARD = "MODEL.md"
FOLD = re.compile(r"(.+)-(\d+)of(\d+)")  # the run of one fold: its base name, number and count


def named(root: Path, run: str, model: str = "*") -> Path:
    """The folder of the run `name` or `model/name`."""
    runs = root / "runs"
    found = [path.parent for path in sorted(runs.glob(f"{model}/*/config.json"))]
    meant = [folder for folder in found if run in (folder.name, str(folder.relative_to(runs)))]
    if len(meant) == 1:
        return meant[0]
    parts = [] if meant else family_of(root, run, model)
    known = ", ".join(str(folder.relative_to(runs)) for folder in meant or parts or found)
    what = "several such runs" if meant else "no such run"
    do = ""
    if parts:  # the shortest name is the model's own, not a variant's
        what = "a name of folds or variants, not of one run"
        do = f"name one of them, such as RUN={min((one.name for one in parts), key=len)}"
    raise RunError(what, runs, f"one of {known}" if known else "a run: there is none", run, do)


def fold_ends(count: int) -> list[str]:
    """What the names of so many folds end with; one end that is empty, without folds."""
    return [f"-{k + 1}of{count}" for k in range(count)] or [""]


def family_of(root: Path, name: str, model: str = "*") -> list[Path]:
    """The folders of the runs that were begun as parts of `name` or `model/name`: its folds, and
    the variants that it is compared with."""
    found, base = [], name.rpartition("/")[2]
    for path in sorted((root / "runs").glob(f"{model}/{glob.escape(base)}-*/config.json")):
        folder, kind = path.parent, path.parent.parent.name
        config = read_config(folder)["config"]
        end = f"-{config['variant']}" if config.get("variant") else ""
        end += "-{}of{}".format(*config["fold"]) if config.get("fold") else ""
        if end and folder.name == f"{base}{end}" and name in (base, f"{kind}/{base}"):
            found.append(folder)
    return found


def folds_of(root: Path, name: str, model: str = "*") -> list[Path]:
    """The folders of the folds `name` or `model/name`, in their order. None of them where a run has
    that very name."""
    found = {}
    for path in sorted((root / "runs").glob(f"{model}/*/config.json")):
        folder, kind = path.parent, path.parent.parent.name
        if name in (folder.name, f"{kind}/{folder.name}"):
            return []
        fold = FOLD.fullmatch(folder.name)
        if fold and name in (fold[1], f"{kind}/{fold[1]}"):
            place = [int(fold[2]), int(fold[3])]
            if read_config(folder)["config"].get("fold") == place:
                found[place[1], place[0]] = folder
    return [found[place] for place in sorted(found)]


def last_interrupted(root: Path, model: str = "*") -> Path:
    """The folder of the incomplete run that was opened last and that no process works on."""
    stopped = [
        (opened, folder)
        for state, opened, folder in _runs(root, model)
        if state == "unfinished" or not (folder / CARD).exists()
    ]
    free = [one for one in stopped if not held(one[1])]
    return _last(free, "no run to go on with", root, "start one with make train-...")


def last_opened(root: Path, *models: str) -> Path:
    """The folder of the finished run, of one of these models or else of any, that was worked on
    last."""
    found = [one for model in models or ("*",) for one in _runs(root, model)]
    done = [(opened, folder) for state, opened, folder in found if state == "finished"]
    what = f"no finished run of a {' or a '.join(models)}" if models else "no finished run"
    return _last(done, what, root, f"start one with make train-{models[0] if models else '...'}")


def _runs(root: Path, model: str) -> Iterator[tuple[str, float, Path]]:
    for path in sorted((root / "runs").glob(f"{model}/*/config.json")):
        state = read_state(path.parent)
        yield state["state"], state["opened"], path.parent


def _last(found: list[tuple[float, Path]], what: str, root: Path, do: str) -> Path:
    if not found:
        raise Nothing(what, root / "runs", do=do)
    return max(found)[1]
