"""The card of a trained hybrid.

Reads and writes nothing: it is given what a run holds and returns Markdown.
"""

from collections.abc import Mapping

from training.cards import Facts
from training.classes import card as shared
from training.classes.summary import Summary
from training.hybrid.ablation import WORDS, ablation
from training.hybrid.profiles import VARIANTS


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
    rate, (branches, _) = config["heard"]["audio"]["rate"], VARIANTS[config["variant"]]
    vector = f"as a vector of {len(config['mean'])} handcrafted numbers"
    ways = {"wave": "as samples", "vector": vector}
    about = (
        f"# Hybrid classifier `{name}`\n\n"
        f"Says which of {len(config['classes'])} kinds of sound a recording is: `{config['net']}`, "
        f"{WORDS[config['variant']]}. It hears {config['samples'] / rate:.1f} s at {rate} Hz at a "
        f"time, {' and '.join(ways[each] for each in branches)}.{shared.costs(told)}\n\n"
        f"Classes: {', '.join(config['classes'])}."
    )
    for recipe, one in told.items():
        more = ablation(one)
        about += f"\n\nOn {recipe}:\n\n```\n{more}\n```" if more else ""
    return shared.card(about, facts, told, name, exports, counts or {}, day)
