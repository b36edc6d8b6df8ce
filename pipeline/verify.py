"""Are the artifacts what they claim to be?

Reads: every shard of every index, once; packs and lists through verify_corpus.py, receipts and
guessed labels through verify_notes.py. Does: compares sha256 and counts, both formats with each
other, looks for numbers that are not finite and for labels that name nothing, measures every
mixture again, and checks that no group and no recording stands in two splits. Writes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import jobs, verify_corpus, verify_notes
from pipeline.cookbook import RESERVED
from pipeline.disk import store
from pipeline.dsp import mix
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
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
    classes: int = 0
    noise: bool = False  # tracks, not examples
    guessed: frozenset[str] = frozenset()  # recordings whose labels were made, by their first 16

    @property
    def where(self) -> str:
        return f"{self.folder}/{self.files[0]['path']}"


@dataclass
class Found:
    """What one check came to."""

    faults: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    examples: int = 0
    mixtures: int = 0
    who: set[tuple[str, Any]] = field(default_factory=set)  # ("group" or "source", value)


def verify(artifacts: Path, names: Sequence[str], count: int) -> Report:
    """Check the recipes of `artifacts` (all that have an index, or those named)."""
    report = Report()
    folders = [artifacts / name for name in names] or _folders(artifacts)
    if not folders:
        raise MelmillError("nothing to verify", where=artifacts, do="run `make features` first")
    checks = [check for folder in folders for check in _checks(folder, report)]
    with Progress("verify", len(checks), "shard") as bar:
        results = {}
        for index, found in jobs.run(check_files, checks, count):
            results[index] = found
            bar.step(1)
    for index, check in enumerate(checks):
        found = results[index]
        report.faults += found.faults
        report.damaged += found.damaged
        report.shards += len(check.files)
        report.examples += found.examples
        report.mixtures += found.mixtures
    report.faults += _leaks(checks, [results[index].who for index in range(len(checks))])
    faults, damaged = verify_corpus.check(artifacts, count)
    report.faults = sorted(report.faults + faults)
    report.damaged += damaged
    return report


def _folders(artifacts: Path) -> list[Path]:
    """Where shards are, or an index says that they should be."""
    found = {path.parent for end in ("index.json", "*.h5", "*.tfrecord")
             for path in artifacts.glob(f"*/{end}")}  # fmt: skip
    return sorted(folder for folder in found if folder.name not in RESERVED)


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
    groups: dict[str, list[dict[str, Any]]] = {}
    for file in (*index["shards"], *index["noise"]):
        groups.setdefault(Path(file["path"]).stem, []).append(file)
    base = Check(str(folder), described, (), index["recipe"], len(index["classes"]))
    base = replace(base, guessed=frozenset(path.name[:16] for path in verify_notes.entries(folder)))
    tracks = replace(base, fields=noise, noise=True)
    for stem, files in groups.items():
        yield replace(tracks if stem.startswith("noise-") else base, files=tuple(files))
    wanted = {f"{stem}.json" for stem in groups}
    notes = (
        verify_notes.receipts(folder, wanted),
        verify_notes.labels(folder, index.get("counts", {})),
    )
    for faults, damaged in notes:
        report.faults += faults
        report.damaged += damaged
    named = {file["path"] for files in groups.values() for file in files}
    report.faults += verify_notes.extra(folder, named)


def check_files(check: Check) -> Found:
    """Look at one task's files. Runs in a worker."""
    found = Found()
    formats: list[dict[str, np.ndarray]] = []
    for file in check.files:
        path = Path(check.folder) / file["path"]
        try:
            store.inside(Path(check.folder), file["path"])
            formats.append(_read(path, file, check.fields))
        except (MelmillError, OSError) as err:
            found.faults.append(str(err) if str(path) in str(err) else f"{path}: {err}")
            found.damaged.append(path)
    if not formats:
        return found
    first = formats[0]
    found.examples = 0 if check.noise else check.files[0]["examples"]
    found.who = _who(first, check.noise)
    faults = _content(first, check)
    if check.recipe["mix"] and "clean" in first and {"noisy", "wave"} & set(first):
        wrong, found.mixtures = audit(first, check.recipe)
        faults += wrong
    for other in formats[1:]:
        differ = [name for name in first if not np.array_equal(first[name], other[name])]
        faults += [f"{name} differs between HDF5 and TFRecord" for name in differ]
    found.faults += [f"{check.where}: {fault}" for fault in faults]
    return found


def _read(path: Path, file: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise MelmillError("missing shard", where=path, do="run `make features`")
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
    faults = [
        f"{name} holds numbers that are not finite"
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]
    tops = {"label": check.classes - 1, "tags": 1, "activity": 1, "generated": 1}
    for name in tops.keys() & set(check.recipe["output"]["fields"]) & set(arrays):
        low, high = arrays[name].min(), arrays[name].max()
        if low < 0 or high > tops[name]:
            faults.append(f"{name} goes from {low} to {high}; expected 0 to {tops[name]}")
    if "generated" in arrays:
        made = [source[:16].decode() in check.guessed for source in arrays["source"].tolist()]
        if made != arrays["generated"].tolist():
            faults.append("generated marks other recordings than those whose labels were made")
    return faults


def _who(arrays: Mapping[str, np.ndarray], noise: bool) -> set[tuple[str, Any]]:
    """Recordings, groups and voices of examples; what is heard in noise tracks."""
    if noise:
        return {("group", who) for who in arrays["groups"].ravel().tolist() if who}  # 0 is nobody
    kinds = {"group", "source", "voices"} & set(arrays)
    return {(kind, value) for kind in kinds for value in arrays[kind].ravel().tolist() if value}


def audit(arrays: Mapping[str, np.ndarray], recipe: Mapping[str, Any]) -> tuple[list[str], int]:
    """Measure every stored mixture again and compare with its label."""
    faults = []
    table, rate = recipe["mix"], recipe["audio"]["rate"]
    heard = arrays["noisy" if "noisy" in arrays else "wave"]
    for row, (clean, noisy) in enumerate(zip(arrays["clean"], heard, strict=True)):
        label, wanted, gain = (float(arrays[n][row]) for n in ("achieved", "requested", "gain"))
        if table["kind"] == "snr":
            found = _snr(clean, noisy, table["speech_level"], rate)
            off = max(abs(found - label), abs(found - wanted))
        else:
            found = mix.measured_level(clean, noisy)
            off = max(abs(_decibels(found, label)), abs(_decibels(found, wanted * gain)))
        if not off <= DECIBELS:
            said = f"labelled {label:.4g} (asked {wanted:.4g})"
            faults.append(f"mixture {row} is {said} and measures {found:.4g}")
    return faults, len(heard)


def _snr(clean: np.ndarray, noisy: np.ndarray, level: str, rate: int) -> float:
    try:
        return mix.measured_snr(clean, noisy, speech_level=level, rate=rate)
    except mix.Silent:
        return float("nan")


def _decibels(one: float, other: float) -> float:
    return float(20 * np.log10(one / other)) if one > 0 and other > 0 else float("inf")


def _leaks(checks: Sequence[Check], who: Sequence[set[tuple[str, Any]]]) -> list[str]:
    """No group and no recording in two splits of one recipe."""
    faults = []
    seen: dict[tuple[str, str, Any], str] = {}
    for check, names in zip(checks, who, strict=True):
        split = check.files[0]["split"]
        for kind, value in sorted(names, key=str):
            other = seen.setdefault((check.folder, kind, value), split)
            if other != split:
                do = "A leak: name groups in a list, or give SPLITS="
                faults.append(f"{check.where}: {kind} {value} stands in {other} too. {do}")
    return faults
