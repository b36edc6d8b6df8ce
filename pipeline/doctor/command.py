"""`make doctor`: every check, a line for each.

Reads: the variables of `make features`. Does: all checks in turn; one that fails in a way of its
own is a finding too. Writes: the table on stdout.
"""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import click

from pipeline.doctor import data, folders, gpu, heard, libraries, machine
from pipeline.doctor.finding import BAD, Finding, lines, verdict
from pipeline.request import Request, options, request


@click.command("doctor")
@options
def command(**given: Any) -> None:
    """Check machine, environment and folders for a run, and say what to do. Changes nothing."""
    began = time.monotonic()
    found = []
    for finding in findings(request(**given)):
        print(lines(finding), flush=True)
        found.append(finding)
    print(f"\ndoctor: {verdict(found)}, in {time.monotonic() - began:.1f} s")
    if any(finding.mark == BAD for finding in found):
        sys.exit(1)


def findings(asked: Request) -> Iterable[Finding]:
    """All of them, in the order of a run."""
    yield from _safely("libraries", libraries.check)
    yield from _safely("codecs", heard.check)
    yield from _safely("cores", lambda: [machine.cores(asked.jobs)])
    yield from _safely("memory", lambda: [machine.memory(asked.jobs)])
    known = data.Known(told="what this data takes is not known")

    def recordings() -> Iterable[Finding]:
        nonlocal known
        known = data.check(asked)
        return known.findings

    yield from _safely("data", recordings)
    yield from _safely("artifacts", lambda: [folders.artifacts(asked.artifacts)])
    yield from _safely("disk", lambda: [folders.disk(asked.artifacts, known.need, known.told)])
    yield from _safely("training", libraries.extras)
    yield from _safely("GPU", gpu.check)


def _safely(what: str, check: Callable[[], Iterable[Finding]]) -> Iterable[Finding]:
    """A check that breaks must not hide the others."""
    try:
        yield from check()
    except Exception as err:
        told = f"the check itself broke: {type(err).__name__}: {err}"
        yield Finding(BAD, what, " ".join(told.split()), "say so to whoever looks after melmill")
