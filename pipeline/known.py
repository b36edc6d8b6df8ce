"""What is known of an example without hearing it.

Reads and writes nothing. Does: labels one window of an item: whose recording it is and where it
begins, its class or tags, or who speaks when in it.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.dsp.activity import activity, columns
from pipeline.items import Item
from pipeline.recipe import Recipe


def known(item: Item, start: int, valid: int, recipe: Recipe, tags: int) -> dict[str, Any] | None:
    """The fields of the window that begins at `start`; None when its labels do not fit."""
    fields = set(recipe.output.fields)
    found: dict[str, Any] = {
        "source": item.id[:32].encode(),
        "group": item.group,
        "fold": item.fold,
        "start": start,
        "valid": valid,
    }
    if "label" in fields:
        found["label"] = item.label
    if "tags" in fields:
        found["tags"] = np.isin(np.arange(tags), item.tags)
    if fields & {"activity", "voices", "generated"}:
        table = activity(item.turns, start, recipe)
        if table is None:
            return None
        told: dict[str, Any] = {"activity": table, "generated": item.generated}
        if "voices" in fields:
            told["voices"] = _voices(columns(item.turns, start, recipe), item, recipe)
        found |= {name: value for name, value in told.items() if name in fields}
    return found


def _voices(talking: Iterable[str], item: Item, recipe: Recipe) -> list[int]:
    """The number of each column's voice, 0 where there is nobody. In turns that are stored with
    voices, speakers are named by number: by that of a voice in Item.talk or, in recordings, by
    the voice's own (turns.py)."""
    names = [int(who) for who in talking]
    if item.talk:
        names = [item.talk.voices[place].id for place in names]
    return names + [0] * (recipe.labels.speakers - len(names))
