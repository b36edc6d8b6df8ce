"""One training run's folder: artifacts/runs/<model>/<run>/.

Reads and writes: ``config.json`` (model, configuration, data keys, threads, ranks, versions),
``state.json`` (unfinished or finished), ``metrics.jsonl``, ``.lock``. Does: starts a run or goes
on with it, refuses to go on with anything else than it began with. Knows no framework.
"""

import contextlib
import io
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import joblib

from training import durable
from training.data.index import DataError
from training.errors import Changed, Damaged, RunError
from training.facts import called, differences, signed, versions
from training.locks import free, lock

SCHEMA = 1
LONGEST = 80  # characters of a value in a message


def say(text: str) -> None:
    """One line to a person; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


def main(work: Callable[[], object]) -> int:
    """Run a training script's work; what stops it is one line and an exit code. Who closes the pipe
    that stdout goes to has seen enough: that is no failure."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):  # a folder's name may hold bytes that are no text
        out.reconfigure(errors="backslashreplace")
    try:
        code = _done(work)
        out.flush()
        if sys.stdout is not out:  # click, too, has seen that the pipe is closed, and exits with 1
            raise BrokenPipeError
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, or Python would tell of it as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return 0
    return code


def _done(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as stop:
        return int(stop.code or 0)
    except (RunError, DataError) as err:
        say(str(err))
        return int(getattr(err, "exit_code", 1))
    except click.ClickException as err:
        say(" ".join(err.format_message().split()))
        return 2
    except BrokenPipeError:
        raise
    except OSError as err:  # what stdout goes to, say
        say(str(RunError(str(err), do=durable.what_to_do(err))))
        return 1
    except (KeyboardInterrupt, click.Abort):  # click makes the one of the other
        say("interrupted")
        return 130
    return 0


class Run:
    """A run whose lock we hold. `facts` is what it began with."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder, self.facts = folder, facts
        self.began = time.monotonic()  # a budget counts from here
        self.config: dict[str, Any] = facts["config"]
        self.threads: int = facts["setup"]["threads"]
        self.key = durable.digest(signed(facts))

    @property
    def state(self) -> dict[str, Any]:
        return read_state(self.folder)

    @property
    def finished(self) -> bool:
        return self.state["state"] == "finished"

    def mark(self, state: str, **more: Any) -> None:
        """Say durably that the run is unfinished or finished; `opened` orders runs by use."""
        row = {"state": state, "opened": time.time(), **more}
        durable.write_json(self.folder / "state.json", row)

    def log(self, **values: Any) -> None:
        """Add a line to metrics.jsonl; what is not a finite number becomes null."""
        finite = {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)}
        line = {**dict.fromkeys(values), **finite}
        durable.append(self.folder / "metrics.jsonl", durable.dump_json(line))

    def metrics(self) -> list[dict[str, Any]]:
        """The whole lines of metrics.jsonl."""
        return read_metrics(self.folder)

    def rewind(self, count: int) -> float:
        """Keep the first `count` lines of metrics; returns the seconds used up to the last one."""
        path = self.folder / "metrics.jsonl"
        rows = self.metrics()
        if len(rows) < count:
            say(f"WARNING: {path}: {len(rows)} whole lines instead of {count}; the run goes on")
        kept = b"".join(durable.dump_json(row) for row in rows[:count])
        if path.exists() and path.read_bytes() != kept:
            durable.write(path, [kept])
        return max((float(row.get("seconds") or 0.0) for row in rows), default=0.0)


@contextlib.contextmanager
def opened(
    root: Path,
    model: str,
    config: Mapping[str, Any],
    data: Mapping[str, str],
    *,
    name: str = "",
    threads: int = 0,
    ranks: int = 1,
) -> Iterator[Run]:
    """Start the run under `root`/runs/`model`, or go on with it, holding its lock.

    Without a name it is called after what determines it, so the same command goes on with the same
    run. `data` is recipe -> index key. `threads` 0 takes what the run began with, or all cores.
    """
    facts = {"schema": SCHEMA, "model": model, "config": dict(config), "data": dict(data)}
    facts = json.loads(durable.dump_json(facts))  # what a file can hold: lists for tuples
    name = name or called(facts, ranks)
    for word in (model, name):
        check_name(word)
    folder = root / "runs" / model / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise durable.write_error(folder, err) from err
    with lock(folder):
        durable.sweep(folder)
        run = Run(folder, _agreed(folder, facts, threads, ranks))
        if not run.finished:
            run.mark("unfinished")
        yield run


def check_name(word: str) -> None:
    """Refuses what is not the name of a folder, such as a path."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", word):
        raise Changed("not a name for a run", got=repr(word), do="use letters, digits, . _ -")


def can_begin(root: Path, model: str, config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuses at once, before anything slow is imported, what `opened` would refuse of runs with
    these names: `config` is what is known of theirs by now. The first name is a person's own."""
    if names[0]:
        check_name(names[0])
    now = json.loads(durable.dump_json(config))
    for folder in (root / "runs" / model / name for name in names if names[0]):
        if (folder / "config.json").exists():
            known = read_config(folder)
            before = {key: known["config"].get(key) for key in now}
            _compare(folder, {**known, "config": before}, {**known, "config": now})
            free(folder)


def _agreed(folder: Path, facts: dict[str, Any], threads: int, ranks: int) -> dict[str, Any]:
    """What the run began with, now or before; refused when that is something else."""
    known = read_config(folder) if (folder / "config.json").exists() else None
    threads = threads or (known["setup"]["threads"] if known else cores() // ranks or 1)
    facts["setup"] = {"threads": threads, "ranks": ranks}
    if known:
        _compare(folder, known, facts)
        _warn(folder, known)
    facts["versions"] = known["versions"] if known else versions()
    if not known:
        durable.write_json(folder / "config.json", facts)
    return facts


def cores() -> int:
    """Those that this process may use, by affinity and quota, and by OMP_NUM_THREADS.

    Beside two busy programs on two cores a diarizer learnt 12 examples/s with one thread, 5 with 2.
    """
    here = joblib.cpu_count()
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ  # which says 1 where nobody said a number
    asked = "" if by_torchrun else os.environ.get("OMP_NUM_THREADS", "")
    return min(here, int(asked)) if asked.isdecimal() and int(asked) else here


def read_config(folder: Path) -> dict[str, Any]:
    """What a run began with."""
    facts = durable.read_json(folder / "config.json")
    if facts.get("schema") != SCHEMA:
        raise Damaged("a run of another schema", folder, SCHEMA, facts.get("schema"))
    return facts


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; a kill may have cut the last one."""
    rows: list[dict[str, Any]] = []
    path = folder / "metrics.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError):
            break
    return rows


def read_state(folder: Path) -> dict[str, Any]:
    """Whether a run is finished; one killed before it could say so is not."""
    return durable.read_or(folder / "state.json", {"state": "unfinished", "opened": 0.0}, say)


def _compare(folder: Path, known: dict[str, Any], now: dict[str, Any]) -> None:
    if changed := differences(known, now):
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise Changed(
            "the run began otherwise",
            folder,
            ", ".join(f"{key} = {short(old)}" for key, old, _ in changed[:5]) + more,
            ", ".join(short(new) for _, _, new in changed[:5]),
            do="set it back, or name a new run with RUN=",
        )


def _warn(folder: Path, known: dict[str, Any]) -> None:
    installed = versions()
    for key, value in known["versions"].items():
        if installed.get(key) != value:
            began = f"{folder}: began with {key} {value}, goes on with {installed.get(key)}"
            say(f"{began}: the weights may differ in their last bits from an uninterrupted run's")


def short(value: Any) -> str:
    """A value in a message: a list of a hundred means says no more than its begin."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
