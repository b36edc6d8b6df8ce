"""What is heard in an example.

Reads: the waveforms that a shard holds; where it holds none, the decoded packs, and the noise that
was mixed in. A conversation is made again as its shard was. Does: checks that what was made again
has the labels that are stored. Writes: nothing but the bytes of a FLAC file.
"""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from pipeline import corpus as corpora
from pipeline import decode, examples, plan, scan
from pipeline.audio.pcm import Packs
from pipeline.corpus import Corpus
from pipeline.dsp import mix
from pipeline.errors import MelmillError
from pipeline.items import Item, Task
from pipeline.recipe import Recipe
from pipeline.reports.shelves import Shelf
from pipeline.scan import Record

OFF = 0.01  # dB that a mixture made again may be off its label, as in verify.py

Row = Mapping[str, Any]


class Unheard(Exception):
    """The sound of an example is not to be had: the corpus is another than that of the shards."""


def corpus_of(artifacts: Path) -> Corpus:
    """The corpus as the last run left it: nothing of the data folder is read."""
    manifest = scan.read(artifacts, artifacts)
    table, split = artifacts / "pcm" / "index.json", artifacts / "splits.csv"
    for path in (table, split):
        if not path.is_file():
            raise MelmillError("missing", where=path, do="run `make features`")
    decoded, _ = decode.stored(table)
    return corpora.join(manifest, decoded, str(split))


@dataclass
class Sounds:
    """Where the sound of one recipe's examples comes from."""

    shelf: Shelf
    corpus: Corpus

    @property
    def recipe(self) -> Recipe:
        return self.shelf.recipe

    @functools.cached_property
    def packs(self) -> Packs:
        return Packs(self.corpus.decoded.folder)

    @functools.cached_property
    def _records(self) -> dict[bytes, Record]:
        return {r.id[:32].encode(): r for r in self.corpus.used()}

    def record(self, row: Row) -> Record | None:
        """The recording that an example was cut from."""
        return self._records.get(bytes(row["source"]))

    def of(self, row: Row, value: int) -> dict[str, np.ndarray]:
        """Title -> samples at the recipe's rate. `value` is the mixture's place in mix.values, for
        an example that stands for all of them."""
        if self.recipe.conversation:
            return {"": row["wave"] if "wave" in row else self._conversation(row)}
        if not self.recipe.mix:
            return {"": row["wave"] if "wave" in row else self._window(row)}
        if "clean" in row and "noisy" in row:
            return {"clean": row["clean"], "noisy": row["noisy"]}
        return self._mixture(row, value)

    def _window(self, row: Row) -> np.ndarray:
        record = self.record(row)
        if record is None:
            raise Unheard("its recording is not in the decoded audio any more")
        start, valid, audio = int(row["start"]), int(row["valid"]), self.recipe.audio
        pack = self.packs[self.corpus.decoded.packs[record.id]]
        heard = pack.samples(record.id, audio.rate, audio.resample, start, start + valid)
        return examples.fill(heard, self.recipe)

    def _mixture(self, row: Row, value: int) -> dict[str, np.ndarray]:
        told = {n: np.atleast_1d(row[n]) for n in ("noise_source", "noise_start", "scale", "gain")}
        at = value if len(told["scale"]) > 1 else 0
        gain = float(told["gain"][at])
        clean = row["clean"] if "clean" in row else self._window(row)
        if "clean" not in row or not (self.recipe.mix and self.recipe.mix.materialise):
            clean = (clean * np.float32(gain)).astype(np.float32)
        track = self.shelf.track(bytes(told["noise_source"][at]))
        noise = mix.fit(track, len(clean), int(told["noise_start"][at]))
        noisy = (clean + noise * (float(told["scale"][at]) * gain)).astype(np.float32)
        self._check(clean, noisy, float(np.atleast_1d(row["achieved"])[at]))
        return {"clean": clean, "noisy": noisy}

    def _check(self, clean: np.ndarray, noisy: np.ndarray, label: float) -> None:
        m, rate = self.recipe.mix, self.recipe.audio.rate
        assert m is not None
        if m.kind == "snr":
            found = mix.measured_snr(clean, noisy, speech_level=m.speech_level, rate=rate)
            off = abs(found - label)
        else:
            off = abs(20 * np.log10(max(mix.measured_level(clean, noisy), 1e-12) / label))
        if not off <= OFF:
            raise Unheard("what was mixed again is not what is stored")

    @functools.cached_property
    def _talks(self) -> dict[bytes, tuple[Item, Task]]:
        tasks = plan.plan(self.recipe, self.corpus).tasks
        return {item.id[:32].encode(): (item, task) for task in tasks for item in task.items}

    def _conversation(self, row: Row) -> np.ndarray:
        item, task = self._talks.get(bytes(row["source"]), (None, None))
        if item is None or task is None:
            raise Unheard("the conversation is not in the plan any more")
        output = replace(self.recipe.output, fields=("wave", "activity"))
        wanted = replace(self.recipe, output=output)

        def noise(place: int) -> tuple[str, np.ndarray]:
            track = task.tracks[place]
            return track.id, self.shelf.track(track.id[:32].encode())

        made = examples.make((item,), wanted, 0, self.packs, noise).done()
        same = len(made["wave"]) == 1 and np.array_equal(made["activity"][0], row["activity"])
        if not same or made["achieved"][0] != row["achieved"]:
            raise Unheard("what was made again is not what is stored")
        wave: np.ndarray = made["wave"][0]
        return wave


def flac(samples: np.ndarray, rate: int) -> tuple[bytes, float]:
    """(16 bits a sample, the dB it was turned down by so that it does not clip)."""
    peak = float(np.abs(samples).max(initial=0.0))
    down = max(1.0, peak)
    made = io.BytesIO()
    sf.write(made, samples / down, rate, "PCM_16", format="FLAC")
    return made.getvalue(), float(20 * np.log10(down))
