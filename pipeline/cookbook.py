"""Recipes by name: found, read from TOML, checked.

Reads: pipeline/recipes/*.toml or a user's own file. Does: finds recipes by name, profile or path;
an unknown key, a wrong type or a number that cannot be is an error that names the key, the value
and what would do. Writes: nothing.
"""

import dataclasses
import functools
import math
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

from pipeline.dsp.features import TOO_LOW
from pipeline.errors import UsageError
from pipeline.layouts.lists import read_plain
from pipeline.layouts.splits import SPLITS
from pipeline.recipe import Conversation, Feature, Mix, Recipe
from pipeline.typed import merge, nearest, typed

LARGEST = 1 << 20  # bytes of a recipe: a thousand times what it takes
SHIPPED = Path(__file__).parent / "recipes"
RESERVED = ("pcm", "labels", "demo", "runs", "reports")  # folders beside a recipe's own
NEEDS = {"class": "label", "tags": "tags", "activity": "speakers"}  # labels.kind -> select.needs
OURS = (  # fields that no feature may be called
    "wave", "noisy", "clean", "label", "tags", "activity", "voices", "generated", "source", "group",
    "fold", "start", "valid", "noise_kind", "noise_source", "noise_start", "requested", "achieved",
    "scale", "gain",
)  # fmt: skip


def load(names: typing.Iterable[str]) -> list[Recipe]:
    """Recipes by shipped name, profile (`mine-short`) or path; none named is all."""
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    everything = {r.name: r for path in shipped.values() for r in _read(path)}
    found: dict[str, Recipe] = {}
    for name in list(names) or list(shipped):
        if name in shipped:
            chosen = _read(shipped[name])
        elif name in everything:
            chosen = [everything[name]]
        elif name.endswith(".toml") or "/" in name:
            chosen = _read(Path(name))
        else:
            raise UsageError(
                f"no recipe {name!r}",
                expected="one of " + ", ".join(sorted({*shipped, *everything})),
                do=nearest(name, [*shipped, *everything]) or "name one, or give a path to a .toml",
            )
        for recipe in chosen:
            if found.get(recipe.name, recipe) != recipe:
                raise UsageError(
                    f"two recipes are called {recipe.name!r}", do="rename one (its `name` key)"
                )
            found[recipe.name] = recipe
    return list(found.values())


def _read(path: Path) -> list[Recipe]:
    """The recipes of one file: one, or one for each of its profiles."""
    try:
        return _parsed(_text(path), path)
    except OSError as err:
        raise UsageError(f"cannot read the recipe: {err.strerror}", where=path) from err
    except UnicodeDecodeError as err:
        raise UsageError(f"cannot read the recipe: {err}", where=path) from err


@functools.lru_cache(maxsize=256)  # a run asks for the shipped ones three times: 0.1 s
def _parsed(text: str, path: Path) -> list[Recipe]:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as err:  # no TOML, numbers or tables without end
        raise UsageError(f"cannot read the recipe: {err}", where=path) from err
    profiles = table.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise UsageError("profiles must be tables", where=path)
    named = [(f"-{name}", changes) for name, changes in profiles.items()] or [("", {})]
    return [_recipe(merge(table, changes), suffix, path) for suffix, changes in named]


def _text(path: Path) -> str:
    """With the ends of lines that any system writes."""
    text = read_plain(path, LARGEST).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _recipe(table: dict[str, Any], suffix: str, path: Path) -> Recipe:
    recipe: Recipe = typed(Recipe, table, "", path)
    recipe = dataclasses.replace(recipe, name=recipe.name + suffix)
    for good, key, value, wanted in _rules(recipe):
        if not good:
            raise UsageError(f"{key} = {value!r}", where=path, expected=wanted)
    return recipe


def _rules(r: Recipe) -> typing.Iterator[tuple[bool, str, Any, str]]:
    """(holds, key, value, what is expected): what the types alone cannot say."""
    yield bool(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", r.name)), "name", r.name, "a-z 0-9 -"
    yield r.name not in RESERVED, "name", r.name, "none of " + ", ".join(RESERVED)
    yield bool(r.select.roles), "select.roles", r.select.roles, "at least one role"
    must = "none" if r.conversation else NEEDS.get(r.labels.kind, r.select.needs)
    yield r.select.needs == must, "select.needs", r.select.needs, f"{must}, for these labels"
    yield 1 <= r.labels.top <= 10000, "labels.top", r.labels.top, "1 to 10000"
    yield 4000 <= r.audio.rate <= 384000, "audio.rate", r.audio.rate, "4000 to 384000 Hz"
    w = r.window
    longest = 600 * r.audio.rate  # a window is held in memory whole
    yield 1 <= w.samples <= longest, "window.samples", w.samples, f"1 to {longest} (ten minutes)"
    yield w.hop >= 1, "window.hop", w.hop, "1 or more"
    yield 0 <= w.min_fill <= 1, "window.min_fill", w.min_fill, "0 to 1"
    yield w.most >= 0, "window.most", w.most, "0 (all) or more"
    yield 1 <= r.output.shard_mb <= 256, "output.shard_mb", r.output.shard_mb, "1 to 256"
    formats = r.output.formats
    once = 0 < len(formats) == len(set(formats))
    yield once, "output.formats", formats, "hdf5, tfrecord or both, each once"
    audio = {"clean", "noisy"} if r.mix else {"wave"}
    audio = {"wave", "clean"} if r.conversation else audio
    talk = {"activity", "voices", "generated"}
    label = {"class": {"label"}, "tags": {"tags"}, "activity": talk, "none": set[str]()}
    known = audio | set(r.features) | label[r.labels.kind]
    unknown = [f for f in r.output.fields if f not in known]
    wanted = "some of " + ", ".join(sorted(known))
    yield bool(r.output.fields) and not unknown, "output.fields", r.output.fields, wanted
    yield len(set(r.output.fields)) == len(r.output.fields), "output.fields", "", "each field once"
    hops = {f.hop for f in r.features.values()}  # that of the frames which windows are cut from
    whole = w.edges == "window" or len(hops) == 1
    yield whole, "window.edges", w.edges, "window, unless all features have one hop"
    for name, f in r.features.items():
        yield from _feature_rules(f"features.{name}", f, r)
    guess = not r.labels.generate or (r.labels.kind == "activity" and not r.conversation)
    yield guess, "labels.generate", r.labels.generate, "false, but for who speaks in recordings"
    if r.labels.kind == "activity":
        exact = r.labels.frame > 0 and w.samples % r.labels.frame == 0
        yield exact, "labels.frame", r.labels.frame, "a divisor of window.samples"
        yield 1 <= r.labels.speakers <= 16, "labels.speakers", r.labels.speakers, "1 to 16"
    if r.mix:
        yield from _mix_rules(r.mix, r)
    if r.conversation:
        yield from _conversation_rules(r.conversation, r)


def _feature_rules(key: str, f: Feature, r: Recipe) -> typing.Iterator[tuple[bool, str, Any, str]]:
    yield bool(re.fullmatch(r"[a-z][a-z0-9_]{0,30}", key[9:])), key, "", "a-z 0-9 _"
    yield key[9:] not in OURS, key, "", "none of " + ", ".join(OURS)
    even = f.n_fft % 2 == 0  # else windows would have one frame less than samples / hop + 1
    yield 16 <= f.n_fft <= 65536 and even, f"{key}.n_fft", f.n_fft, "an even number, 16 to 65536"
    yield 1 <= f.hop <= f.n_fft, f"{key}.hop", f.hop, "1 to n_fft"
    yield 0 <= f.win <= f.n_fft, f"{key}.win", f.win, "0 (n_fft) to n_fft"
    yield 1 <= f.mels <= f.n_fft // 2, f"{key}.mels", f.mels, "1 to n_fft / 2"
    top = f.fmax or r.audio.rate / 2
    yield 0 <= f.fmin < top <= r.audio.rate / 2, f"{key}.fmax", f.fmax, "fmin to half the rate"
    for name in ("amin", "eps", "c"):
        value = getattr(f, name)
        yield 0 < value < math.inf, f"{key}.{name}", value, "more than 0"
    yield 0 <= f.ref < math.inf, f"{key}.ref", f.ref, "0 (the peak) or more"
    yield 0 <= f.top_db < math.inf, f"{key}.top_db", f.top_db, "0 (off) or more"
    yield f.kind == "mel" or 1 <= f.count <= f.mels, f"{key}.count", f.count, "1 to mels"
    if f.kind == "vector":  # as dsp.features.VectorSpec asks for
        above = f"above {TOO_LOW:.0f} Hz, for {key} (a vector)"
        yield r.audio.rate > TOO_LOW, "audio.rate", r.audio.rate, above
        least = math.ceil(r.audio.rate / 100)
        yield f.n_fft >= least, f"{key}.n_fft", f.n_fft, f"{least} (10 ms) or more, for a vector"
        yield f.hop >= 2, f"{key}.hop", f.hop, "2 or more, for a vector"
    if r.window.edges == "recording":
        exact = r.window.samples % f.hop == 0 and r.window.hop % f.hop == 0
        yield exact, f"{key}.hop", f.hop, "a divisor of window.samples and window.hop"
        plain = f.kind == "mel" and f.ref > 0 and f.top_db == 0
        yield plain, key, f.kind, "mel with a fixed ref and no top_db, for edges = recording"


def _mix_rules(m: Mix, r: Recipe) -> typing.Iterator[tuple[bool, str, Any, str]]:
    yield bool(m.values), "mix.values", m.values, "at least one"
    yield len(set(m.values)) == len(m.values), "mix.values", m.values, "each value once"
    low, high = (1e-6, 1.0) if m.kind == "level" else (-60.0, 60.0)
    good = all(low <= v <= high for v in m.values)
    yield good, "mix.values", m.values, f"{low} to {high} for kind = {m.kind}"
    yield bool(m.noises), "mix.noises", m.noises, "at least one"
    yield len(set(m.noises)) == len(m.noises), "mix.noises", m.noises, "each noise once"
    yield 1 <= m.tracks <= 1000, "mix.tracks", m.tracks, "1 to 1000"
    shortest = 1.0 if r.conversation else r.window.samples / r.audio.rate
    yield (
        shortest <= m.track <= 60,
        "mix.track",
        m.track,
        f"{shortest:.2f} to 60 s, a window or more",
    )
    whole = r.window.edges == "window" or r.conversation is not None
    yield whole, "window.edges", r.window.edges, "window, when there is a [mix] table"
    if not m.materialise:
        plain = set(r.output.fields) <= {"clean"}
        yield plain, "output.fields", r.output.fields, 'only "clean" when materialise = false'


def _conversation_rules(c: Conversation, r: Recipe) -> typing.Iterator[tuple[bool, str, Any, str]]:
    clean = r.select.roles == ("clean",)
    yield clean, "select.roles", r.select.roles, '["clean"] alone, when there are conversations'
    talk = r.labels.kind == "activity"
    yield talk, "labels.kind", r.labels.kind, '"activity", when there are conversations'
    mixed = r.mix is not None and r.mix.kind == "snr" and r.mix.materialise
    yield mixed, "mix", r.mix and r.mix.kind, 'a table with kind = "snr" that is materialised'
    others = r.mix is None or "babble" not in r.mix.noises
    yield others, "mix.noises", r.mix and r.mix.noises, "no babble, whose voices have no label"
    whole = r.window.hop == r.window.samples and r.window.most == 0
    yield whole, "window.hop", r.window.hop, "window.samples, when there are conversations"
    for split in SPLITS:
        count = getattr(c, split)
        yield 0 <= count <= 10**6, f"conversation.{split}", count, "0 to a million"
    some = c.train + c.valid + c.test > 0
    yield some, "conversation.train", c.train, "a conversation in one of the splits"
    most = r.labels.speakers
    talking = bool(c.speakers) and all(2 <= count <= most for count in c.speakers)
    yield talking, "conversation.speakers", c.speakers, f"2 to {most} (labels.speakers) each"
    yield 0 < c.pause <= 10, "conversation.pause", c.pause, "more than 0, up to 10 s"
    yield abs(c.offset) <= 10, "conversation.offset", c.offset, "-10 to 10 s"
    yield 0 <= c.spread <= 10, "conversation.spread", c.spread, "0 to 10 s"
    yield 0 <= c.interject <= 1, "conversation.interject", c.interject, "0 to 1"
    pair = len(c.echo) == 2 and 0 <= c.echo[0] <= c.echo[-1] <= 5
    yield pair, "conversation.echo", c.echo, "two numbers, 0 to 5 s, the larger one last"
    speeds = bool(c.voices) and all(0.5 <= speed <= 2 for speed in c.voices)
    yield speeds, "conversation.voices", c.voices, "0.5 to 2 each"
    once = len(set(c.voices)) == len(c.voices)
    yield once, "conversation.voices", c.voices, "each speed once"
