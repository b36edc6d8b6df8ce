"""The sections of a page that are numbers: files, durations, balance, mixtures, speed.

Reads and writes nothing. Does: turns a corpus, a tally and noted speeds into HTML.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline import plan
from pipeline.corpus import Corpus, group
from pipeline.errors import REASONS
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Recipe
from pipeline.reports import charts
from pipeline.reports.tally import Mixtures, Tally
from pipeline.reports.words import brief, length, name, safe, thousandths, whole
from pipeline.scan import Record
from pipeline.speeds import Speed

PATHS = 3  # examples of each reason
ROWS = 50  # classes or tags in a chart
BINS = 22
SPREAD = 0.06  # of the width: dots of one value are laid side by side
WIDE = 8.0  # the longest over the shortest, above which the axis is logarithmic
MARKS = (  # s, on such an axis
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000,
    36000,
)  # fmt: skip
APART = 0.14  # of the width between two marks


def files(corpus: Corpus, recipe: Recipe, mine: int, skipped: Mapping[str, int]) -> str:
    """Found, used, rejected and why; examples that could not be."""
    rejected, used = corpus.rejected(), len(corpus.used())
    told = (
        f"<p>{whole(len(corpus.records))} files found = {whole(used)} used + "
        f"{whole(sum(rejected.values()))} rejected. Of those used, {whole(mine)} feed this "
        f"recipe ({safe(' or '.join(recipe.select.roles))}).</p>"
    )
    if skipped:
        why = ", ".join(f"{whole(count)} {code}" for code, count in skipped.items())
        told += f"<p>Examples that could not be made of them: {safe(why)}.</p>"
    if not rejected:
        return told + "<p>No file was rejected.</p>"
    examples: dict[str, list[Record]] = defaultdict(list)
    for record in corpus.records:
        if record.reject and len(examples[record.reject]) < PATHS:
            examples[record.reject].append(record)
    rows = "".join(
        f'<tr><td><code>{safe(code)}</code></td><td class="n">{whole(count)}</td>'
        f"<td>{safe(REASONS[code])}</td><td><ul>{_paths(examples[code], count)}</ul></td></tr>"
        for code, count in rejected.most_common()
    )
    return told + (
        '<table class="stack"><thead><tr><th>reason</th><th class="n">files</th>'
        f"<th>what it means</th><th>such as</th></tr></thead><tbody>{rows}</tbody></table>"
        '<p class="note">Every rejected file stands in <code>rejected.csv</code>.</p>'
    )


def _paths(records: Sequence[Record], count: int) -> str:
    items = [f"<li><code>{name(r.path)}</code> <span>{name(r.detail)}</span></li>" for r in records]
    more = count - len(records)
    items += [f"<li><span>and {whole(more)} more</span></li>"] if more else []
    return "".join(items)


def recordings(corpus: Corpus, recipe: Recipe) -> dict[str, list[Record]]:
    """Those that feed the recipe, by their split."""
    found: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for record in plan.chosen(recipe, corpus.used()):
        found[corpus.split(record)].append(record)
    return found


def seconds(corpus: Corpus, records: Sequence[Record]) -> np.ndarray:
    known = [corpus.decoded.recordings[r.id] for r in records]
    return np.array([k.frames / k.rate for k in known], np.float64)


def durations(corpus: Corpus, mine: Mapping[str, list[Record]]) -> str:
    """How long the recordings are."""
    lengths = {split: seconds(corpus, records) for split, records in mine.items()}
    every = np.concatenate(list(lengths.values()))
    if not len(every):
        return "<p>No recordings.</p>"
    short, half, long = float(every.min()), float(np.median(every)), float(every.max())
    logs = long > WIDE * short
    edges, marks = _log_axis(short, long) if logs else _even_axis(short, long)
    counts = {split: np.histogram(v, edges)[0] for split, v in lengths.items()}
    told = f"From {length(short)} to {length(long)}, half of them under {length(half)}; "
    told += f"{length(every.sum())} together."
    head = "Recordings of each duration" + ("; the axis is logarithmic." if logs else ".")
    return f"<p>{told}</p>{charts.SPLIT_KEY}" + charts.histogram(counts, marks, head, told)


def _even_axis(short: float, long: float) -> tuple[np.ndarray, list[charts.Tick]]:
    """(edges of the columns, marks)."""
    room = max(0.05 * (long - short), 0.05 * long)
    low, high = max(0.0, short - room), long + room
    step = charts.nice(high - low)[1]
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    marks = [(float((v - low) / (high - low)), length(float(v))) for v in values]
    return np.linspace(low, high, BINS + 1), marks


def _log_axis(short: float, long: float) -> tuple[np.ndarray, list[charts.Tick]]:
    low, high = np.log(short * 0.9), np.log(long * 1.1)
    marks: list[charts.Tick] = []
    for mark in MARKS:
        share = float((np.log(mark) - low) / (high - low))
        if 0 <= share <= 1 and (not marks or share - marks[-1][0] >= APART):
            marks.append((share, length(mark)))
    return np.exp(np.linspace(low, high, BINS + 1)), marks


def balance(corpus: Corpus, mine: Mapping[str, list[Record]], found: Tally, what: str) -> str:
    """Who is in which split; how many examples of each class. `what` names the kinds."""
    rows = []
    for split in SPLITS:
        groups = len({group(r) for r in mine[split]})
        hours = length(float(seconds(corpus, mine[split]).sum()))
        rows.append(
            f'<tr><td><span class="key"><span><i class="{split}"></i>{split}</span></span></td>'
            f'<td class="n">{whole(found.examples[split])}</td>'
            f'<td class="n opt">{_share(found.examples, split)}</td>'
            f'<td class="n">{whole(len(mine[split]))}</td><td class="n">{whole(groups)}</td>'
            f'<td class="n">{hours}</td></tr>'
        )
    heads = "".join(
        f'<th class="n{" opt" if h == "share" else ""}">{h}</th>'
        for h in ("examples", "share", "recordings", "groups", "recorded")
    )
    table = (
        f'<div class="wide"><table><thead><tr><th>split</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">A group (a speaker, an artist, a source) is in one split alone.</p>'
    )
    parts = [table]
    if found.labels:
        parts.append(_kinds(found.labels, f"Examples of each {what}", what))
    if found.at_once:
        parts.append(_at_once(found.at_once))
    if found.noises:
        parts.append(_kinds(found.noises, "Mixtures with each noise", "noise"))
    return "".join(parts)


def _share(counts: Counter[str], split: str) -> str:
    return f"{100 * counts[split] / max(1, sum(counts.values())):.1f} %"


def _kinds(labels: Counter[tuple[str, str]], heading: str, head: str) -> str:
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for (what, split), number in labels.items():
        rows[what][split] = number
    order = sorted(rows, key=lambda what: (-sum(rows[what].values()), what))
    more = len(order) - ROWS
    note = f'<p class="note">and {more} more, with fewer examples</p>' if more > 0 else ""
    chart = charts.bars([(what, rows[what]) for what in order[:ROWS]], head)
    return f"<h3>{safe(heading)}</h3>{charts.SPLIT_KEY}{chart}{note}"


def _at_once(frames: Counter[tuple[int, str]]) -> str:
    """Shares of the time."""
    total = sum(frames.values()) or 1
    shares: Counter[int] = Counter()
    for (number, _), count in frames.items():
        shares[number] += count
    said = {0: "nobody", 1: "one speaker", 2: "two at once", 3: "three at once"}
    told = ", ".join(
        f"{said.get(number, f'{number} at once')} {100 * shares[number] / total:.1f} %"
        for number in sorted(shares)
    )
    return f"<p>Of the time: {told}.</p>"


def mixtures(found: Mixtures, kind: str) -> str:
    """Requested and achieved."""
    if not found.count:
        return "<p>No mixtures.</p>"
    draws, asked, got = np.concatenate(list(found.dots.values()), axis=1)
    unit = "SNR" if kind == "snr" else "noise level after the gain"
    low, high = min(asked.min(), got.min()) - 1.5, max(asked.max(), got.max()) + 1.5  # dB
    x = (asked - low) / (high - low)
    first = list(zip(x, (got - low) / (high - low), strict=True))
    steps = charts.nice(high - low)
    step = steps[1] if len(steps) > 1 else 1.0
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    marks = [(float((v - low) / (high - low)), f"{v + 0.0:g} dB") for v in values]
    edge = max(found.worst, 1e-9) * 1.1
    apart = x + SPREAD * (np.argsort(np.argsort(draws)) / max(1, len(draws) - 1) - 0.5)
    second = list(zip(apart, 0.5 + (got - asked) / (2 * edge), strict=True))
    part, power = thousandths(found.worst)
    sides = [(0.5 + s / 2.2, f"{s * part:.2g}") for s in (-1, 0, 1)]
    told = f"{whole(found.count)} mixtures; the largest deviation is {part:.2g}{power} dB."
    left = charts.points(first, marks, marks, f"achieved {unit}: {told}", (0, 1))
    right = charts.points(second, marks, sides, f"deviation: {told}", (0.5, 0.5))
    some = f"{whole(len(asked))} of them are drawn, chosen by chance; the deviation is that of all."
    some = f'<p class="note">{some}</p>' if found.count > len(asked) else ""
    off = f"Achieved less requested, in{power.removeprefix(' ×')} dB (up)"
    return (
        f"<p>{told}</p>"
        f'<div class="pair"><div><p class="note">Achieved {unit} (up) at each requested one</p>'
        f'{left}</div><div><p class="note">{off}, at each requested one</p>{right}</div></div>'
        + some
    )


def speed(noted: Mapping[str, Speed], mine: str) -> str:
    """How fast each stage was; `mine` is the recipe of the page."""
    if not noted:
        return "<p>Nothing is noted: it is, whenever a stage has something to do.</p>"
    order = [s for s in ("scan", "decode") if s in noted]
    order += sorted(s for s in noted if s not in order)
    rows = []
    for stage in order:
        s = noted[stage]
        kind, _, recipe = stage.partition("/")
        rows.append(
            f"<tr><td>{_bold(recipe or kind, recipe == mine)}</td>"
            f'<td class="n">{brief(s.times)} x</td><td class="n">{length(s.seconds)}</td>'
            f'<td class="n">{s.elapsed:.1f} s</td>'
            f'<td class="n">{whole(s.count)} {"shards" if recipe else "files"}</td>'
            f'<td class="n opt">{s.jobs}</td><td class="n opt">{safe(s.day)}</td></tr>'
        )
    heads = "".join(
        f'<th class="n{" opt" if h in ("workers", "day (UTC)") else ""}">{h}</th>'
        for h in ("real time", "sound", "time", "done", "workers", "day (UTC)")
    )
    return (
        f'<div class="wide"><table><thead><tr><th>stage</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">Of the last run in which a stage had something to do. A scan takes '
        "durations from the files' headers; not every header has one.</p>"
    )


def _bold(what: str, strong: bool) -> str:
    return f"<b>{safe(what)}</b>" if strong else safe(what)
