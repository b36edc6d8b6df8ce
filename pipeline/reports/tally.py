"""What the examples of a recipe are: how many of each kind, how far off, and which to show.

Reads: the small fields of every shard, one shard after another. Does: counts, and keeps a few
examples of each kind: the kind is a class, a tag, a noise level or a number of speakers. Writes
nothing. What is kept does not grow with the number of examples.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline import rng
from pipeline.layouts.splits import SPLITS
from pipeline.progress import Progress
from pipeline.reports.shelves import Arrays, Shelf

KEPT = 3  # examples of one kind that are kept to choose from
MOST = 12  # kinds of which examples are shown
WANTED = 6  # examples on a page where there are fewer kinds
DOTS = 64  # mixtures of one value that are drawn
Kind = tuple[int, int]  # (what the page shows some of, what should differ among those)


@dataclass(order=True, frozen=True)
class Pick:
    """An example that may be shown: the lowest of its kind is taken first."""

    padded: bool
    draw: int  # a hash of what it is, so that no place in a shard is preferred
    stem: str
    row: int
    file: Mapping[str, Any] = field(compare=False)
    source: bytes = field(compare=False)


@dataclass
class Mixtures:
    """Requested and achieved, dB. The dots are those with the lowest of random numbers."""

    count: int = 0
    worst: float = 0.0
    dots: dict[float, np.ndarray] = field(default_factory=dict)  # (3, n): number, asked, got

    def add(self, asked: np.ndarray, got: np.ndarray, value: np.ndarray) -> None:
        self.worst = max(self.worst, float(np.abs(got - asked).max(initial=0.0)))
        random = rng.stream(0, "dots", self.count).random(len(asked))
        self.count += len(asked)
        for one in np.unique(value):
            mine = value == one
            new = np.stack([random[mine], asked[mine], got[mine]])
            old = self.dots.get(float(one), np.zeros((3, 0)))
            both = np.concatenate([old, new], axis=1)
            self.dots[float(one)] = both[:, np.argsort(both[0], kind="stable")[:DOTS]]


@dataclass
class Tally:
    """What was counted. Keys are (kind, split)."""

    examples: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    noises: Counter[tuple[str, str]] = field(default_factory=Counter)
    at_once: Counter[tuple[int, str]] = field(default_factory=Counter)  # label frames
    mixtures: Mixtures = field(default_factory=Mixtures)
    picks: dict[Kind, list[Pick]] = field(default_factory=lambda: defaultdict(list))


def tally(shelf: Shelf) -> Tally:
    """Read every shard once."""
    found = Tally()
    files = shelf.files()
    with Progress(f"report {shelf.recipe.name}", len(files), "shard") as bar:
        for file, arrays in shelf.small():
            if arrays:
                _count(found, arrays, shelf, file["split"])
                _keep(found, arrays, shelf, file)
            bar.step()
    return found


def _count(found: Tally, arrays: Arrays, shelf: Shelf, split: str) -> None:
    found.examples[split] += len(arrays["source"])
    index = shelf.index
    if "label" in arrays:
        for number, times in _times(arrays["label"]):
            found.labels[index["classes"][number], split] += times
    if "tags" in arrays:
        for tag, times in zip(index["tags"], arrays["tags"].sum(axis=0, dtype=int), strict=False):
            found.labels[tag, split] += int(times)
    if "activity" in arrays:
        for number, times in _times(talking(arrays["activity"])):
            found.labels[f"{number} speaker{'' if number == 1 else 's'}", split] += times
        for number, times in _times(arrays["activity"].sum(axis=2)):
            found.at_once[number, split] += times
    if "noise_kind" in arrays:
        mixed = arrays["noise_kind"] >= 0
        for number, times in _times(arrays["noise_kind"][mixed]):
            found.noises[index["noises"][number], split] += times
        asked, got = (arrays[n][mixed].astype(np.float64) for n in ("requested", "achieved"))
        value = asked
        if shelf.recipe.mix and shelf.recipe.mix.kind == "level":  # turned down with the clean
            asked = 20 * np.log10(asked * arrays["gain"][mixed])
            got = 20 * np.log10(np.maximum(got, 1e-12))
        found.mixtures.add(asked, got, value)


def _times(values: np.ndarray) -> Iterator[tuple[int, int]]:
    for number, times in zip(*np.unique(values, return_counts=True), strict=True):
        yield int(number), int(times)


def talking(activity: np.ndarray) -> np.ndarray:
    """How many speak at all in each example."""
    found: np.ndarray = activity.any(axis=1).sum(axis=1)
    return found


def _keep(found: Tally, arrays: Arrays, shelf: Shelf, file: Mapping[str, Any]) -> None:
    stem, full = file["path"], shelf.recipe.window.samples
    starts = zip(arrays["source"].tolist(), arrays["start"].tolist(), strict=True)
    for row, (source, start) in enumerate(starts):
        padded = int(arrays["valid"][row]) < full
        for kind in _kinds(arrays, row, shelf, file["split"]):
            draw = zlib.crc32(source + repr((start, kind)).encode())
            kept = found.picks[kind]
            if len(kept) < KEPT or (padded, draw) < (kept[-1].padded, kept[-1].draw):
                kept.append(Pick(padded, draw, stem, row, file, source))
                kept.sort()
                del kept[KEPT:]


def _kinds(arrays: Arrays, row: int, shelf: Shelf, split: str) -> list[Kind]:
    """What an example is one of."""
    place = SPLITS.index(split)
    if "requested" in arrays and shelf.recipe.mix:
        asked, noise = np.atleast_1d(arrays["requested"][row]), arrays["noise_kind"][row]
        values = np.array(shelf.recipe.mix.values, np.float32)
        other = np.atleast_1d(noise)
        if "activity" in arrays:
            other = talking(arrays["activity"][row : row + 1])
        return [(int(np.argmin(abs(values - a))), int(o)) for a, o in zip(asked, other, strict=True)
                if o >= 0]  # fmt: skip
    if "label" in arrays:
        return [(int(arrays["label"][row]), place)]
    if "tags" in arrays:
        return [(int(tag), place) for tag in np.flatnonzero(arrays["tags"][row])]
    if "activity" in arrays:
        return [(int(talking(arrays["activity"][row : row + 1])[0]), place)]
    return [(place, 0)]


def shown(found: Tally, order: Sequence[int]) -> list[tuple[int, Pick]]:
    """The examples of the page, those of `order` first: of each kind at least one, unlike in what
    else there is to differ, of other recordings where that can be."""
    there = {main for main, _ in found.picks}
    mains = sorted([m for m in order if m in there][:MOST])
    each = min(KEPT, max(1, WANTED // max(1, len(mains))))
    taken: list[tuple[int, Pick]] = []
    used: Counter[int] = Counter()
    sources: set[bytes] = set()
    for main in mains:
        for _ in range(each):
            free = [
                (used[other], pick.source in sources, pick, other)
                for (m, other), picks in found.picks.items()
                for pick in picks
                if m == main and (main, pick) not in taken
            ]
            if free:
                *_, pick, other = min(free)
                used[other] += 1
                sources.add(pick.source)
                taken.append((main, pick))
    return taken
