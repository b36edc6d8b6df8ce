"""One shard's examples: window, mix and features in one pass, in memory.

Reads: decoded recordings and sealed noise tracks. Does: cuts windows, mixes waveforms, takes the
features from the mixture, labels, sums statistics. Writes: nothing; shards.py seals the arrays.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline import schema, talks
from pipeline.audio.pcm import Pack
from pipeline.dsp import features, levels, mel, mix
from pipeline.items import Item
from pipeline.known import known
from pipeline.recipe import Feature, Recipe

NoiseAt = Callable[[int], tuple[str, np.ndarray]]  # draw's track -> (id, samples)


@dataclass
class Batch:
    """Rows as they are made: every field of the recipe, one row an example."""

    arrays: dict[str, np.ndarray]
    count: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            self.arrays[name][self.count] = value
        self.count += 1

    def done(self) -> dict[str, np.ndarray]:
        return {name: array[: self.count] for name, array in self.arrays.items()}


def make(
    items: tuple[Item, ...], recipe: Recipe, tags: int, packs: Mapping[str, Pack], noise: NoiseAt
) -> Batch:
    """All examples of a task, in the order of its items."""
    described = schema.fields(recipe, max(tags, 1))
    most = sum(item.count for item in items) * schema.variants(recipe)
    batch = Batch({f.name: np.zeros((most, *f.shape), f.numpy) for f in described})
    for item in items:
        if item.talk:
            _conversation(batch, item, recipe, packs, noise)
            continue
        pack = packs[item.pack]
        for k in range(item.count):
            start = item.begin + (item.first + k) * recipe.window.hop
            stop = min(start + recipe.window.samples, item.begin + item.length)
            heard = pack.samples(item.id, recipe.audio.rate, recipe.audio.resample, start, stop)
            told = known(item, start, len(heard), recipe, tags)
            if told is None:
                batch.skipped["too_many_speakers"] += 1
            elif recipe.mix:
                values, clean = recipe.mix.values, fill(heard, recipe)
                _mixtures(batch, clean, told, values, item.draws[k], recipe, noise)
            else:
                _plain(batch, heard, told, item, start, recipe, pack)
    return batch


def fill(heard: np.ndarray, recipe: Recipe) -> np.ndarray:
    """A window of the full length: repeated or followed by zeros."""
    n = recipe.window.samples
    if len(heard) == n:
        return heard
    if recipe.window.pad == "repeat" and len(heard):
        return np.resize(heard, n)
    whole = np.zeros(n, np.float32)
    whole[: len(heard)] = heard
    return whole


def _plain(
    batch: Batch,
    heard: np.ndarray,
    told: dict[str, Any],
    item: Item,
    start: int,
    recipe: Recipe,
    pack: Pack,
) -> None:
    row = dict(told)
    if "wave" in recipe.output.fields:
        row["wave"] = fill(heard, recipe)
    for name in recipe.output.fields:
        if name in recipe.features:
            f = recipe.features[name]
            wave = fill(heard, recipe)
            if recipe.window.edges == "recording":
                wave = _with_neighbours(heard, item, start, f, recipe, pack)
            row[name] = feature(wave, f, recipe)
    batch.add(row)


def _with_neighbours(
    heard: np.ndarray, item: Item, start: int, f: Feature, recipe: Recipe, pack: Pack
) -> np.ndarray:
    """The window and the half frame on each side of it: what the frames of the whole see."""
    half = f.n_fft // 2
    low, high = start - half, start + recipe.window.samples - f.hop + f.n_fft - half
    if len(heard) < recipe.window.samples and recipe.window.pad == "repeat":
        whole = np.zeros(high - low, np.float32)
        whole[half : half + recipe.window.samples][: high - start] = fill(heard, recipe)[
            : high - start
        ]
        return whole
    first, last = max(low, item.begin), min(high, item.begin + item.length)
    part = pack.samples(item.id, recipe.audio.rate, recipe.audio.resample, first, last)
    whole = np.zeros(high - low, np.float32)
    whole[first - low : first - low + len(part)] = part
    return whole


def feature(wave: np.ndarray, f: Feature, recipe: Recipe) -> np.ndarray:
    """One feature of one window, float32."""
    if f.kind == "vector":
        return features.vector(wave, schema.vector_spec(f, recipe))
    power = mel.mel_power(wave, schema.mel_spec(f, recipe))
    if f.kind == "mfcc":
        return mel.mfcc(_decibels(power, f), f.count)
    if f.log == "db":
        return _decibels(power, f)
    if f.log == "log10_1p":
        return mel.log10_1p(power, f.c)
    return mel.ln(power, f.eps) if f.log == "ln" else power


def _decibels(power: np.ndarray, f: Feature) -> np.ndarray:
    return mel.decibels(power, ref=f.ref or "max", amin=f.amin, top_db=f.top_db or None)


def _conversation(
    batch: Batch, item: Item, recipe: Recipe, packs: Mapping[str, Pack], noise: NoiseAt
) -> None:
    """One simulated conversation in one noise."""
    assert recipe.mix is not None
    assert item.talk is not None
    scene = talks.render(item, recipe, packs)
    if scene is None:
        batch.skipped["silent_speakers"] += 1
        return
    told = known(replace(item, turns=scene.turns), 0, len(scene.wave), recipe, 0)
    assert told is not None
    _mixtures(batch, scene.wave, told, (item.talk.snr,), item.draws[0], recipe, noise)


def _mixtures(
    batch: Batch,
    clean: np.ndarray,
    told: dict[str, Any],
    values: tuple[float, ...],
    drawn: tuple[Any, ...],
    recipe: Recipe,
    noise: NoiseAt,
) -> None:
    """The mixtures of one window: rows of their own, or one row with the plan of all."""
    assert recipe.mix is not None
    level = mix.level_of(clean, recipe.mix.speech_level, recipe.audio.rate)
    rows = []
    for value, draw in zip(values, drawn, strict=True):
        plan: dict[str, Any] = {
            "noise_kind": -1, "noise_source": b"", "requested": value, "gain": 1.0,
        }  # fmt: skip
        pair = None
        if draw.track < 0:
            batch.skipped[f"no_{recipe.mix.noises[draw.kind]}_in_split"] += 1
        else:
            source, track = noise(draw.track)
            try:
                pair = _mixture(clean, mix.fit(track, len(clean), draw.start), value, level, recipe)
                plan = {
                    "noise_kind": draw.kind,
                    "noise_source": source[:32].encode(),
                    "noise_start": draw.start,
                    "requested": pair.requested,
                    "achieved": pair.achieved,
                    "scale": pair.scale,
                    "gain": pair.gain,
                }
            except levels.Silent as which:
                batch.skipped[f"silent_{which}"] += 1
        rows.append((pair, plan))
    if recipe.mix.materialise:
        for pair, plan in rows:
            if pair is not None:
                batch.add({**told, **plan, **_sounds(pair, recipe)})
    elif any(pair is not None for pair, _ in rows):
        names = [f.name for f in schema.mix_fields(recipe)]
        plans = {name: [plan.get(name, 0) for _, plan in rows] for name in names}
        batch.add({**told, **plans, "clean": clean})


def _mixture(
    clean: np.ndarray, noise: np.ndarray, value: float, level: float, recipe: Recipe
) -> mix.Mixture:
    assert recipe.mix is not None
    if recipe.mix.kind == "level":
        return mix.at_level(clean, noise, value)
    return mix.at_snr(
        clean,
        noise,
        value,
        speech_level=recipe.mix.speech_level,
        rate=recipe.audio.rate,
        clean_level=level,
    )


def _sounds(pair: mix.Mixture, recipe: Recipe) -> dict[str, np.ndarray]:
    found = {"noisy": pair.noisy, "clean": pair.clean, "wave": pair.noisy}
    row = {name: found[name] for name in recipe.output.fields if name in found}
    for name in recipe.output.fields:
        if name in recipe.features:
            f, heard = recipe.features[name], pair.noisy
            if recipe.window.edges == "recording":  # of a conversation: it is its own recording
                heard = np.pad(heard, (f.n_fft // 2, f.n_fft - f.n_fft // 2 - f.hop))
            row[name] = feature(heard, f, recipe)
    return row
