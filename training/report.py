"""What a person gets of a finished run of whatever model: curves, tables, pictures, a card.

Reads: the run's metrics, configuration, and the summaries of what was measured. Writes into its
folder: ``training_history.png``, the model's own pictures, ``MODEL.md``. Does: draws all of it anew
from what was measured, so that it can be done again at any time.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import durable
from training.data.index import DataError, Index, load_index
from training.errors import RunError
from training.history import Panel, history
from training.run import read_config, read_metrics, say
from training.runs import CARD

Facts = Mapping[str, Any]
Summary = dict[str, Any]  # of an evaluation, JSON-able; it says of which `recipe`


@dataclass(frozen=True)
class Report:
    """How one kind of model shows what was measured."""

    panels: Sequence[Panel]  # of training_history.png
    table: Callable[[Summary], str]
    pictures: Callable[[Summary, Path], None]  # of one summary, into a folder
    card: Callable[[Facts, Mapping[str, Summary], str, Facts | None, Mapping[str, Facts]], str]
    exports: str  # the file that tells of exports


def redrawn(report: Report, folder: Path) -> str:
    """Curves, tables, pictures and the card from what was measured; returns what to print."""
    facts, rows = read_config(folder), read_metrics(folder)
    steps = next((row["step"] for row in rows if row["kind"] == "valid"), 0)
    if rows:  # weights that came from elsewhere have no course
        score = facts["config"]["settings"]["score"]
        path = folder / "training_history.png"
        history(rows, path, panels=report.panels, steps=int(steps), score=score)
    told = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        one = durable.read_json(path)
        told[one["recipe"]] = one
        report.pictures(one, folder)
    exports = folder / report.exports
    found = durable.read_json(exports) if exports.exists() else None
    text = report.card(facts, told, folder.name, found, counts(folder.parents[2], facts["data"]))
    durable.write(folder / CARD, [text.encode()])
    tables = [report.table(one) for one in told.values()]
    return "\n".join([*tables, f"curves, tables, pictures and card: {folder}"])


def whole(folder: Path, measured: Callable[[], str], drawn: Callable[[Path], str]) -> str:
    """Everything, at the end of a run; returns what to print. What cannot be measured is told after
    all else is made: the run is finished all the same."""
    try:
        return measured()
    except (RunError, DataError) as error:
        say(drawn(folder))
        what = f"the run is finished, but not measured ({error})"
        do = f"mend that, then make evaluate RUN={folder.name}"
        raise RunError(what, folder, do=do) from error


def warn(facts: Facts, run: str, index: Index) -> None:
    """Says that shards are not those that a run learnt from."""
    if facts["data"].get(index.name, index.key) != index.key:
        say(
            f"WARNING: {index.folder}: built anew since {run} was trained, which may have learnt "
            "from what is in the test part now"
        )


def counts(artifacts: Path, data: Mapping[str, str]) -> dict[str, Any]:
    """Sizes of the recipes that still are what a run began with."""
    found = {}
    for name, key in data.items():
        with contextlib.suppress(DataError):
            index = load_index(artifacts / name)
            if index.key == key:
                found[name] = index.counts
    return found
