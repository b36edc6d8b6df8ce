"""How good denoisers are, all heard on the same mixtures of a recipe's test split.

Reads: the mixtures that an index names. Does: sends each of them through every system, and the
clean sound alone too; scores what comes out. Writes: how far it is, to stderr.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from training.data.batches import Batches
from training.data.index import DataError, Index
from training.data.shards import Arrays
from training.data.torch_data import count, some_pairs
from training.denoiser import dnsmos as dns
from training.denoiser import metrics
from training.denoiser.metrics import Wave
from training.denoiser.net import Denoiser
from training.denoiser.summary import CLEAN, INPUT, Row, by_group, spanned
from training.denoiser.systems import System, at_rate, costs, identity, ours
from training.errors import RunError

Score = Callable[[Wave, Wave, int], float]  # of one estimate beside its clean wave, at a rate in Hz
BATCH = 8  # mixtures at once
EVERY = 10.0  # seconds between plain lines
MASK = (1 << 64) - 1  # a group's hash is written without its sign


def measure(
    systems: Mapping[str, System],
    index: Index,
    split: str = "test",
    *,
    perceptual: bool = True,
    dnsmos: bool = True,
    limit: int = 0,
    rate: int = 0,
) -> list[Row]:
    """A row for each mixture and system, and one for each clean window and system.

    `level` of a row is its mixture's SNR in dB or the noise's standard deviation (`unit` says
    which), or "clean": there the clean window itself was the input, and `si_sdr` tells the damage
    done to it. Everything is scored at the lowest of the recipe's rate and the systems': what lies
    above half of a system's rate it was never given and cannot clean. `rate` lowers it further, for
    systems measured apart to be scored alike. What cannot be scored (silence, no speech) is nan.

    `limit` takes so many mixtures, drawn evenly; 0 takes all. `perceptual` adds PESQ and ESTOI
    (0.03 s of a core for each row) and `dnsmos` (0.2 s) where their packages are installed.
    """
    systems = {INPUT: identity, **systems}
    total = _check(index, split)
    own = int(index.recipe["audio"]["rate"])
    rate = min(own, rate or own, *(getattr(system, "rate", own) for system in systems.values()))
    scores = _scores(perceptual, perceptual and dnsmos)
    cost = {name: costs(system, own) for name, system in systems.items()}
    total = min(total, limit) if limit else total
    rows: list[Row] = []
    for batch in _shown(_with_clean(_mixtures(index, split, limit)), total, index.name):
        told = _told(index, batch, split, rate)
        clean = at_rate(batch["clean"], own, rate)
        before = metrics.si_sdr(at_rate(batch["noisy"], own, rate), clean)
        for name, system in systems.items():
            waves = at_rate(_answer(name, system, batch, own), own, rate)
            after = metrics.si_sdr(waves, clean)
            found = {"si_sdr": after, "gain": after - before}
            for score, function in scores.items():
                found[score] = [function(*pair, rate) for pair in zip(waves, clean, strict=True)]
            rows += _rows(name, told, found, cost[name])
    return rows


def matrix(
    nets: Mapping[str, tuple[Denoiser, int]],
    indexes: Mapping[str, Index],
    split: str = "test",
    *,
    limit: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Each network (with its rate) on each recipe's test split: network -> recipe -> mean `gain`
    in dB with its interval `low`, `high`, scored at the lower `rate` of the two."""
    cells: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in nets}
    for name, (net, rate) in nets.items():
        for on, index in indexes.items():
            rows = measure({name: ours(net, rate)}, index, split, perceptual=False, limit=limit)
            rows = spanned([row for row in rows if row["system"] == name])
            cells[name][on] = {**by_group(rows, "gain"), "rate": rows[0]["rate"]}
    return cells


def _check(index: Index, split: str) -> int:
    """How many mixtures the split has."""
    if "mix" not in index.recipe:
        do = "name a denoising recipe"
        raise DataError(f"{index.name} mixes nothing", index.folder, "a recipe with [mix]", do=do)
    total = count(index, split)
    if not total:
        do = "add recordings of more speakers"
        raise DataError(f"the {split} split of {index.name} is empty", index.folder, do=do)
    return total


def _scores(perceptual: bool, dnsmos: bool) -> dict[str, Score]:
    """What can be scored here, nan in place of what cannot; a line says how to get the rest."""
    missing = metrics.missing() if perceptual else []
    missing += [dns.HOW] if dnsmos and dns.model() is None else []
    for line in missing:
        _say(line)
    known: dict[str, tuple[bool, Score]] = {
        "pesq": (perceptual, metrics.pesq_wb),
        "estoi": (perceptual, metrics.estoi),
        "dnsmos": (dnsmos, dns.dnsmos),
    }
    absent = {line.split()[0].lower() for line in missing}
    return {
        name: function if wanted and name not in absent else lambda *_: math.nan
        for name, (wanted, function) in known.items()
    }


def _mixtures(index: Index, split: str, limit: int) -> Iterator[Arrays]:
    """The split's mixtures with their groups, or `limit` of them."""
    groups = _groups(index, split)
    for batch in some_pairs(index, split, limit, BATCH):
        yield {**batch, "group": np.array([groups[source] for source in batch["source"]])}


def _groups(index: Index, split: str) -> dict[bytes, int]:
    """Whom each recording is of."""
    fields = ("source", "group")
    found: dict[bytes, int] = {}
    for arrays in Batches(index, split, 4096, fields=fields, shuffle=False, ahead=False).epoch(0):
        found.update(zip(arrays["source"], map(int, arrays["group"]), strict=True))
    return found


def _with_clean(batches: Iterator[Arrays]) -> Iterator[Arrays]:
    """After each batch the clean windows that were not there before, as inputs of their own."""
    seen: set[tuple[bytes, int]] = set()
    for batch in batches:
        yield batch
        first = []
        for i, key in enumerate(zip(batch["source"], map(int, batch["start"]), strict=True)):
            if key not in seen:
                seen.add(key)
                first.append(i)
        if first:
            clean = {name: array[first] for name, array in batch.items()}
            yield {**clean, "noisy": clean["clean"], "noise_kind": np.full(len(first), -1)}


def _told(index: Index, batch: Arrays, split: str, rate: int) -> list[Row]:
    """What is known of each mixture before it is heard."""
    unit = "dB" if index.recipe["mix"]["kind"] == "snr" else "deviation"
    rows = []
    for i, kind in enumerate(map(int, batch["noise_kind"])):
        rows.append(
            {
                "recipe": index.name,
                "split": split,
                "rate": rate,
                "kind": CLEAN if kind < 0 else index.noises[kind],
                "level": CLEAN if kind < 0 else float(f"{batch['requested'][i]:.6g}"),
                "unit": unit,
                "source": batch["source"][i].decode(),
                "group": f"{int(batch['group'][i]) & MASK:016x}",
                "start": int(batch["start"][i]),
            }
        )
    return rows


def _answer(name: str, system: System, batch: Arrays, rate: int) -> Wave:
    """What a system makes of a batch; refused when it is not sound of the same length."""
    waves = system(batch["noisy"], rate)
    wanted = batch["noisy"].shape
    if waves.shape != wanted:
        raise RunError("a system changes the length", name, wanted, waves.shape)
    bad = ~np.isfinite(waves).all(1)
    if bad.any():
        i = int(bad.argmax())
        where = f"{batch['source'][i].decode()} from sample {int(batch['start'][i])}"
        raise RunError("a system gives numbers that are none", f"{name}: {where}")
    return waves


def _rows(
    name: str, told: list[Row], found: Mapping[str, Any], cost: Mapping[str, float]
) -> list[Row]:
    """One system's rows of a batch. A clean input has nothing to gain."""
    rows = []
    for i, one in enumerate(told):
        values = {score: float(column[i]) for score, column in found.items()}
        values["gain"] = math.nan if one["level"] == CLEAN else values["gain"]
        rows.append({"system": name, **one, **values, **cost})
    return rows


def _shown(batches: Iterator[Arrays], total: int, name: str) -> Iterator[Arrays]:
    """The batches; meanwhile a bar on a terminal, plain lines elsewhere."""
    begin = last = time.monotonic()
    done = 0
    form = "{desc} {percentage:3.0f}% |{bar:20}| {n}/{total} mixtures, {remaining} left"
    hidden = not sys.stderr.isatty()
    with tqdm(total=total, desc=name, bar_format=form, leave=False, disable=hidden) as bar:
        for batch in batches:
            yield batch
            fresh = len(batch["noise_kind"]) if batch["noise_kind"][0] >= 0 else 0
            done += fresh
            bar.update(fresh)
            now = time.monotonic()
            if hidden and now - last >= EVERY and 0 < done < total:
                last = now
                left = (now - begin) / done * (total - done)
                _say(f"{name}: {done} of {total} mixtures, {left:.0f} s left")


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
