"""Who speaks when, as rows of label frames.

Reads and writes nothing. Does: turns of speakers into a table of frames by speakers.
"""

import numpy as np

from pipeline.recipe import Recipe


def activity(
    turns: tuple[tuple[int, int, str], ...], start: int, recipe: Recipe
) -> np.ndarray | None:
    """(frames, speakers) uint8: 1 where a speaker talks for at least half of the frame.

    Speakers stand in the order of their first turn; None when there are too many.
    """
    frame, count = recipe.labels.frame, recipe.window.samples // recipe.labels.frame
    talking = columns(turns, start, recipe)
    if len(talking) > recipe.labels.speakers:
        return None
    table = np.zeros((count, recipe.labels.speakers), np.uint8)
    for column, overlap in enumerate(talking.values()):
        table[:, column] = 2 * overlap >= frame
    return table


def columns(
    turns: tuple[tuple[int, int, str], ...], start: int, recipe: Recipe
) -> dict[str, np.ndarray]:
    """Who talks in a window -> samples of each frame, in the order of their columns."""
    frame, count = recipe.labels.frame, recipe.window.samples // recipe.labels.frame
    edges = start + frame * np.arange(count)
    talking: dict[str, np.ndarray] = {}
    for low, high, who in _joined(turns):
        overlap = np.clip(np.minimum(high, edges + frame) - np.maximum(low, edges), 0, frame)
        if overlap.any():
            talking[who] = talking.get(who, 0) + overlap
    return talking


def _joined(turns: tuple[tuple[int, int, str], ...]) -> list[tuple[int, int, str]]:
    """The turns in time, with those of one speaker that overlap made one: nobody talks twice."""
    last: dict[str, int] = {}  # speaker -> place of the latest turn
    found: list[tuple[int, int, str]] = []
    for low, high, who in sorted(turns):
        at = last.get(who)
        if at is not None and low <= found[at][1]:
            found[at] = (found[at][0], max(found[at][1], high), who)
        else:
            last[who] = len(found)
            found.append((low, high, who))
    return found
