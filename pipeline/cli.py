"""The commands. Each stage is one; the Makefile holds a short line for each.

Reads: options, or the environment variables that `make` sets (DATA, RECIPE, JOBS, ...). Does: calls
the stages, turns every failure into one line and an exit code. Writes: what was found on stdout;
everything else through the stages.
"""

import dataclasses
import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from pipeline import cookbook, decode, jobs, stages, verify
from pipeline.disk import clean, guard, stamps, store
from pipeline.doctor import command as doctor
from pipeline.errors import MelmillError
from pipeline.real import command as real
from pipeline.reports import pages
from pipeline.request import named, options, recipe, request, where
from pipeline.summary import counted

DATA = ("data", "layout", "role", "splits", "max_rejected")  # said of one folder, true of no other


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a folder of audio into sealed training shards, once."""


@cli.command("scan")
@options
def scan_command(**given: Any) -> None:
    """Look at every file: id, header, label, group. Cheap when nothing changed."""
    stages.scan_alone(request(**given))


@cli.command("decode")
@options
def decode_command(**given: Any) -> None:
    """Decode every file once into sealed packs (after `scan`)."""
    stages.decode_alone(request(**given))


@cli.command("shards")
@options
def shards_command(**given: Any) -> None:
    """Make the recipes' shards and indexes (after `decode`), and the summary."""
    stages.shards_alone(request(**given))


@cli.command("features")
@options
@click.option("--as-before", is_flag=True, help="What is not said of the same data is as it was.")
@click.pass_context
def features_command(ctx: click.Context, as_before: bool, **given: Any) -> None:
    """All stages in one go: scan, decode, shards."""
    asked = request(**given)
    last = stages.last(asked.artifacts) if as_before else None
    default = click.core.ParameterSource.DEFAULT
    unsaid = [name for name in DATA if ctx.get_parameter_source(name) is default]
    if last is not None and ("data" in unsaid or asked.folder() == last.folder()):
        asked = dataclasses.replace(asked, **{name: getattr(last, name) for name in unsaid})
    stages.features(asked)


@cli.command("resume")
@where
def resume_command(artifacts: str) -> None:
    """Go on with what the last `features` was asked for."""
    root = Path(artifacts).resolve()
    asked = stages.last(root)
    if asked is None:
        raise MelmillError("nothing to resume", where=root, do="run `make features`")
    stages.features(asked)


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


@cli.command("report")
@where
@recipe
def report_command(artifacts: str, recipes: str) -> None:
    """Write a page about each recipe: what is in its shards, to look at and to listen to."""
    root = Path(artifacts).resolve()
    with guard.lock(root):
        faults = pages.write(root, named(recipes) or pages.built(root))
    for fault in faults:
        store.say(fault)
    if faults:
        sys.exit(1)


@cli.command("clean")
@where
def clean_command(artifacts: str) -> None:
    """Remove shards, decoded sound and pages: all that can be made again. Trained models stay."""
    root = Path(artifacts).resolve()
    if not root.is_dir():
        return
    with guard.lock(root):
        for name in clean.clean(root):
            why = "trained models" if name == clean.RUNS else "not made by make features"
            store.say(f"left alone ({why}): {root / name}")


cli.add_command(doctor.command)
cli.add_command(real.command)


def main() -> None:
    """Run a command; every way to fail has its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a folder's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
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
    if not err.filename or err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return store.write_error(where, err)
    return MelmillError(
        f"cannot read or write: {err.strerror}",
        where=where,
        do="see who may use it, or mend the disk, then run the same command again",
    )
