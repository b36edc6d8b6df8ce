"""The commands. Each stage is one; the Makefile holds a short line for each.

Reads: options, or the environment variables that `make` sets (DATA, RECIPE, JOBS, ...). Does: takes
the run lock, calls the stages, turns every failure into one line and an exit code. Writes: the
summary on stdout; everything else through the stages.
"""

import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline import build, cookbook, corpus, decode, demo, jobs, layouts, plan, scan, store, verify
from pipeline.errors import MelmillError, UsageError
from pipeline.progress import Progress


@dataclass
class Request:
    """What a person asked for."""

    data: str
    artifacts: Path
    recipes: tuple[str, ...]
    layout: str
    role: str
    splits: str
    jobs: int
    max_rejected: float

    def root(self) -> Path:
        return Path(self.data).resolve() if self.data else demo_or_data(self.artifacts)


class _Bytes(click.ParamType):
    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", str(value).strip().lower())
        if not found:
            self.fail(f"{value!r} is no size; say 4GB or 800MB", param, ctx)
        return int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " "))


where = click.option(
    "--artifacts", envvar="ARTIFACTS", default="artifacts", show_default=True,
    help="Where everything made goes.",
)  # fmt: skip


def options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every stage shares."""
    found = [
        click.option(
            "--data", envvar="DATA", default="", help="Folder of recordings. [default: data/, "
            "or the demo corpus while that is empty]",
        ),
        where,
        click.option(
            "--recipe", "recipes", envvar="RECIPE", default="",
            help="Shipped names or paths to TOML files, separated by commas or spaces. "
            "[default: every recipe that the data can feed]",
        ),
        click.option(
            "--layout", envvar="LAYOUT", default="auto", show_default=True,
            help="How the folder is laid out: " + ", ".join(layouts.LAYOUTS) + ".",
        ),
        click.option(
            "--role", envvar="ROLE", default="",
            help="What recordings are where nothing says so: clean, noise, music, labelled.",
        ),
        click.option(
            "--splits", envvar="SPLITS", default="",
            help="A file of `group,split` lines to keep, or `groups` to ignore official splits.",
        ),
        click.option(
            "--jobs", "count", envvar="JOBS", type=click.IntRange(1, 1024), default=None,
            help="Worker processes. [default: one for each core]",
        ),
        click.option(
            "--max-ram", envvar="MAX_RAM", type=_Bytes(), default=None,
            help=f"Memory the workers may use together, such as 4GB; bounds their number "
            f"({jobs.WORKER >> 20} MB each).",
        ),
        click.option(
            "--max-rejected", envvar="MAX_REJECTED", type=click.FloatRange(0, 100), default=5.0,
            show_default=True, help="Percentage of bad files above which the run stops.",
        ),
    ]  # fmt: skip
    for option in reversed(found):
        command = option(command)
    return command


def request(**given: Any) -> Request:
    return Request(
        data=given["data"],
        artifacts=Path(given["artifacts"]).resolve(),
        recipes=tuple(filter(None, re.split(r"[,\s]+", given["recipes"]))),
        layout=given["layout"],
        role=given["role"],
        splits=given["splits"],
        jobs=jobs.workers(given["count"], given["max_ram"]),
        max_rejected=given["max_rejected"],
    )


def demo_or_data(artifacts: Path) -> Path:
    """data/, or the demo corpus while nothing is in it."""
    data = Path("data").resolve()
    if data.is_dir() and any(p.name != "README.md" and p.name[0] != "." for p in data.iterdir()):
        return data
    folder = artifacts / "demo"
    with Progress("demo corpus", 1) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.step(done - bar.done)

        if demo.ensure(folder, progress=progress):
            store.say(f"data/ is empty: made the demo corpus (synthetic sound) in {folder}")
    return folder


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a folder of audio into sealed training shards, once."""


@cli.command("scan")
@options
def scan_command(**given: Any) -> None:
    """Look at every file: id, header, label, group. Cheap when nothing changed."""
    asked = request(**given)
    with store.lock(asked.artifacts):
        store.sweep_temps(asked.artifacts)
        _scan(asked)


def _scan(asked: Request) -> scan.Manifest:
    root = asked.root()
    kept = dataclasses.asdict(asked) | {"artifacts": ""}
    store.write_if_changed(asked.artifacts / ".cache" / "last.json", store.dump_json(kept))
    began = time.monotonic()
    manifest = scan.scan(root, asked.artifacts, asked.layout, asked.role, asked.jobs)
    used = manifest.used()
    hours = sum(r.frames / r.rate for r in used) / 3600
    print(
        f"scan: {len(manifest.records)} audio files in {root} (layout {manifest.layout}), "
        f"{len(used)} usable, {hours:.2f} h, {time.monotonic() - began:.1f} s"
    )
    if not used:
        raise MelmillError(
            "no usable audio", where=root, do="give DATA=a folder with recordings in it"
        )
    return manifest


@cli.command("decode")
@options
def decode_command(**given: Any) -> None:
    """Decode every file once into sealed packs (after `scan`)."""
    asked = request(**given)
    with store.lock(asked.artifacts):
        _decode(asked, scan.read(asked.artifacts, asked.root()))


def _decode(asked: Request, manifest: scan.Manifest) -> corpus.Corpus:
    began = time.monotonic()
    decoded = decode.decode(manifest, asked.root(), asked.artifacts, asked.jobs)
    elapsed = time.monotonic() - began
    found = corpus.gather(manifest, decoded, asked.artifacts, asked.splits)
    what = "nothing to do"
    if decoded.done:
        speed = decoded.seconds / max(elapsed, 1e-9)
        what = f"{decoded.done} files, {decoded.seconds / 3600:.2f} h, {speed:.0f} x real time"
    print(f"decode: {what}")
    corpus.check_rejected(found, asked.max_rejected)
    return found


@cli.command("shards")
@options
def shards_command(**given: Any) -> None:
    """Make the recipes' shards and indexes (after `decode`), and the summary."""
    asked = request(**given)
    with store.lock(asked.artifacts):
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
def features_command(**given: Any) -> None:
    """All stages in one go: scan, decode, shards."""
    _features(request(**given))


def _features(asked: Request) -> None:
    with store.lock(asked.artifacts):
        store.sweep_temps(asked.artifacts)
        _shards(asked, _decode(asked, _scan(asked)))


@cli.command("resume")
@where
def resume_command(artifacts: str) -> None:
    """Go on with what the last `features` was asked for."""
    root = Path(artifacts).resolve()
    try:
        last = store.load_json(root / ".cache" / "last.json")
        asked = Request(**{**last, "artifacts": root, "recipes": tuple(last["recipes"])})
    except (FileNotFoundError, TypeError, KeyError) as err:
        raise MelmillError("nothing to resume", where=root, do="run `make features`") from err
    _features(asked)


def _shards(asked: Request, found: corpus.Corpus) -> None:
    wanted = cookbook.load(asked.recipes)
    missing = {one.name: lack for one in wanted if (lack := plan.lacks(one, found))}
    if missing and asked.recipes:
        lacks = "; ".join(f"{name} needs {lack}" for name, lack in missing.items())
        raise UsageError(
            f"this data cannot feed what was asked: {lacks}",
            do="tell more in a list (melmill.csv), or say ROLE= if all of it is of one role",
        )
    hashes = store.Hashes(asked.artifacts / ".cache" / "hashes.json")
    built = []
    try:
        for one in wanted:
            if one.name not in missing:
                built.append(build.build(one, found, asked.artifacts, asked.jobs, hashes))
    finally:
        hashes.save()
    print(summary(found, built, missing, asked.artifacts))


def summary(
    found: corpus.Corpus, built: list[build.Built], missing: dict[str, str], artifacts: Path
) -> str:
    """What came of it, for a person."""
    rejected = found.rejected()
    why = ", ".join(f"{n} {code}" for code, n in rejected.most_common())
    recordings = found.decoded.recordings
    hours = sum(r.frames / r.rate for r in recordings.values()) / 3600
    lines = [
        "",
        f"found {len(found.records)} files = used {len(found.used())} ({hours:.2f} h) "
        f"+ rejected {sum(rejected.values())}" + (f" ({why})" if why else ""),
    ]
    if rejected:
        lines.append(f"  each rejected file with its reason: {artifacts / 'rejected.csv'}")
    width = max((len(b.name) for b in built), default=6)
    if built:
        head = f"{'recipe':{width}}  {'train':>7} {'valid':>6} {'test':>6} {'shards':>6} {'MB':>7}"
        lines += ["", head + "  this run"]
    for b in built:
        lines.append(_line(b, width))
    for name, lack in missing.items():
        lines.append(f"{name:{width}}  not built: it needs {lack}")
    if built and not any(b.made for b in built):
        lines += ["", f"nothing to do: all of it stands in {artifacts}"]
    elif built:
        lines += ["", f"done: each recipe's index is {artifacts}/<recipe>/index.json"]
    return "\n".join(lines)


def _line(b: build.Built, width: int) -> str:
    counts = b.index["counts"]["examples"]
    files = [*b.index["shards"], *b.index["noise"]]
    size = sum(f["bytes"] for f in files) / 1e6
    numbers = f"{counts['train']:>7} {counts['valid']:>6} {counts['test']:>6}"
    text = f"{b.name:{width}}  {numbers} {len(files):>6} {size:>7.1f}  "
    if b.made:
        text += f"{b.made} shards made, {b.seconds / max(b.elapsed, 1e-9):.0f} x real time"
    else:
        text += "nothing to do"
    skipped = ", ".join(f"{n} {code}" for code, n in b.index["counts"]["skipped"].items())
    return text + (f"; skipped {skipped}" if skipped else "")


@cli.command("verify")
@options
def verify_command(**given: Any) -> None:
    """Check every shard against its index, its twin format, its labels and the splits; the decoded
    audio against its checksums, and the lists against each other."""
    asked = request(**given)
    with store.lock(asked.artifacts):
        names = [one.name for one in cookbook.load(asked.recipes)] if asked.recipes else []
        report = verify.verify(asked.artifacts, names, asked.jobs)
        _forget(asked.artifacts, report)
    for fault in report.faults:
        print(fault)
    print(
        f"verify: {report.shards} shards, {report.examples} examples, "
        f"{report.mixtures} mixtures measured again: "
        + (f"{len(report.faults)} faults" if report.faults else "all good")
    )
    if report.faults:
        sys.exit(1)


def _forget(artifacts: Path, report: verify.Report) -> None:
    known = [store.Hashes(artifacts / ".cache" / "hashes.json"), decode.marks(artifacts)]
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
    with store.lock(root):
        for name in sorted(os.listdir(root)):
            if store.ours(root / name):
                store.remove_tree(root / name)
            elif name != ".lock":
                store.say(f"left alone (not made by melmill): {root / name}")


def main() -> None:
    """Run a command; every way to fail has its exit code."""
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as err:
        err.show()
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
