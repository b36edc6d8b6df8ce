"""Who speaks in a recording, given or guessed.

Reads and writes nothing. Does: says which recordings have to be guessed, and names speakers: where
the recipe stores voices, by a number that is the same in every window and recording that knows the
speaker by that name. Guessed names are true within their recording alone, so its id is part of
them.
"""

from collections.abc import Mapping, Sequence

from pipeline import draws
from pipeline.corpus import group
from pipeline.recipe import Recipe
from pipeline.scan import Record

Guessed = Mapping[str, Sequence[tuple[int, int, int]]]  # id -> start and stop in samples, speaker
Turns = tuple[tuple[int, int, str], ...]


def given(record: Record) -> bool:
    """Whether somebody says who speaks when, be it that nobody does."""
    return record.segment_kind == "speaker"


def guessed(record: Record, recipe: Recipe) -> bool:
    """Whether a recording's turns are to be made: nothing is known of it but that it is used."""
    bare = not (record.label or record.tags or record.segments or record.segment_kind)
    return recipe.labels.generate and record.role == "labelled" and bare


def of(record: Record, recipe: Recipe, known: Guessed) -> Turns:
    """The turns in samples at the recipe's rate."""
    rate = recipe.audio.rate
    names = [group(record)]
    rows = [(round(a * rate), round(b * rate), who) for a, b, who in record.segments]
    if guessed(record, recipe):
        names.append(record.id)
        rows = [(a, b, str(who)) for a, b, who in known[record.id]]
    if "voices" not in recipe.output.fields:
        return tuple(rows)
    return tuple((a, b, str(draws.number("\x1f".join([*names, who])))) for a, b, who in rows)
