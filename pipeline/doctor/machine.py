"""Cores and memory: what there is, what limits it, how many workers a run will have.

Reads: what the system says of itself and of the control groups (versions 1 and 2) that this
process is in. Does: counts as the run will count, and says where that is too much. Writes nothing.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import joblib
import psutil

from pipeline import jobs
from pipeline.doctor.finding import BAD, NOTE, OK, Finding, size

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
NO_LIMIT = 1 << 60  # version 1 writes a number of about 2^63 where there is none


def groups(kind: str) -> Iterator[tuple[str, Path]]:
    """(version, folder) of each group around this process that bounds `kind` (cpu, memory)."""
    told = OWN.read_text() if OWN.exists() else ""
    for line in told.splitlines():
        _, kinds, own = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        mount = GROUPS / kind if kinds else GROUPS
        place = mount / own.lstrip("/")
        for folder in (place, *place.parents):  # a container may see its own as the first
            if folder.is_relative_to(mount):
                yield ("1" if kinds else "2"), folder


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def quota() -> float:
    """Cores that the tightest group allows, such as 1.5; infinite where none says anything."""
    found = [math.inf]
    for version, folder in groups("cpu"):
        if version == "2":
            words = _words(folder / "cpu.max")
        else:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            found.append(int(words[0]) / int(words[1]))
    return min(found)


def ceiling() -> tuple[int, int] | None:
    """(limit, bytes in use besides files) of the tightest group around; None without a limit."""
    found = []
    for version, folder in groups("memory"):
        limit, held = (
            ("memory.max", "anon") if version == "2" else ("memory.limit_in_bytes", "total_rss")
        )
        words = _words(folder / limit)
        if words and words[0].isdigit() and int(words[0]) < NO_LIMIT:
            stat = _words(folder / "memory.stat")
            used = int(stat[stat.index(held) + 1]) if held in stat else 0
            found.append((int(words[0]), used))
    return min(found, key=lambda one: one[0] - one[1], default=None)


def cores(count: int) -> Finding:
    """`count` workers will run."""
    here, allowed, most = os.cpu_count() or 1, joblib.cpu_count(), quota()
    told = f"{here} in the machine, {jobs.cores()} for this process"
    if hasattr(os, "sched_getaffinity"):
        told += f" (affinity {len(os.sched_getaffinity(0))}"
        told += f", quota {most:.3g})" if most < math.inf else ", no quota)"
    told += f"; a run has {count} worker{'' if count == 1 else 's'}"
    right = max(1, min(math.ceil(most), allowed)) if most < math.inf else allowed
    if count > right:
        do = f"say JOBS={right}: more workers wait for each other"
        return Finding(NOTE, "cores", told, do)
    return Finding(OK, "cores", told)


def memory(count: int) -> Finding:
    """Whether `count` workers fit."""
    there = psutil.virtual_memory()
    told, free = f"{size(there.total)}, {size(there.available)} of it available", there.available
    bound = ceiling()
    if bound is not None and bound[0] < there.total:
        free = min(free, max(0, bound[0] - bound[1]))
        told += f"; this process' group may have {size(bound[0])}, {size(bound[1])} are in use"
    fit = free // jobs.WORKER
    told += f"; {fit} worker{'' if fit == 1 else 's'} of {size(jobs.WORKER)} fit"
    if not fit:
        return Finding(BAD, "memory", told, "end other programs, or allow this group more")
    if fit < count:
        do = f"say MAX_RAM={free >> 20}MB (then JOBS is {fit}), or end other programs"
        return Finding(NOTE, "memory", f"{told}, a run has {count}", do)
    return Finding(OK, "memory", told)
