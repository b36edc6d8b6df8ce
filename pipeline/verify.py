"""Are the artifacts what they claim to be?

Reads: every shard of every index, the manifest, the splits. Does: compares sha256 and counts, both
formats with each other, looks for numbers that are not finite, measures every mixture again, and
checks that no group stands in two splits. Writes: nothing, except that a damaged shard is forgotten
by the stamp cache, so that the next `make features` makes it again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import hdf5, jobs, mix, store, tfrecord
from pipeline.errors import MelmillError
from pipeline.fields import Field
from pipeline.progress import Progress

DECIBELS = 0.01  # how far a stored SNR may be from the one in the samples


@dataclass
class Report:
    """What was checked, and what is wrong: one line a fault."""

    shards: int = 0
    examples: int = 0
    mixtures: int = 0
    faults: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """One task's files, in all their formats."""

    folder: str
    fields: tuple[Field, ...]
    files: tuple[dict[str, Any], ...]
    recipe: dict[str, Any]


def verify(artifacts: Path, names: Sequence[str], count: int) -> Report:
    """Check the recipes of `artifacts` (all that have an index, or those named)."""
    report = Report()
    folders = [artifacts / n for n in names] or [p.parent for p in artifacts.glob("*/index.json")]
    folders = [folder for folder in sorted(folders) if folder.name != "pcm"]
    if not folders:
        raise MelmillError("nothing to verify", where=artifacts, do="run `make features` first")
    checks = [check for folder in folders for check in _checks(folder, report)]
    with Progress("verify", len(checks), "shard") as bar:
        for index, (faults, damaged, examples, mixtures) in jobs.run(check_files, checks, count):
            report.faults += faults
            report.damaged += [Path(path) for path in damaged]
            report.shards += len(checks[index].files)
            report.examples += examples
            report.mixtures += mixtures
            bar.step(1)
    report.faults += _leaks(folders, artifacts)
    report.faults.sort()
    return report


def _checks(folder: Path, report: Report) -> Iterator[Check]:
    try:
        index = store.load_sealed(folder / "index.json")
    except FileNotFoundError:
        report.faults.append(f"{folder}: no index.json. Run `make features`")
        return
    except MelmillError as err:
        report.faults.append(str(err))
        return
    described = tuple(Field.from_json(f) for f in index["fields"])
    noise = tuple(Field.from_json(f) for f in index["noise_fields"])
    named = {"index.json"}
    groups: dict[str, list[dict[str, Any]]] = {}
    for file in (*index["shards"], *index["noise"]):
        groups.setdefault(Path(file["path"]).stem, []).append(file)
        named |= {file["path"], Path(file["path"]).stem + ".json"}
    for stem, files in groups.items():
        fields = noise if stem.startswith("noise-") else described
        yield Check(str(folder), fields, tuple(files), index["recipe"])
    extra = sorted(p.name for p in folder.iterdir() if p.suffix != ".json" and p.name not in named)
    report.faults += [f"{folder / name}: in no index. Run `make features`" for name in extra]


def check_files(check: Check) -> tuple[list[str], list[str], int, int]:
    """(faults, damaged files, examples, mixtures measured) of one task. Runs in a worker."""
    faults, damaged, mixtures, examples = [], [], 0, 0
    parity: dict[str, dict[str, np.ndarray]] = {}
    for file in check.files:
        path = store.inside(Path(check.folder), file["path"])
        try:
            arrays = _read(path, file, check.fields)
        except (MelmillError, OSError) as err:
            faults.append(str(err))
            damaged.append(str(path))
            continue
        parity[file["format"]] = arrays
        examples = file["examples"]
    for first in list(parity.values())[:1]:
        faults += _content(first, check)
        if check.recipe["mix"] and "noisy" in first:
            found, mixtures = audit(first, check.recipe)
            faults += [f"{check.folder}/{check.files[0]['path']}: {fault}" for fault in found]
    if len(parity) == 2:
        one, two = parity.values()
        differ = [name for name in one if not np.array_equal(one[name], two[name])]
        where = f"{check.folder}/{check.files[0]['path']}"
        faults += [f"{where}: {name} differs between HDF5 and TFRecord" for name in differ]
    return faults, damaged, examples, mixtures


def _read(path: Path, file: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    if len(data) != file["bytes"] or store.sha256(data) != file["sha256"]:
        raise MelmillError(
            "damaged shard",
            where=path,
            expected=f"{file['bytes']} bytes, sha256 {file['sha256'][:12]}",
            got=f"{len(data)} bytes, sha256 {store.sha256(data)[:12]}",
            do="run `make features`: it makes just this shard again",
        )
    if file["format"] == "hdf5":
        arrays = hdf5.decode(data, fields)
    else:
        arrays = tfrecord.decode(data, fields, file["examples"])
    held = len(next(iter(arrays.values())))
    if held != file["examples"]:
        raise MelmillError("wrong count", where=path, expected=file["examples"], got=held)
    return arrays


def _content(arrays: Mapping[str, np.ndarray], check: Check) -> list[str]:
    where = f"{check.folder}/{check.files[0]['path']}"
    return [
        f"{where}: {name} holds numbers that are not finite"
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]


def audit(arrays: Mapping[str, np.ndarray], recipe: Mapping[str, Any]) -> tuple[list[str], int]:
    """Measure every stored mixture again and compare with its label."""
    faults = []
    table, rate = recipe["mix"], recipe["audio"]["rate"]
    for row in range(len(arrays["noisy"])):
        clean, noisy = arrays["clean"][row], arrays["noisy"][row]
        label, gain = float(arrays["achieved"][row]), float(arrays["gain"][row])
        wanted = float(arrays["requested"][row])
        if table["kind"] == "snr":
            found = mix.measured_snr(clean, noisy, speech_level=table["speech_level"], rate=rate)
            off = max(abs(found - label), abs(found - wanted))
        else:
            found = mix.measured_level(clean, noisy)
            off = max(abs(_decibels(found / label)), abs(_decibels(found / (wanted * gain))))
        if not off <= DECIBELS:
            said = f"labelled {label:.4g} (asked {wanted:.4g})"
            faults.append(f"mixture {row} is {said} and measures {found:.4g}")
    return faults, len(arrays["noisy"])


def _decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio)) if ratio > 0 else float("inf")


def _leaks(folders: Sequence[Path], artifacts: Path) -> list[str]:
    """No group and no recording in two splits of one recipe, by what the shards themselves say."""
    faults = []
    for folder in folders:
        try:
            index = store.load_sealed(folder / "index.json")
        except (MelmillError, OSError):
            continue  # reported already
        described = [Field.from_json(f) for f in index["fields"]]
        seen: dict[tuple[str, Any], str] = {}
        for file in index["shards"]:
            if file["format"] != index["shards"][0]["format"]:
                continue
            try:
                arrays = _columns(folder / file["path"], file, described)
            except (MelmillError, OSError):
                continue  # damaged: reported already
            for kind, values in arrays.items():
                for value in set(values.tolist()):
                    other = seen.setdefault((kind, value), file["split"])
                    if other != file["split"]:
                        faults.append(
                            f"{folder / file['path']}: {kind} {value} stands in {other} too. "
                            "A leak: name groups in a list, or give SPLITS="
                        )
    return faults


def _columns(
    path: Path, file: Mapping[str, Any], fields: Sequence[Field]
) -> dict[str, np.ndarray]:
    if file["format"] == "hdf5":
        arrays = hdf5.decode(path, fields)
    else:
        arrays = tfrecord.decode(path, fields, file["examples"])
    return {name: arrays[name] for name in ("source", "group")}
