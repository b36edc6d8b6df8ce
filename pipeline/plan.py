"""Which examples a recipe makes of a corpus, and in which shard each stands.

Reads and writes no files. Does: chooses recordings, cuts windows, draws a noise for every mixture,
groups all of it into tasks of one shard each. A task's key holds everything that decides its bytes.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pipeline import buckets, casts, draws, schema, turns
from pipeline.audio.pcm import resampled_length
from pipeline.corpus import Corpus, group
from pipeline.disk import store
from pipeline.items import Item, Task
from pipeline.keys import versions
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Recipe
from pipeline.scan import Record
from pipeline.tracks import Draw, Track

NOBODY: turns.Guessed = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    classes: tuple[str, ...]
    tags: tuple[str, ...]
    noise: dict[str, list[Track]]  # split -> tracks in the order of their ids
    tasks: list[Task]
    used: Counter[str] = field(default_factory=Counter)  # files per split
    skipped: Counter[str] = field(default_factory=Counter)  # examples that cannot be, and why
    generated: int = 0  # files whose labels were guessed


def lacks(recipe: Recipe, corpus: Corpus) -> str:
    """What the data does not have for this recipe; empty when it can be built."""
    used = corpus.used()
    roles = " or ".join(recipe.select.roles)
    if not any(r.role in recipe.select.roles for r in used):
        have = Counter(r.role for r in used)
        return f"recordings with role {roles}; here: " + (
            ", ".join(f"{n} {role}" for role, n in have.most_common()) or "none"
        )
    mine = chosen(recipe, used)
    if not mine:
        return f"recordings with role {roles} and known {recipe.select.needs}"
    classes = _classes(mine)
    if recipe.labels.kind == "class" and len(classes) < 2:
        return f"two classes or more; here: {', '.join(classes)}"
    if recipe.conversation:
        return casts.lacks(recipe, mine, corpus)
    if recipe.mix and "ambient" in recipe.mix.noises and not any(r.role == "noise" for r in used):
        return "recordings with role noise, for ambient noise"
    return ""


def chosen(recipe: Recipe, records: Sequence[Record]) -> list[Record]:
    tests = {
        "none": lambda r: True,
        "label": lambda r: bool(_labels(r)),
        "tags": lambda r: bool(r.tags),
        "speakers": lambda r: turns.given(r) or turns.guessed(r, recipe),
    }
    fits = tests[recipe.select.needs]
    return [r for r in records if r.role in recipe.select.roles and fits(r)]


def plan(recipe: Recipe, corpus: Corpus, known: turns.Guessed = NOBODY) -> Plan:
    """`known`: who speaks in the recordings that do not say so."""
    records = chosen(recipe, corpus.used())
    classes = _classes(records)
    tags = _frequent(records, recipe.labels.top) if recipe.labels.kind == "tags" else ()
    noise = draws.plan(recipe, corpus) if recipe.mix else {}
    tasks = []
    skipped: Counter[str] = Counter()
    for split in SPLITS:
        mine = [r for r in records if corpus.split(r) == split]
        if recipe.conversation:
            items = casts.conversations(split, mine, recipe, corpus, noise[split])
            missing = getattr(recipe.conversation, split) - len(items)
            skipped += Counter({f"one_speaker_in_{split}": missing})
        else:
            items = [i for r in mine for i in _items(r, recipe, corpus, classes, tags, known)]
            if recipe.mix:
                table = draws.Table(noise[split], recipe)
                items = [replace(i, draws=_drawn(i, table, recipe)) for i in items]
        tasks += list(_tasks(split, items, recipe, noise.get(split, []), len(tags)))
        if recipe.conversation:  # each has one noise: others need not be stored
            heard = {draw.track for item in items for per in item.draws for draw in per}
            noise[split] = [track for place, track in enumerate(noise[split]) if place in heard]
    used = Counter(corpus.split(r) for r in records)
    count = sum(turns.guessed(r, recipe) for r in records)
    return Plan(recipe, classes, tags, noise, tasks, used, skipped, count)


def _classes(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(sorted({name for r in records for name in _labels(r)}))


def _labels(record: Record) -> list[str]:
    if record.segment_kind == "label":
        return [name for _, _, name in record.segments if name]
    return [record.label] if record.label else []


def _frequent(records: Sequence[Record], top: int) -> tuple[str, ...]:
    counts = Counter(tag for r in records for tag in r.tags)
    return tuple(sorted(sorted(counts, key=lambda tag: (-counts[tag], tag))[:top]))


def _items(
    record: Record,
    recipe: Recipe,
    corpus: Corpus,
    classes: Sequence[str],
    tags: Sequence[str],
    known: turns.Guessed,
) -> Iterator[Item]:
    rate = recipe.audio.rate
    recording = corpus.decoded.recordings[record.id]
    whole = resampled_length(recording.frames, recording.rate, rate)
    stretches = [(0, whole, record.label)]
    if record.segment_kind == "label":
        rows = record.segments
        stretches = [(round(a * rate), min(round(b * rate), whole), name) for a, b, name in rows]
    base = Item(
        id=record.id,
        pack=corpus.decoded.packs[record.id],
        begin=0,
        length=0,
        first=0,
        count=0,
        group=draws.number(group(record)),
        fold=-1 if record.fold is None else record.fold,
        tags=tuple(tags.index(t) for t in record.tags if t in tags),
        turns=turns.of(record, recipe, known) if recipe.labels.kind == "activity" else (),
        generated=turns.guessed(record, recipe),
    )
    for begin, stop, name in stretches:
        count = windows(stop - begin, recipe)
        if count and (name or recipe.labels.kind != "class"):
            label = classes.index(name) if recipe.labels.kind == "class" else -1
            yield replace(base, begin=begin, length=stop - begin, count=count, label=label)


def windows(length: int, recipe: Recipe) -> int:
    """Windows in a stretch: the first always, a later one if it is filled well enough."""
    w = recipe.window
    if length < 1:
        return 0
    if w.edges == "recording":  # a frame stands on every hop, sample 0 included
        hop = recipe.features[next(iter(recipe.features))].hop
        length = (1 + length // hop) * hop
    enough = max(1, math.ceil(round(w.min_fill * w.samples, 6)))  # 0.07 * 100 is 7, not 7 + 1e-15
    count = 1 + max(0, length - enough) // w.hop
    return min(count, w.most) if w.most else count


def _drawn(item: Item, table: draws.Table, recipe: Recipe) -> tuple[tuple[Draw, ...], ...]:
    starts = [item.begin + (item.first + k) * recipe.window.hop for k in range(item.count)]
    return tuple(table.draw(item.id, start, item.group) for start in starts)


def _tasks(
    split: str, items: Sequence[Item], recipe: Recipe, noise: Sequence[Track], tags: int
) -> Iterator[Task]:
    size = sum(f.nbytes for f in schema.fields(recipe, max(tags, 1))) * schema.variants(recipe)
    most = max(1, (recipe.output.shard_mb << 20) // size)  # windows in one shard
    groups = buckets.partition(items, most, lambda i: i.id, lambda i: i.count)
    for bits, together in groups.items():
        for part, mine in enumerate(_parts(together, most, recipe)):
            yield _task(f"{split}-{bits}-{part}", split, mine, recipe, noise, tags)


def noise_groups(tracks: Sequence[Track], recipe: Recipe) -> dict[str, list[Track]]:
    """The noise tracks of one split, one group a shard."""
    size = 4 * max((t.length for t in tracks), default=1)  # bytes, float32
    most = max(1, (recipe.output.shard_mb << 20) // size)
    return buckets.partition(tracks, most, lambda t: t.id, lambda _: 1)


def _parts(items: Sequence[Item], most: int, recipe: Recipe) -> Iterator[list[Item]]:
    """Cut a group that one shard cannot hold (one long recording) into several."""
    part: list[Item] = []
    room = most
    for item in items:
        at = 0
        while at < item.count:
            take = min(room, item.count - at)
            draws = item.draws[at : at + take]
            stretch = replace(item, first=item.first + at, count=take, draws=draws)
            part.append(replace(stretch, turns=_near(stretch, recipe)))
            at += take
            room -= take
            if room == 0:
                yield part
                part, room = [], most
    if part:
        yield part


def _near(item: Item, recipe: Recipe) -> tuple[tuple[int, int, str], ...]:
    """The turns that reach into the item's windows."""
    low = item.begin + item.first * recipe.window.hop
    high = low + (item.count - 1) * recipe.window.hop + recipe.window.samples
    return tuple(turn for turn in item.turns if turn[0] < high and turn[1] > low)


def _task(
    name: str, split: str, items: list[Item], recipe: Recipe, noise: Sequence[Track], tags: int
) -> Task:
    pointed = sorted({d.track for i in items for per in i.draws for d in per if d.track >= 0})
    place = {track: i for i, track in enumerate(pointed)}
    local = tuple(
        replace(
            item,
            draws=tuple(
                tuple(replace(d, track=place.get(d.track, -1)) for d in per) for per in item.draws
            ),
        )
        for item in items
    )
    mine = tuple(noise[i] for i in pointed)
    content = [[*_content(item)] for item in local]
    key = store.digest([recipe.numbers(), tags, content, [t.id for t in mine], versions(recipe)])
    seconds = sum(i.count * recipe.window.hop for i in items) / recipe.audio.rate
    return Task(name, key, split, local, mine, seconds)


def _content(item: Item) -> Iterator[Any]:
    """What of an item decides bytes: not the pack it happens to lie in."""
    for name, value in vars(item).items():
        if name == "draws":
            yield [[asdict(d) for d in per] for per in value]
        elif name == "talk":
            yield casts.content(value) if value else []
        elif name != "pack":
            yield value
