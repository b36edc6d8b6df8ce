"""The card of a trained classifier: how to use it, what it learnt from, what it mistakes.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

import datetime
from collections.abc import Mapping

from training.cards import Facts, configuration, data_grid, files, measured, versions
from training.classes.summary import Summary, confusions, ordered
from training.classes.table import FEW, table

SMALL = 30  # test clips of a class, below which its numbers are rough
WEAK = 0.5  # F1, below which a class is not known
CONFUSED = 0.1  # of a class' clips, from which a confusion is told
NAMED = 5
LONG = ("mean", "deviation", "classes", "heard")  # keys of a configuration, told elsewhere
OFF = 0.05  # expected calibration error, from which probabilities are not to be taken at their word


def card(
    about: str,
    facts: Facts,
    told: Mapping[str, Summary],
    name: str,
    exports: Facts | None,
    counts: Mapping[str, Facts],
    day: str,
) -> str:
    """`MODEL.md` of the run `name` of any kind of classifier.

    `about` is what it is, `facts` its config.json, `told` recipe -> summary of its evaluation,
    `exports` what `export` returned, `counts` recipe -> the index's counts, `day` of the card
    (today).
    """
    config = {key: value for key, value in facts["config"].items() if key not in LONG}
    parts = [
        about,
        _use(name, exports),
        _data(facts, told, counts),
        configuration(config),
        measured({recipe: table(one) for recipe, one in told.items()}),
        _limits(facts["config"], told),
        versions(facts, name, day or datetime.date.today().isoformat()),
    ]
    return "\n\n".join(parts) + "\n"


def costs(told: Mapping[str, Summary]) -> str:
    """Its size and speed, as they were measured first."""
    for one in told.values():
        own = one["systems"][one["ours"]]
        if own["parameters"]:
            speed = f"; a clip takes one core {own['ms']:.1f} ms" if own["ms"] else ""
            return f" {own['parameters'] / 1e6:.3g} M parameters{speed}."
    return ""


def _use(name: str, exports: Facts | None) -> str:
    text = (
        "## Use\n\n"
        f"    make classify RUN={name} IN=sound.wav\n\n"
        "takes a file or a folder, of any rate and number of channels, and prints the likeliest "
        "classes of each file, and the first one of each span of seconds."
    )
    return f"{text}\n\n{files(name, exports)}"


def _data(facts: Facts, told: Mapping[str, Summary], counts: Mapping[str, Facts]) -> str:
    heard = {
        recipe: f"{one['examples']} clips, {one['groups']} groups" for recipe, one in told.items()
    }
    fold = facts["config"]["fold"]
    part = f"This is fold {fold[0]} of {fold[1]}, made of all splits together. " if fold else ""
    return (
        f"## Data\n\n{data_grid(facts, heard, counts)}\n\n{part}"
        "No recording, and no other one of its group (its source), is on two sides: the net has "
        "never heard what it is measured on, nor anything of the same source."
    )


def _limits(config: Facts, told: Mapping[str, Summary]) -> str:
    half = config["heard"]["audio"]["rate"] // 2
    lines = [
        f"- It always names one of its {len(config['classes'])} classes, whatever it hears.",
        "- Of several sounds at once it knows one; it was taught clips of one class each.",
        f"- What lies above {half} Hz is not heard.",
    ]
    for recipe, one in told.items():
        lines += [f"- {recipe}: {line}" for line in _weak(one)]
    return "## Limits\n\n" + "\n".join(lines)


def _weak(one: Summary) -> list[str]:
    """What it was measured to be bad at."""
    own = one["systems"][one["ours"]]
    known = {name: held for name, held in own["classes"].items() if held["examples"]}
    worst = sorted(known, key=lambda name: known[name]["f1"])[:NAMED]
    weak = [f"{name} ({100 * known[name]['f1']:.0f} %)" for name in worst]
    bad = [name for name, held in known.items() if held["f1"] < WEAK]
    lines = [f"the weakest classes, by F1: {', '.join(weak)}."]
    if bad:
        lines.append(f"{len(bad)} of {len(known)} classes are below an F1 of {100 * WEAK:.0f} %.")
    often = [row for row in confusions(one) if row["clips"] >= max(2, CONFUSED * row["of"])][:NAMED]
    if often:
        each = [
            f"{row['truth']} for {row['answer']} ({row['clips']} of {row['of']})" for row in often
        ]
        lines.append(f"mistaken most often: {', '.join(each)}.")
    return [*lines, *_sure(own), *_few(one, known), *_behind(one)]


def _sure(own: Summary) -> list[str]:
    if own["ece"] < OFF:
        return []
    held = [bin for bin in own["bins"] if bin["examples"]]
    gap = sum(bin["examples"] * (bin["confidence"] - bin["accuracy"]) for bin in held)
    much = "surer than it is right" if gap > 0 else "right more often than it is sure"
    return [f"its probabilities are {100 * own['ece']:.0f} points off on average: it is {much}."]


def _few(one: Summary, known: Mapping[str, Facts]) -> list[str]:
    small = [name for name, held in known.items() if held["examples"] < SMALL]
    none = [name for name in one["classes"] if name not in known]
    lines = []
    if one["groups"] < FEW:
        lines.append(f"measured on {one['groups']} groups only: its intervals are rough.")
    largest = one.get("largest") or 0  # not told by older evaluations
    if largest > one["examples"] / 2:
        lines.append(
            f"{largest} of the {one['examples']} test clips are of one recording: its numbers say "
            "how it does on that one before all else."
        )
    if small:
        lines.append(
            f"{len(small)} of {len(known)} classes have fewer than {SMALL} test clips: one clip "
            "more or less moves their numbers by several points."
        )
    if none:
        lines.append(f"not measured, having no test clips: {', '.join(none)}.")
    return lines


def _behind(one: Summary) -> list[str]:
    """Others that it is not ahead of for certain."""
    level = []
    for name in ordered(one)[1:]:
        gap = one["ahead"][name]["macro_f1"]
        if gap["low"] is None or gap["low"] <= 0:
            level.append(f"{name} ({100 * gap['mean']:+.1f} points)")
    return [f"not ahead for certain, by macro-F1, of: {', '.join(level)}."] if level else []
