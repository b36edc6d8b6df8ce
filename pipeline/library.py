"""Features as a library: files in, arrays out, no corpus and no artifacts.

Reads: the audio files it is given. Does: the very steps of the stages (decode, resample, window,
features), so the numbers are those of the shards. Writes: one temporary file a worker, removed.
"""

import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline import examples, jobs, plan, schema
from pipeline.audio import codecs
from pipeline.audio.pcm import Pack, PackWriter, resampled_length
from pipeline.cookbook import load
from pipeline.disk import store
from pipeline.errors import Rejected, UsageError
from pipeline.items import Item
from pipeline.progress import Progress
from pipeline.recipe import Labels, Output, Recipe

BATCH = 16  # files in one task: enough to hide the cost of handing it over
BLOCK = 32 << 20  # bytes of features made at once, unless MAX_RAM asks for less


@dataclass(frozen=True)
class Extracted:
    """What became of one file. `reason` is empty when it went well."""

    path: str
    recipe: str
    rate: int  # Hz, of the windows
    reason: str = ""  # a code of pipeline.errors.REASONS
    detail: str = ""
    seconds: float = 0.0
    starts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # samples
    features: dict[str, np.ndarray] = field(default_factory=dict)  # name -> (windows, ...)

    @property
    def ok(self) -> bool:
        return not self.reason

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.features.items()}


def extract(
    paths: Sequence[str | os.PathLike[str]],
    recipe: str = "noise-classifier",
    *,
    count: int | None = None,
    max_ram: int | None = None,
    quiet: bool = False,
) -> list[Extracted]:
    """The features of each file, in the order given.

    Parameters
    ----------
    paths : audio files; one that cannot be used comes back with its reason.
    recipe : a shipped name or a path to a TOML file, without a [mix] table.
    count : worker processes; the default leaves one core free.
    max_ram : bytes that the workers may use together; bounds their number and their blocks.
    quiet : no bar and no closing line.
    """
    plain = _plain(recipe)
    wanted = jobs.workers(count or max(1, jobs.cores() - 1), max_ram)
    block = min(BLOCK, max_ram // wanted // 8) if max_ram else BLOCK
    names = [os.fspath(path) for path in paths]
    tasks = [(names[i : i + BATCH], plain, block) for i in range(0, len(names), BATCH)]
    found: dict[int, list[Extracted]] = {}
    peak = 0
    with Progress("extract", len(names)) as bar:
        for index, (batch, used) in jobs.run(_batch, tasks, wanted) if tasks else ():
            found[index] = batch
            peak = max(peak, used)
            if not quiet:
                bar.step(len(batch), sum(one.seconds for one in batch))
    results = [one for index in sorted(found) for one in found[index]]
    if not quiet:
        bad = sum(not one.ok for one in results)
        bound = f" of {max_ram // wanted >> 20} MB" if max_ram else ""
        store.say(
            f"extract: {len(results)} files, {bad} rejected, {wanted} workers, "
            f"at most {peak >> 20} MB{bound} in one"
        )
    return results


def _plain(name: str) -> Recipe:
    """The recipe with nothing but what can be told from a file alone."""
    found = load([name])
    if len(found) > 1:
        names = ", ".join(r.name for r in found)
        raise UsageError(f"{name} has several profiles", expected=f"one of {names}")
    recipe = found[0]
    if recipe.mix:
        raise UsageError(
            f"recipe {recipe.name} mixes noise", do="give one without a [mix] table to extract"
        )
    told = {"label", "tags", "activity", "voices", "generated"}
    fields = tuple(name for name in recipe.output.fields if name not in told)
    return replace(recipe, output=Output(fields, recipe.output.formats), labels=Labels())


def _batch(task: tuple[list[str], Recipe, int]) -> tuple[list[Extracted], int]:
    paths, recipe, block = task
    results = [_one(path, recipe, block) for path in paths]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return results, peak * (1 if sys.platform == "darwin" else 1024)


def _one(path: str, recipe: Recipe, block: int) -> Extracted:
    base = Extracted(path, recipe.name, recipe.audio.rate)
    try:
        with tempfile.TemporaryDirectory(prefix="melmill-") as folder:
            pack = _decoded(Path(path), Path(folder) / "one.pcm")
            return _features(base, pack, recipe, block)
    except Rejected as why:
        return replace(base, reason=why.code, detail=why.detail)
    except MemoryError:
        return replace(base, reason="decoder_error", detail="asked for too much memory")
    except FileNotFoundError:
        return replace(base, reason="missing", detail="no such file")
    except OSError as err:
        return replace(base, reason="unreadable", detail=err.strerror or str(err))


def _decoded(path: Path, to: Path) -> Pack:
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        writer = PackWriter(store.Sink(descriptor, to, hashed=False), "", "")
        with codecs.open_sound(path) as reader:
            sound = reader.sound
            writer.add("one", sound.rate, sound.codec, sound.store, reader.blocks())
        writer.close()
    finally:
        os.close(descriptor)
    return Pack(to)


def _features(base: Extracted, pack: Pack, recipe: Recipe, block: int) -> Extracted:
    recording = pack.recordings["one"]
    length = resampled_length(recording.frames, recording.rate, recipe.audio.rate)
    windows = plan.windows(length, recipe)
    item = Item("one", "one", 0, length, 0, windows, group=0, fold=-1)
    size = sum(f.nbytes for f in schema.fields(recipe, 1))
    parts = [
        examples.make((stretch,), recipe, 0, {"one": pack}, _no_noise).done()
        for stretch in _stretches(item, max(1, block // size))
    ]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return replace(
        base,
        seconds=recording.frames / recording.rate,
        starts=arrays["start"],
        features={name: arrays[name] for name in recipe.output.fields},
    )


def _stretches(item: Item, most: int) -> Iterator[Item]:
    for first in range(0, item.count, most):
        yield replace(item, first=first, count=min(most, item.count - first))


def _no_noise(_: int) -> tuple[str, np.ndarray]:
    raise AssertionError("a recipe without [mix] draws no noise")
