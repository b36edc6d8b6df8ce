"""The commands. Each stage is one; the Makefile holds a short line for each.

Reads: options, or the environment variables that `make` sets (DATA, RECIPE, JOBS, ...). Does: takes
the run lock, calls the stages, turns every failure into one line and an exit code. Writes: the
summary on stdout; everything else through the stages.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from pipeline import build, cookbook, corpus, decode, jobs, plan, scan, unchanged, verify
from pipeline.disk import clean, guard, stamps, store
from pipeline.doctor import command as doctor
from pipeline.errors import MelmillError, UsageError
from pipeline.real import command as real
from pipeline.request import Request, options, request, where
from pipeline.summary import counted, scanned, span, summary

PEOPLE = (
    "add recordings of other speakers (a folder each, or their names in melmill.csv), or deal out "
    "those that are there with SPLITS="
)
MORE = (
    "say ROLE=clean, noise or music if all of it is of one role; give each class a folder; "
    "or tell more in a list (melmill.csv)"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a folder of audio into sealed training shards, once."""


@cli.command("scan")
@options
def scan_command(**given: Any) -> None:
    """Look at every file: id, header, label, group. Cheap when nothing changed."""
    asked = request(**given)
    with guard.lock(asked.artifacts):
        store.sweep_temps(asked.artifacts)
        _scan(asked)


def _scan(asked: Request) -> scan.Manifest:
    root = asked.root()
    _remember(asked)
    began = time.monotonic()
    manifest = scan.scan(root, asked.artifacts, asked.layout, asked.role, asked.jobs)
    print(f"{scanned(manifest, root)}, in {time.monotonic() - began:.1f} s")
    if not manifest.used():
        raise MelmillError(
            "no usable audio", where=root, do="give DATA=a folder with recordings in it"
        )
    return manifest


def _remember(asked: Request) -> None:
    """For `resume`."""
    kept = dataclasses.asdict(asked) | {"artifacts": ""}
    store.write_if_changed(asked.artifacts / ".cache" / "last.json", store.dump_json(kept))


@cli.command("decode")
@options
def decode_command(**given: Any) -> None:
    """Decode every file once into sealed packs (after `scan`)."""
    asked = request(**given)
    with guard.lock(asked.artifacts):
        _decode(asked, scan.read(asked.artifacts, asked.root()))


def _decode(asked: Request, manifest: scan.Manifest) -> corpus.Corpus:
    began = time.monotonic()
    decoded = decode.decode(manifest, asked.root(), asked.artifacts, asked.jobs)
    elapsed = time.monotonic() - began
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


@cli.command("shards")
@options
def shards_command(**given: Any) -> None:
    """Make the recipes' shards and indexes (after `decode`), and the summary."""
    asked = request(**given)
    with guard.lock(asked.artifacts):
        _shards(asked, _decode_quietly(asked))


def _decode_quietly(asked: Request) -> corpus.Corpus:
    root = asked.root()
    manifest = scan.read(asked.artifacts, root)
    decoded = decode.decode(manifest, root, asked.artifacts, asked.jobs)
    found = corpus.gather(manifest, decoded, asked.artifacts, asked.splits)
    corpus.check_rejected(found, asked.max_rejected)
    return found


@cli.command("features")
@options
@click.option("--as-before", is_flag=True, help="What is not said is as it was the last time.")
@click.pass_context
def features_command(ctx: click.Context, as_before: bool, **given: Any) -> None:
    """All stages in one go: scan, decode, shards."""
    asked = request(**given)
    last = _last(asked.artifacts) if as_before else None
    if last is not None:
        unsaid = ("data", "layout", "role", "splits", "max_rejected")
        default = click.core.ParameterSource.DEFAULT
        same = {n: getattr(last, n) for n in unsaid if ctx.get_parameter_source(n) is default}
        asked = dataclasses.replace(asked, **same)
    _features(asked)


def _features(asked: Request) -> None:
    with guard.lock(asked.artifacts):
        store.sweep_temps(asked.artifacts)
        look = unchanged.Look(asked)
        if told := look.told():
            _remember(asked)
            print(told)
            return
        manifest = _scan(asked)
        found = _decode(asked, manifest)
        again = f"{scanned(manifest, asked.root())}\ndecode: nothing to do\n{_shards(asked, found)}"
        passing = decode.PASSING & set(found.rejected())
        if not passing and not corpus.strangers(found, asked.splits):
            look.note(again)


@cli.command("resume")
@where
def resume_command(artifacts: str) -> None:
    """Go on with what the last `features` was asked for."""
    root = Path(artifacts).resolve()
    asked = _last(root)
    if asked is None:
        raise MelmillError("nothing to resume", where=root, do="run `make features`")
    _features(asked)


def _last(root: Path) -> Request | None:
    """What was asked for the last time."""
    try:
        last = store.load_json(root / ".cache" / "last.json")
        return Request(**{**last, "artifacts": root, "recipes": tuple(last["recipes"])})
    except (FileNotFoundError, TypeError, KeyError):
        return None


def _shards(asked: Request, found: corpus.Corpus) -> str:
    """Returns what a run with nothing to do would say."""
    wanted = cookbook.load(asked.recipes)
    missing = {one.name: lack for one in wanted if (lack := plan.lacks(one, found))}
    if missing and asked.recipes:
        lacks = "; ".join(f"{name} needs {lack}" for name, lack in missing.items())
        few = any("speakers" in lack for lack in missing.values())
        raise UsageError(
            f"this data cannot feed what was asked: {lacks}", do=PEOPLE if few else MORE
        )
    hashes = stamps.Hashes(asked.artifacts / ".cache" / "hashes.json")
    built = []
    try:
        for one in wanted:
            if one.name not in missing:
                built.append(build.build(one, found, asked.artifacts, asked.jobs, hashes))
    finally:
        hashes.save()
    print(summary(found, built, missing, asked.artifacts))
    if not built:
        raise UsageError("this data can feed no recipe", where=asked.root(), do=MORE)
    still = [dataclasses.replace(one, made=0) for one in built]
    return summary(found, still, missing, asked.artifacts)


@cli.command("verify")
@options
def verify_command(**given: Any) -> None:
    """Check every shard against its index, its twin format, its labels and the splits; the decoded
    audio against its checksums, and the lists against each other."""
    asked = request(**given)
    with guard.lock(asked.artifacts):
        names = [one.name for one in cookbook.load(asked.recipes)] if asked.recipes else []
        report = verify.verify(asked.artifacts, names, asked.jobs)
        _forget(asked.artifacts, report)
    for fault in report.faults:
        print(fault)
    print(
        f"verify: {report.shards} shards, {report.examples} examples, "
        f"{report.mixtures} mixtures measured again: "
        + (counted(len(report.faults), "fault") if report.faults else "all good")
    )
    if report.faults:
        sys.exit(1)


def _forget(artifacts: Path, report: verify.Report) -> None:
    known = [stamps.Hashes(artifacts / ".cache" / "hashes.json"), decode.marks(artifacts)]
    for hashes in known if report.damaged else ():
        for path in report.damaged:
            hashes.forget(path)
        hashes.save()


@cli.command("clean")
@where
def clean_command(artifacts: str) -> None:
    """Remove everything made. Costs time only."""
    root = Path(artifacts).resolve()
    if not root.is_dir():
        return
    with guard.lock(root):
        for name in clean.clean(root):
            store.say(f"left alone (not made by melmill): {root / name}")


cli.add_command(doctor.command)
cli.add_command(real.command)


def main() -> None:
    """Run a command; every way to fail has its exit code."""
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as err:
        store.say(f"error: {' '.join(err.format_message().split())}")
        sys.exit(2)
    except (MelmillError, OSError) as problem:
        error = problem if isinstance(problem, MelmillError) else _refused(problem)
        jobs.kill_workers()
        store.say(f"error: {error}")
        sys.exit(error.exit_code)


def _refused(err: OSError) -> MelmillError:
    """The system refused something that no stage expected: a full disk below a note, say."""
    where = Path(os.fsdecode(err.filename)) if err.filename else Path("standard output")
    return store.write_error(where, err)
