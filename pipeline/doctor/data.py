"""The recordings: can they be read, which recipes can they feed, how much will that take.

Reads: names, sizes, lists and as many headers as fit into a second; no sound. Does: plans with the
pipeline's own rules, taking lengths from the headers. Writes nothing. A header's length is not
checked against the sound, and files whose header was not read count as long as their like.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import cookbook, corpus, decode, draws, plan, schema, tracks
from pipeline.audio import codecs
from pipeline.audio.pcm import Recording, resampled_length
from pipeline.corpus import Corpus
from pipeline.decode import Decoded
from pipeline.disk import store
from pipeline.doctor.apart import Lost, apart
from pipeline.doctor.finding import BAD, NOTE, OK, Finding, size
from pipeline.errors import REASONS, MelmillError, Rejected
from pipeline.layouts import recognise as layouts
from pipeline.recipe import Recipe
from pipeline.request import Request, own_data
from pipeline.scan import Manifest, Record
from pipeline.summary import counted, span
from pipeline.walk import walk

LOOK = 1.0  # seconds spent on headers
MOST = 3  # recipes named with their size
DEMO = 2500 << 20  # bytes that the demo corpus and its recipes take (README, "Recipes")

Head = tuple[str, int, int, str, str]  # path, frames, rate, store, "" or why it is rejected


@dataclass
class Known:
    """What was found, and what it will take on the disk."""

    findings: list[Finding] = field(default_factory=list)
    need: int = 0  # bytes that are not there yet
    told: str = ""


def check(asked: Request) -> Known:
    root = Path(asked.data).resolve() if asked.data else own_data()
    if root is None:
        root = asked.artifacts / "demo"
        if not root.is_dir():
            told = "none: data/ is empty, so a run makes the demo corpus"
            do = "put recordings into data/ or say DATA=folder"
            note = Finding(NOTE, "data", told, do)
            return Known([note], DEMO, f"the demo corpus and its recipes take {size(DEMO)}")
    try:
        return _of(root, asked)
    except (MelmillError, OSError) as err:
        found, _, do = str(err).partition(". ")
        bad = Finding(BAD, "data", found, do or "look at the folder")
        return Known([bad], 0, "what this data takes is not known")


def _of(root: Path, asked: Request) -> Known:
    if not root.is_dir():
        raise MelmillError("no such folder", where=root, do="give DATA=a folder of recordings")
    found, every = walk(root)
    listing = layouts.read_listing(root, every, codecs.EXTENSIONS, asked.layout, asked.role)
    sizes = {path: mark[0] for path, mark, problem in found if not problem}
    heads, lost = _heads(root, sorted(sizes))
    known = Known([_readable(root, found, sizes, heads, lost, asked)])
    entries = {entry.path: entry for entry in listing.entries}
    records = [
        replace(record, **vars(entries[record.path]))
        for record in _records(sizes, heads)
        if record.path in entries
    ]
    if records:
        known.findings += _recipes(records, listing.layout, asked, known)
    return known


def _heads(root: Path, paths: Sequence[str]) -> tuple[dict[str, Head], str]:
    """As many headers as fit into the time, spread over the folder; "" or how a decoder died."""
    stride = 1 + len(paths) // 64
    order = [path for first in range(stride) for path in paths[first::stride]]

    def work() -> Iterator[Head]:
        until = time.monotonic() + LOOK
        for path in order:
            try:
                sound = codecs.probe(root / path)
                yield path, sound.frames or 0, sound.rate, sound.store, ""
            except Rejected as why:
                yield path, 0, 0, "", why.code
            if time.monotonic() > until:
                return

    heads: dict[str, Head] = {}
    try:
        for head in apart(work, 5 * LOOK):
            heads[head[0]] = head
    except Lost as err:
        return heads, f"{order[len(heads)]}: {err}"
    return heads, ""


def _readable(
    root: Path,
    found: Sequence[tuple[str, object, str]],
    sizes: dict[str, int],
    heads: dict[str, Head],
    lost: str,
    asked: Request,
) -> Finding:
    told = f"{root}: {counted(len(found), 'audio file')}, {size(sum(sizes.values()))}"
    if not found:
        return Finding(BAD, "data", told, "give DATA=a folder with recordings in it")
    if lost:
        return Finding(NOTE, "data", f"{told}; {lost}", "nothing: a run leaves that file out")
    shut = [path for path, _, problem in found if problem.startswith("unreadable")]
    shut += [path for path in sizes if not os.access(root / path, os.R_OK)]
    bad = Counter(why for *_, why in heads.values() if why and why != "unreadable")
    seen = len(heads) - sum(why == "unreadable" for *_, why in heads.values())
    if len(heads) < len(sizes):
        told += f", {len(heads)} headers read"
    share = 100 * max(len(shut) / len(found), sum(bad.values()) / max(1, seen))
    mark = BAD if share > asked.max_rejected else NOTE
    if shut:
        do = f"as their owner: chmod -R u+rX {root}, or leave them out of the folder"
        return Finding(mark, "data", f"{told}; {len(shut)} may not be read, {shut[0]!r}", do)
    if bad:
        why = ", ".join(f"{count} {code} ({REASONS[code]})" for code, count in bad.most_common(3))
        do = "after `make scan`, artifacts/manifest.jsonl says it of each; "
        do += "MAX_REJECTED=100 goes on" if mark == BAD else "a run leaves them out"
        return Finding(mark, "data", f"{told}; of {seen} headers: {why}", do)
    return Finding(OK, "data", told)


def _records(sizes: dict[str, int], heads: dict[str, Head]) -> Iterator[Record]:
    """Every file that may be used; one without a header is as long as the others of its suffix."""
    good = [head for head in heads.values() if not head[4]]
    pace: dict[str, list[Head]] = defaultdict(list)
    for head in good:
        pace[_suffix(head[0])].append(head)
    for number, (path, held) in enumerate(sizes.items()):
        seen = heads.get(path)
        like = pace.get(_suffix(path)) or good
        if (seen and seen[4]) or not like:
            continue
        _, frames, rate, kept, _ = seen or like[0]
        if not seen or not frames:  # MP3 may not say its length
            frames = held * sum(one[1] for one in like) // max(1, sum(sizes[o[0]] for o in like))
            frames = frames or 8 * held  # a bit of each sample: less is no music
        yield Record(path, id=f"{number:064x}", bytes=held, rate=rate, frames=frames, store=kept)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _recipes(records: list[Record], layout: str, asked: Request, known: Known) -> Iterator[Finding]:
    manifest = Manifest(layout, records)
    given = asked.splits
    supposed = Decoded(
        asked.artifacts / "pcm",
        "",
        dict.fromkeys((r.id for r in records), ""),
        {r.id: Recording(0, r.frames, r.rate, r.store, "", (i,)) for i, r in enumerate(records)},
        {},
    )  # fmt: skip  (a checksum of its own for each: none is a twin of another)
    whole = corpus.join(manifest, supposed, given)
    needs = {"pcm": decode.estimate(manifest, set())}
    lacks = {}
    for recipe in cookbook.load(asked.recipes):
        lack = plan.lacks(recipe, whole)
        if lack:
            lacks[recipe.name] = lack
        else:
            needs[recipe.name] = takes(recipe, whole)
    there = {name: min(need, _held(asked.artifacts / name)) for name, need in needs.items()}
    known.need = sum(needs.values()) - sum(there.values())
    seconds = sum(r.frames / r.rate for r in records)
    names = sorted(needs.keys() - {"pcm"}, key=lambda name: -needs[name])
    known.told = f"{span(seconds)} of sound takes about {size(needs['pcm'])} decoded"
    if names:
        most = [f"{name} {size(needs[name])}" for name in names[:MOST]] + ["..."] * (
            len(names) > MOST
        )
        bound = size(sum(needs.values()) - needs["pcm"])
        known.told += f", {counted(len(names), 'recipe')} at most {bound} ({', '.join(most)})"
    if sum(there.values()):
        known.told += f"; {size(sum(there.values()))} of it is there"
    if names:
        yield Finding(OK, "recipes", f"layout {layout}; can be made: {', '.join(sorted(names))}")
    if lacks and (asked.recipes or not names):
        told = "; ".join(f"{name} needs {lack}" for name, lack in lacks.items())
        yield Finding(BAD, "recipes", told, "ROLE=, folders or a melmill.csv say what files are")
    elif lacks:
        told = f"cannot be made of this data: {', '.join(lacks)}"
        yield Finding(NOTE, "recipes", told, "nothing: a run passes them over and says why")


def takes(recipe: Recipe, whole: Corpus) -> int:
    """Bytes of a recipe's shards at most: every window that its recordings' lengths allow."""
    records = plan.chosen(recipe, whole.used())
    count = 0
    if recipe.conversation:
        count = sum(getattr(recipe.conversation, split) for split in ("train", "valid", "test"))
    else:
        for record in records:
            length = resampled_length(record.frames, record.rate, recipe.audio.rate)
            count += plan.windows(length, recipe) + len(record.segments)
    tags = recipe.labels.top if recipe.labels.kind == "tags" else 1
    each = sum(f.nbytes for f in schema.fields(recipe, max(tags, 1))) * schema.variants(recipe)
    total = count * each * len(recipe.output.formats)
    if recipe.mix:
        noise = sum(map(len, draws.plan(recipe, whole).values()))
        total += noise * sum(f.nbytes for f in tracks.fields(tracks.samples(recipe)))
    return total


def _held(folder: Path) -> int:
    """Bytes that stand in a folder of the artifacts."""
    names = [entry for entry in os.scandir(folder) if entry.is_file()] if folder.is_dir() else []
    return sum(e.stat().st_size for e in names if not e.name.startswith(store.TEMP))
