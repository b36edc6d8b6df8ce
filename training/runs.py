"""Which run is meant: a named one, the last interrupted one, the one that was worked on last.

Reads artifacts/runs/<model>/<run>/config.json and state.json; writes nothing.
"""

from pathlib import Path

from training.errors import Nothing, RunError
from training.run import held, read_state


def named(root: Path, run: str, model: str = "*") -> Path:
    """The folder of the run `name` or `model/name`."""
    runs = root / "runs"
    found = [path.parent for path in sorted(runs.glob(f"{model}/*/config.json"))]
    meant = [folder for folder in found if run in (folder.name, str(folder.relative_to(runs)))]
    if len(meant) == 1:
        return meant[0]
    known = ", ".join(str(folder.relative_to(runs)) for folder in meant or found)
    what = "several such runs" if meant else "no such run"
    raise RunError(what, runs, f"one of {known}" if known else "a run: there is none", run)


def last_interrupted(root: Path, model: str = "*") -> Path:
    """The folder of the unfinished run that was opened last and that no process works on."""
    return _last(root, model, "unfinished", "no run to go on with", "start one with make train-...")


def last_opened(root: Path, model: str) -> Path:
    """The folder of the finished run that was worked on last."""
    do = f"start one with make train-{model}"
    return _last(root, model, "finished", f"no finished run of a {model}", do)


def _last(root: Path, model: str, wanted: str, what: str, do: str) -> Path:
    found = []
    for path in sorted((root / "runs").glob(f"{model}/*/config.json")):
        state = read_state(path.parent)
        if state["state"] == wanted and (wanted == "finished" or not held(path.parent)):
            found.append((state["opened"], path.parent))
    if not found:
        raise Nothing(what, root / "runs", do=do)
    return max(found)[1]
