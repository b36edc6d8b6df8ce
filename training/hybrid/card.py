"""The card of a trained hybrid.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

from collections.abc import Mapping

from training.cards import Facts
from training.classes import card as shared
from training.classes.summary import Summary
from training.hybrid.ablation import WORDS, ablation

LONG = ("mean", "deviation", "classes", "heard")  # keys of a configuration, told elsewhere


def card(
    facts: Facts,
    told: Mapping[str, Summary],
    name: str,
    exports: Facts | None = None,
    counts: Mapping[str, Facts] | None = None,
    day: str = "",
) -> str:
    """`MODEL.md` of the run `name`."""
    config = facts["config"]
    rate = config["heard"]["audio"]["rate"]
    about = (
        f"# Hybrid classifier `{name}`\n\n"
        f"Says which of {len(config['classes'])} kinds of sound a recording is: `{config['net']}`, "
        f"{WORDS[config['variant']]}. It hears {config['samples'] / rate:.1f} s at {rate} Hz at a "
        f"time, as samples and as a vector of {len(config['mean'])} handcrafted "
        f"numbers.{shared.costs(told)}\n\nClasses: {', '.join(config['classes'])}."
    )
    for recipe, one in told.items():
        about += f"\n\nOn {recipe}:\n\n```\n{ablation(one)}\n```"
    return shared.card(about, LONG, facts, told, name, exports, counts or {}, day)
