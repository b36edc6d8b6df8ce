"""The summary of a classifier's evaluation as tables to read.

Reads and writes nothing. Does: lays out numbers as plain text, shares in percent, "-" where there
is none.
"""

from collections.abc import Mapping
from typing import Any

from training.classes.scores import BINS, MEASURES
from training.classes.summary import Summary, confusions, ordered, rival
from training.tables import bounds, columns, difference, number, scaled

FEW = 10  # groups, below which an interval over them says little
SHOWN = 12  # classes of which the whole confusion is shown; of more, what is mistaken most often
NAMED = 10  # of those
NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
COSTS = {"parameters": "params", "macs": "MACs", "ms": "ms"}


def table(told: Summary) -> str:
    """All systems; ours beside each other one; ours by class; what it takes for what."""
    parts = [_systems(told)]
    if told["ahead"]:
        parts.append(_ahead(told))
    small = len(told["classes"]) <= SHOWN
    parts += [_classes(told), _confusion(told) if small else _mistaken(told)]
    return "\n\n".join(parts) + "\n"


def _systems(told: Summary) -> str:
    costs, files = [key for key in COSTS if _any(told, key)], _any(told, "recordings")
    head = ["", "accuracy", "95 %", "macro-F1", "95 %", "mAP", "ECE"]
    head += ["by file", "macro-F1"] if files else []
    rows = [head + [COSTS[key] for key in costs]]
    for name in ordered(told):
        one = told["systems"][name]
        row = [name]
        for measure in MEASURES:
            row += [_percent(one[measure]["mean"]) + _spread(one, measure), _bounds(one[measure])]
        row += [_percent(one["mean_average_precision"]), _percent(one["ece"])]
        row += [_percent(one["recordings"][m]["mean"]) for m in MEASURES] if files else []
        row += [number(one[key], 1) if key == "ms" else scaled(one[key]) for key in costs]
        rows.append(row)
    return f"{_title(told)}\n\n{columns(rows)}\n\n" + "\n".join(_notes(told, costs, files))


def _title(told: Summary) -> str:
    where = f"{told['folds']} folds" if told["folds"] else told["split"]
    return (
        f"{told['recipe']}, {where}: {told['examples']} clips of {len(told['classes'])} classes "
        f"in {told['groups']} groups; %"
    )


def _notes(told: Summary, costs: list[str], files: bool) -> list[str]:
    few = "; few, so it is rough" if told["groups"] < FEW else ""
    lines = [
        "macro-F1: mean over the classes that occur among the truth or the answers",
        "mAP: mean average precision, each class against the rest",
        f"ECE: expected calibration error, {BINS} bins",
        f"95 %: bootstrap interval over groups (sources), not over clips{few}",
    ]
    if files:
        count = told["systems"][told["ours"]]["recordings"]["examples"]
        lines.append(f"by file: accuracy and macro-F1 of {count} files, the mean of their clips")
    if told["folds"]:
        lines.append(f"±: standard deviation over the {told['folds']} folds, each by itself")
    if "ms" in costs:
        lines.append("ms: of one core, for a clip")
    return lines


def _ahead(told: Summary) -> str:
    rows = [["", *(NAMES[measure] for measure in MEASURES)]]
    for name in ordered(told)[1:]:
        gaps = told["ahead"][name]
        rows.append([name, *(difference(_hundredfold(gaps[m]), 1) for m in MEASURES)])
    title = f"How far {told['ours']} lies above each, in points, on the same clips [95 %]: better "
    return title + "where the whole interval is above 0\n\n" + columns(rows)


def _classes(told: Summary) -> str:
    """Ours, and F1 of what comes next to it."""
    own, other = told["systems"][told["ours"]]["classes"], rival(told)
    rows = [["", "clips", "precision", "recall", "F1", "AP", *([f"{other} F1"] if other else [])]]
    for name in told["classes"]:
        one = own[name]
        row = [name, str(one["examples"]), *map(_percent, (one["precision"], one["recall"]))]
        row += [_percent(one["f1"]), _percent(one["average_precision"])]
        row += [_percent(told["systems"][other]["classes"][name]["f1"])] if other else []
        rows.append(row)
    return f"Classes of {told['ours']}, %\n\n" + columns(rows)


def _confusion(told: Summary) -> str:
    counts = told["systems"][told["ours"]]["confusion"]
    rows = [["", *(str(i + 1) for i in range(len(counts)))]]
    for i, (name, row) in enumerate(zip(told["classes"], counts, strict=True)):
        rows.append(
            [f"{i + 1:2} {name}", *(str(n) if n or i == j else "." for j, n in enumerate(row))]
        )
    return f"What {told['ours']} answers (across) for what is true (down), clips\n\n" + columns(
        rows
    )


def _mistaken(told: Summary) -> str:
    lines = [
        f"{one['clips']} of {one['of']} {one['truth']} for {one['answer']}"
        for one in confusions(told)[:NAMED]
    ]
    return f"What {told['ours']} mistakes most often\n\n" + ("\n".join(lines) or "nothing")


def _any(told: Summary, key: str) -> bool:
    return any(one[key] is not None for one in told["systems"].values())


def _percent(value: float | None) -> str:
    return "-" if value is None else number(100 * value, 1)


def _hundredfold(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if value is None else 100 * value for key, value in found.items()}


def _bounds(found: Mapping[str, Any]) -> str:
    return bounds(_hundredfold(found), 1)


def _spread(one: Mapping[str, Any], measure: str) -> str:
    """Over folds."""
    deviation = one["folds"] and one["folds"][measure]["deviation"]
    return "" if deviation is None else f" ±{100 * deviation:.1f}"
