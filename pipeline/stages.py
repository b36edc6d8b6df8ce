"""The stages, one after another: what `make features` does.

Reads: what was asked, and what the last run noted. Does: takes the run lock, runs scan, decode and
shards, says what came of each and how fast it was. Writes: the summary on stdout; last.json, for
`resume`; everything else through the stages.
"""

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

from pipeline import build, cookbook, corpus, decode, plan, scan, unchanged
from pipeline.disk import clean, guard, stamps, store
from pipeline.errors import MelmillError, UsageError
from pipeline.request import Request
from pipeline.speeds import note
from pipeline.summary import counted, scanned, span, summary

PEOPLE = (
    "add recordings of other speakers (a folder each, or their names in melmill.csv), or deal out "
    "those that are there with SPLITS="
)
MORE = (
    "say ROLE=clean, noise or music if all of it is of one role; give each class a folder; "
    "or tell more in a list (melmill.csv)"
)
SCANNED = "scanned"  # in last.json: the folder that manifest.jsonl is of


def features(asked: Request) -> None:
    with guard.lock(asked.artifacts):
        clean.sweep_temps(asked.artifacts)
        look = unchanged.Look(asked)
        if told := look.told():
            _remember(asked, asked.folder())
            print(told)
            return
        manifest = _scan(asked)
        found = _decode(asked, manifest)
        again = f"{scanned(manifest, asked.root())}\ndecode: nothing to do\n{_shards(asked, found)}"
        passing = decode.PASSING & set(found.rejected())
        if not passing and not corpus.strangers(found, asked.splits):
            look.note(again)


def scan_alone(asked: Request) -> None:
    with guard.lock(asked.artifacts):
        clean.sweep_temps(asked.artifacts)
        _scan(asked)


def decode_alone(asked: Request) -> None:
    with guard.lock(asked.artifacts):
        _decode(asked, _scanned(asked))


def shards_alone(asked: Request) -> None:
    with guard.lock(asked.artifacts):
        _shards(asked, _decode_quietly(asked))


def last(root: Path) -> Request | None:
    """What was asked for the last time."""
    try:
        last = _noted(root)
        last.pop(SCANNED, "")
        return Request(**{**last, "artifacts": root, "recipes": tuple(last["recipes"])})
    except (FileNotFoundError, TypeError, KeyError, AttributeError):
        return None


def _scan(asked: Request) -> scan.Manifest:
    root = asked.root()
    known = False
    with contextlib.suppress(OSError, MelmillError, AttributeError):  # a note, which may be lost
        known = _noted(asked.artifacts).get(SCANNED) == os.fspath(root)
    _remember(asked, root if known else "")  # the list that stands may be another folder's
    began = time.monotonic()
    manifest = scan.scan(root, asked.artifacts, asked.layout, asked.role, asked.jobs)
    _remember(asked, root)
    elapsed = time.monotonic() - began
    note(asked.artifacts, "scan", *manifest.looked, elapsed, asked.jobs)
    print(f"{scanned(manifest, root)}, in {elapsed:.1f} s")
    if manifest.records and not manifest.used():
        corpus.refuse_all(manifest.records, asked.artifacts)
    if not manifest.records:
        raise MelmillError(
            "no usable audio", where=root, do="give DATA=a folder with recordings in it"
        )
    return manifest


def _scanned(asked: Request) -> scan.Manifest:
    """What the scan before found, which must have been of the same folder."""
    root, of = asked.folder(), None
    with contextlib.suppress(FileNotFoundError, AttributeError):
        of = _noted(asked.artifacts).get(SCANNED)
    if of not in (None, os.fspath(root)):
        raise UsageError(
            f"the last scan was of {of}, not of {root}" if of else "the last scan did not end",
            do="run `make scan` with the same DATA first",
        )
    return scan.read(asked.artifacts, root)


def _remember(asked: Request, scanned: Path | str) -> None:
    """For `resume`; and which folder the manifest is of."""
    kept = dataclasses.asdict(asked) | {"artifacts": "", SCANNED: os.fspath(scanned)}
    store.write_if_changed(asked.artifacts / ".cache" / "last.json", store.dump_json(kept))


def _noted(root: Path) -> Any:
    return store.load_json(root / ".cache" / "last.json")


def _decode(asked: Request, manifest: scan.Manifest) -> corpus.Corpus:
    began = time.monotonic()
    decoded = decode.decode(manifest, asked.root(), asked.artifacts, asked.jobs)
    elapsed = time.monotonic() - began
    note(asked.artifacts, "decode", decoded.done, decoded.seconds, elapsed, asked.jobs)
    found = corpus.gather(manifest, decoded, asked.artifacts, asked.splits)
    what = "nothing to do"
    if decoded.done:
        speed = decoded.seconds / max(elapsed, 1e-9)
        what = f"{counted(decoded.done, 'file')}, {span(decoded.seconds)}, {speed:.0f} x real time"
    print(f"decode: {what}")
    if strange := corpus.strangers(found, asked.splits):
        some = counted(len(strange), "group")
        store.say(f"{asked.splits}: {some} not in this data, such as {strange[0]!r}")
    corpus.check_rejected(found, asked.max_rejected)
    return found


def _decode_quietly(asked: Request) -> corpus.Corpus:
    manifest = _scanned(asked)
    decoded = decode.decode(manifest, asked.root(), asked.artifacts, asked.jobs)
    found = corpus.gather(manifest, decoded, asked.artifacts, asked.splits)
    corpus.check_rejected(found, asked.max_rejected)
    return found


def _shards(asked: Request, found: corpus.Corpus) -> str:
    """Returns what a run with nothing to do would say."""
    wanted = cookbook.load(asked.recipes)
    missing = {one.name: lack for one in wanted if (lack := plan.lacks(one, found))}
    if missing and asked.recipes:
        lacks = "; ".join(f"{name} needs {lack}" for name, lack in missing.items())
        few = any("two speakers" in lack for lack in missing.values())
        raise UsageError(
            f"this data cannot feed what was asked: {lacks}", do=PEOPLE if few else MORE
        )
    hashes = stamps.Hashes(asked.artifacts / ".cache" / "hashes.json")
    built = []
    try:
        for one in wanted:
            if one.name not in missing:
                b = build.build(one, found, asked.artifacts, asked.jobs, hashes)
                note(asked.artifacts, f"shards/{b.name}", b.made, b.seconds, b.elapsed, asked.jobs)
                built.append(b)
    finally:
        hashes.save()
    print(summary(found, built, missing, asked.artifacts))
    if not built:
        raise UsageError("this data can feed no recipe", where=asked.root(), do=MORE)
    still = [dataclasses.replace(one, made=0) for one in built]
    return summary(found, still, missing, asked.artifacts)
