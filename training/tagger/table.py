"""The summary of a tagger's evaluation as tables to read.

Reads and writes nothing. Does: lays out numbers as plain text, "-" where there is none.
"""

from training.tables import bounds, columns, difference, number, scaled
from training.tagger.baselines import MFCC
from training.tagger.scores import MEASURES
from training.tagger.summary import COSTS, Summary, ordered

FEW = 10  # groups, below which an interval over them says little
NAMES = {"pr_auc": "PR-AUC", "roc_auc": "ROC-AUC"}
HEADS = {"parameters": "params", "ms": "ms"}


def table(told: Summary) -> str:
    """All systems; ours beside each other one; each tag."""
    parts = [_systems(told)]
    if told["ahead"]:
        parts.append(_ahead(told))
    return "\n\n".join([*parts, _tags(told)]) + "\n"


def _systems(told: Summary) -> str:
    costs = [key for key in COSTS if any(one[key] is not None for one in told["systems"].values())]
    head = [""]
    for measure in MEASURES:
        head += [NAMES[measure], "95 %"]
    rows = [[*head, *(HEADS[key] for key in costs)]]
    for name in ordered(told):
        one, row = told["systems"][name], [name]
        for measure in MEASURES:
            row += [number(one[measure]["mean"], 3), bounds(one[measure], 3)]
        row += [number(one[key], 1) if key == "ms" else scaled(one[key]) for key in costs]
        rows.append(row)
    few = "; few, so it is rough" if told["groups"] < FEW else ""
    lines = [
        "PR-AUC: average precision; both are means over the tags that some tracks have",
        f"95 %: bootstrap interval over groups (artists), not over tracks{few}",
    ]
    if "ms" in costs:
        lines.append("ms: of one core, for a patch")
    return f"{_title(told)}\n\n{columns(rows)}\n\n" + "\n".join(lines)


def _title(told: Summary) -> str:
    return (
        f"{told['recipe']}, test: {told['tracks']} tracks ({told['patches']} patches) of "
        f"{told['groups']} groups, {len(told['tags'])} tags; a track is the mean of its patches"
    )


def _ahead(told: Summary) -> str:
    rows = [["", *(NAMES[measure] for measure in MEASURES)]]
    for name in ordered(told)[1:]:
        gaps = told["ahead"][name]
        rows.append([name, *(difference(gaps[measure], 3) for measure in MEASURES)])
    title = f"How far {told['ours']} lies above each, on the same tracks [95 %]: better where the "
    return title + "whole interval is above 0\n\n" + columns(rows)


def _tags(told: Summary) -> str:
    """Ours, and the average precision of the baseline that learnt."""
    own = told["systems"][told["ours"]]["tags"]
    other = told["systems"].get(MFCC, {}).get("tags") if told["ours"] != MFCC else None
    rows = [["", "tracks", "chance", "AP", "ROC-AUC", *([f"AP, {MFCC}"] if other else [])]]
    for tag, one in own.items():
        chance = number(one["tracks"] / told["tracks"], 3)
        row = [tag, str(one["tracks"]), chance, number(one["average_precision"], 3)]
        row += [number(one["roc_auc"], 3)]
        row += [number(other[tag]["average_precision"], 3)] if other else []
        rows.append(row)
    return f"Tags of {told['ours']}; chance is the share of tracks that have the tag\n\n" + columns(
        rows
    )
