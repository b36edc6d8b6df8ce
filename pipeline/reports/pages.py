"""`make report`: one page for each recipe, to see what is in its shards before a model does.

Reads: a recipe's index and shards, the manifest, the decoded packs, noted speeds. Does: counts,
chooses examples, lays the page out; what is damaged is named on it and left out. Writes:
artifacts/reports/<recipe>.html, and a line on stdout for each.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline import keys, speeds
from pipeline.cookbook import RESERVED
from pipeline.corpus import Corpus
from pipeline.disk import store
from pipeline.errors import MelmillError
from pipeline.reports import frame, gallery, sections
from pipeline.reports.shelves import Shelf
from pipeline.reports.sounds import Sounds, corpus_of
from pipeline.reports.tally import Tally, tally
from pipeline.reports.words import brief, length, safe, size, whole

MOST_FAULTS = 10  # named on a page


def built(artifacts: Path) -> list[str]:
    """Recipes that have shards."""
    found = sorted(path.parent.name for path in artifacts.glob("*/index.json"))
    names = [name for name in found if name not in RESERVED]
    if not names:
        raise MelmillError("nothing to report on", where=artifacts, do="run `make features` first")
    return names


def write(artifacts: Path, names: Sequence[str]) -> list[str]:
    """The pages of recipes, a line said for each; what was found damaged."""
    faults = []
    shelves = [Shelf.opened(artifacts / name) for name in names]
    corpus = corpus_of(artifacts)
    for name, shelf in zip(names, shelves, strict=True):
        data = _page(shelf, corpus, tally(shelf), artifacts).encode()
        path = artifacts / "reports" / f"{name}.html"
        store.write_if_changed(path, data)
        print(f"report: {path} ({size(len(data))})", flush=True)
        faults += shelf.faults
    return faults


def _page(shelf: Shelf, corpus: Corpus, found: Tally, artifacts: Path) -> str:
    recipe, name = shelf.recipe, shelf.recipe.name
    mine = sections.recordings(corpus, recipe)
    count = sum(map(len, mine.values()))
    what = {"class": "class", "tags": "tag", "activity": "number of speakers"}
    looks = gallery.Gallery(Sounds(shelf, corpus), found).html()
    parts = [
        ("Examples", looks),
        ("Balance", sections.balance(corpus, mine, found, what.get(recipe.labels.kind, ""))),
        ("Durations", sections.durations(corpus, mine)),
        ("Files", sections.files(corpus, recipe, count, shelf.index["counts"]["skipped"])),
        ("Speed", sections.speed(speeds.noted(artifacts), name)),
    ]
    if recipe.mix:
        parts.insert(2, ("Mixtures", sections.mixtures(found.mixtures, recipe.mix.kind)))
    head = _faults(shelf.faults) + _stale(shelf, corpus) + _tiles(shelf, found, count)
    return frame.laid(name, recipe.about, head, parts)


def _faults(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    items = "".join(f"<li>{safe(fault)}</li>" for fault in faults[:MOST_FAULTS])
    more = len(faults) - MOST_FAULTS
    items += f"<li>and {more} more</li>" if more > 0 else ""
    told = "These are damaged, and left out of all that follows"
    return f'<div class="call bad"><b>{told}</b><ul>{items}</ul></div>'


def _stale(shelf: Shelf, corpus: Corpus) -> str:
    """The shards may be older than the lists beside them."""
    if keys.fingerprint(shelf.recipe, corpus) == shelf.index["fingerprint"]:
        return ""
    return (
        '<div class="call"><b>Older than the data</b> The files, the splits or the code have '
        "changed since these shards were made: <code>make features</code> brings them up to "
        "date.</div>"
    )


def _tiles(shelf: Shelf, found: Tally, count: int) -> str:
    recipe, files = shelf.recipe, [*shelf.index["shards"], *shelf.index["noise"]]
    total, window = sum(found.examples.values()), recipe.window.samples / recipe.audio.rate
    stored = ", ".join(recipe.output.fields)
    tiles = [
        ("examples", whole(total), f"of {length(window)} at {brief(recipe.audio.rate / 1000)} kHz"),
        ("sound in them", length(total * window), f"fields: {stored}"),
        ("recordings", whole(count), f"in {whole(len(shelf.files()))} shards"),
        ("on disk", size(sum(f["bytes"] for f in files)), " and ".join(recipe.output.formats)),
    ]
    inner = "".join(
        f"<div><dt>{dt}</dt><dd>{dd}<small>{safe(small)}</small></dd></div>"
        for dt, dd, small in tiles
    )
    return f'<dl class="tiles">{inner}</dl>'
