"""What a diarizer has to beat: answers that listen to nothing.

Reads and writes nothing: it is given how long a recording is, or the truth. Does: says that one
speaker speaks all the time; the same for when anybody speaks, which no system is told; and draws
turns, of which a seed decides.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from training.diarizer.rttm import Turn

EVERYTHING, SPEECH, RANDOM = "one speaker", "one speaker, told when", "random turns"
NAMES = (EVERYTHING, SPEECH, RANDOM)
SPEAKERS = (2, 4)  # least and most that are drawn
MEAN = 3.0  # seconds of a drawn turn
PAUSE = 0.5  # seconds between two of them
LEAST = 0.2  # seconds


def everything(seconds: float) -> list[Turn]:
    """One speaker from begin to end."""
    return [Turn(0.0, seconds, "1")] if seconds > 0 else []


def speech(truth: Sequence[Turn]) -> list[Turn]:
    """One speaker wherever the truth has any: nothing is missed but who speaks at the same time."""
    found: list[Turn] = []
    for turn in sorted(truth):
        if found and turn.start <= found[-1].end:
            found[-1] = Turn(found[-1].start, max(found[-1].end, turn.end), "1")
        else:
            found.append(Turn(turn.start, turn.end, "1"))
    return found


def random(seconds: float, seed: int = 0) -> list[Turn]:
    """Turns of as many speakers as SPEAKERS allows, one after another, never the same one twice."""
    draw = np.random.Generator(np.random.Philox(seed))
    count = int(draw.integers(SPEAKERS[0], SPEAKERS[1] + 1))
    found: list[Turn] = []
    at, who = float(draw.exponential(PAUSE)), int(draw.integers(count))
    while at < seconds:
        end = min(seconds, at + LEAST + float(draw.exponential(MEAN - LEAST)))
        found.append(Turn(at, end, str(who + 1)))
        at = end + float(draw.exponential(PAUSE))
        who = (who + int(draw.integers(1, count))) % count
    return found


def baselines(
    recording: str, seconds: float, truth: Sequence[Turn], seed: int = 0
) -> dict[str, list[Turn]]:
    """Name -> turns. Another recording's name draws other turns."""
    drawn = seed + zlib.crc32(recording.encode())
    return {
        EVERYTHING: everything(seconds),
        SPEECH: speech(truth),
        RANDOM: random(seconds, drawn),
    }
