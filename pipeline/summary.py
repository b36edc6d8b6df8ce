"""What came of a run, in a few lines for a person.

Reads and writes nothing. Does: turns the counts of a corpus and of what was built into text.
"""

from pathlib import Path

from pipeline.build import Built
from pipeline.corpus import Corpus, group
from pipeline.layouts.splits import SPLITS
from pipeline.scan import Manifest


def scanned(manifest: Manifest, root: Path) -> str:
    """What the folder holds."""
    used = manifest.used()
    length = span(sum(r.frames / r.rate for r in used))
    return (
        f"scan: {counted(len(manifest.records), 'audio file')} in {root} (layout "
        f"{manifest.layout}), {len(used)} usable ({length}), "
        f"{counted(manifest.ignored, 'other file')} passed over"
    )


def summary(found: Corpus, built: list[Built], missing: dict[str, str], artifacts: Path) -> str:
    """What came of it, for a person."""
    rejected = found.rejected()
    why = ", ".join(f"{n} {code}" for code, n in rejected.most_common())
    recordings = found.decoded.recordings
    length = span(sum(r.frames / r.rate for r in recordings.values()))
    lines = [
        "",
        f"found {counted(len(found.records), 'file')} = used {len(found.used())} ({length}) "
        f"+ rejected {sum(rejected.values())}" + (f" ({why})" if why else ""),
    ]
    if rejected:
        lines.append(f"  each rejected file with its reason: {artifacts / 'rejected.csv'}")
    width = max(len(name) for name in [*missing, *(b.name for b in built), "recipe"])
    if built:
        head = f"{'recipe':{width}}  {'train':>7} {'valid':>6} {'test':>6} {'shards':>6} {'MB':>7}"
        lines += ["", head + "  this run"]
    for b in built:
        lines.append(_line(b, width))
        if guessed := b.index["counts"]["generated"]:
            have = "has" if guessed == 1 else "have"
            lines.append(f"{'':{width}}  {counted(guessed, 'recording')} {have} generated labels")
        if b.index["recipe"].get("conversation"):
            lines += [f"{'':{width}}  {line}" for line in _speakers(b, found)]
    for name, lack in missing.items():
        lines.append(f"{name:{width}}  not built: it needs {lack}")
    if built and not any(b.made for b in built):
        lines += ["", f"nothing to do: all of it stands in {artifacts}"]
    elif built:
        lines += ["", f"done: each recipe's index is {artifacts}/<recipe>/index.json"]
    return "\n".join(lines)


def _line(b: Built, width: int) -> str:
    counts = b.index["counts"]["examples"]
    files = [*b.index["shards"], *b.index["noise"]]
    size = sum(f["bytes"] for f in files) / 1e6
    numbers = f"{counts['train']:>7} {counts['valid']:>6} {counts['test']:>6}"
    text = f"{b.name:{width}}  {numbers} {len(files):>6} {size:>7.1f}  "
    if b.made:
        text += (
            f"{counted(b.made, 'shard')} made, {b.seconds / max(b.elapsed, 1e-9):.0f} x real time"
        )
    else:
        text += "nothing to do"
    skipped = ", ".join(f"{n} {code}" for code, n in b.index["counts"]["skipped"].items())
    text += f"; skipped {skipped}" if skipped else ""
    bare = [split for split in SPLITS if not counts[split]]
    return text + (f"; none in {', '.join(bare)}" if bare else "")


def _speakers(b: Built, found: Corpus) -> list[str]:
    """Of whom conversations are made. A speaker that nothing names is told from every other."""
    roles = b.index["recipe"]["select"]["roles"]
    mine = [r for r in found.used() if r.role in roles]
    people = {split: {group(r) for r in mine if found.split(r) == split} for split in SPLITS}
    lines = ["speakers: " + ", ".join(f"{len(who)} in {split}" for split, who in people.items())]
    if alone := sum(not r.group for r in mine):
        lines.append(f"{counted(alone, 'recording')} without a speaker's name: each counts as one "
                     "person; give every speaker a folder")  # fmt: skip
    return lines


def counted(number: int, what: str) -> str:
    """1 file, 2 files."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A length of audio in the unit that tells something."""
    unit, size = next((u for u in (("h", 3600), ("min", 60)) if seconds >= u[1]), ("s", 1))
    return f"{seconds / size:.1f} {unit}"
