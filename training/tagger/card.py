"""The card of a trained tagger: what it is, how to use it, what it was measured to miss.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

import datetime
from collections.abc import Mapping

from training.cards import Facts, configuration, data_grid, files, measured, versions
from training.tagger.summary import Summary, ordered
from training.tagger.table import FEW, table

ABOUT = {
    "musicnn": "MusicNN as it was published (Pons and Serra 2019)",
    "musicnn-small": "MusicNN with a sixth of its filters",
}
LONG = ("tags", "heard")  # keys of a configuration, told elsewhere
SMALL = 20  # test tracks with a tag, below which its numbers are rough
WEAK = 0.1  # average precision above chance, below which a tag is not known
NAMED = 8


def card(
    facts: Facts,
    told: Mapping[str, Summary],
    name: str,
    exports: Facts | None = None,
    counts: Mapping[str, Facts] | None = None,
    day: str = "",
) -> str:
    """`MODEL.md` of the run `name`.

    `facts` is its config.json, `told` recipe -> summary of its evaluation, `exports` what `export`
    returned, `counts` recipe -> the index's counts, `day` of the card (today).
    """
    config = {key: value for key, value in facts["config"].items() if key not in LONG}
    parts = [
        _about(facts["config"], told, name),
        _use(name, exports),
        _data(facts, told, counts or {}),
        configuration(config),
        measured({recipe: table(one) for recipe, one in told.items()}),
        _limits(facts["config"], told),
        versions(facts, name, day or datetime.date.today().isoformat()),
    ]
    return "\n\n".join(parts) + "\n"


def _about(config: Facts, told: Mapping[str, Summary], name: str) -> str:
    rate = config["heard"]["audio"]["rate"]
    seconds = config["heard"]["window"]["samples"] / rate
    text = (
        f"# Music tagger `{name}`\n\n"
        f"Says which of {len(config['tags'])} tags a track has, and when: `{config['net']}`, "
        f"{ABOUT[config['net']]}. It hears {seconds:.1f} s at {rate} Hz at a time, as log-mel "
        "spectra; a track is the mean of its patches."
    )
    if published := config.get("published"):
        text += (
            f" Its weights are the published ones of {published}, by Jordi Pons and the Music "
            "Technology Group of Universitat Pompeu Fabra, under the ISC licence."
        )
    for one in told.values():
        own = one["systems"][one["ours"]]
        if own["parameters"]:
            text += f" {own['parameters'] / 1e6:.3g} M parameters"
            text += f"; a patch takes one core {own['ms']:.1f} ms." if own["ms"] else "."
            break
    return f"{text}\n\nTags: {', '.join(config['tags'])}."


def _use(name: str, exports: Facts | None) -> str:
    text = (
        "## Use\n\n"
        f"    make tag RUN={name} IN=track.mp3\n\n"
        "takes a file or a folder, of any rate and number of channels, prints the likeliest tags "
        "of each track, and writes its tags over time as JSON and PNG."
    )
    return f"{text}\n\n{files(name, exports)}"


def _data(facts: Facts, told: Mapping[str, Summary], counts: Mapping[str, Facts]) -> str:
    if not facts["data"]:
        return "## Data\n\nIt was not trained here."
    heard = {
        recipe: f"{one['tracks']} tracks, {one['groups']} groups" for recipe, one in told.items()
    }
    return (
        f"## Data\n\n{data_grid(facts, heard, counts)}\n\n"
        "No track, and no other one of its group (its artist), is on two sides: the net has never "
        "heard what it is measured on, nor anything of the same artist."
    )


def _limits(config: Facts, told: Mapping[str, Summary]) -> str:
    half = config["heard"]["audio"]["rate"] // 2
    lines = [
        f"- It knows its {len(config['tags'])} tags and no others, and has an answer for each "
        "whatever it hears.",
        "- A tag that nobody gave to a track counts as wrong, though it may be true.",
        f"- What lies above {half} Hz is not heard.",
    ]
    for recipe, one in told.items():
        lines += [f"- {recipe}: {line}" for line in _weak(one)]
    return "## Limits\n\n" + "\n".join(lines)


def _weak(one: Summary) -> list[str]:
    """What it was measured to be bad at."""
    own = one["systems"][one["ours"]]["tags"]
    known = {tag: row for tag, row in own.items() if row["average_precision"] is not None}
    above = {
        tag: row["average_precision"] - row["tracks"] / one["tracks"] for tag, row in known.items()
    }
    bad = sorted((tag for tag in above if above[tag] < WEAK), key=lambda tag: above[tag])
    lines = []
    if bad:
        named = ", ".join(bad[:NAMED])
        lines.append(
            f"{len(bad)} of {len(own)} tags are hardly told better than by chance: {named}."
        )
    if len(known) < len(own):
        none = ", ".join([tag for tag in own if tag not in known][:NAMED])
        lines.append(f"not measured, as all test tracks have them or none: {none}.")
    small = sum(row["tracks"] < SMALL for row in known.values())
    if small:
        lines.append(
            f"{small} of {len(known)} tags have fewer than {SMALL} test tracks: one track more or "
            "less moves their numbers by several points."
        )
    if one["groups"] < FEW:
        lines.append(f"measured on {one['groups']} groups only: its intervals are rough.")
    return lines + _behind(one)


def _behind(one: Summary) -> list[str]:
    """Others that it is not ahead of for certain."""
    level = []
    for name in ordered(one)[1:]:
        gap = one["ahead"][name]["pr_auc"]
        if gap["low"] is None or gap["low"] <= 0:
            level.append(f"{name} ({gap['mean']:+.3f})")
    return [f"not ahead for certain, by PR-AUC, of: {', '.join(level)}."] if level else []
