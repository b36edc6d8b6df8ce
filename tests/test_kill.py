"""Kill -9 at every system call, named point and random time: the next run ends in the same bytes.

Reads nothing. Does: kills real runs, starts them again, compares every byte with a run that nothing
disturbed. Writes: pytest's temporary folders.
"""

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import corpus, forked, runs
from tests.runs import World, gone, killed_at, needs_strace
from tests.sweeps import note

MUTATING = ("write", "fsync", "rename", "unlink", "mkdir")
OTHERS = ("pwrite64", "fdatasync", "renameat", "renameat2", "unlinkat", "ftruncate")  # not used


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return runs.world(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpus.hook(tmp_path_factory.mktemp("alone"), corpus.ALONE)


@pytest.fixture(scope="module")
def server() -> Iterator[forked.Server]:
    with forked.server() as found:
        yield found


@needs_strace
@pytest.mark.parametrize(
    ("call", "count"),
    [("write", n) for n in (1, 5, 30, 71)]
    + [("fsync", n) for n in (2, 17, 60, 99)]
    + [("rename", n) for n in (1, 9, 30, 50)]
    + [("unlink", 6), ("mkdir", 1)],
)
def test_kill_at_a_system_call(
    world: World, server: forked.Server, tmp_path: Path, call: str, count: int
) -> None:
    kill_at(world, server, tmp_path, call, count)


def kill_at(world: World, server: forked.Server, folder: Path, call: str, count: int) -> None:
    """Kill -9 on entering the `count`-th `call`, then the same command again."""
    artifacts, said = folder / "artifacts", folder / "said"
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={count}")
    died = server.traced(world.args(artifacts), said, "-o", os.devnull, *inject)
    assert died == -signal.SIGKILL, f"{call} {count}: {died} {said.read_text()}"
    world.check_names(artifacts)
    assert server.run(world.args(artifacts), said) == 0, said.read_text()
    world.check(artifacts)
    note("kill -9 at a system call of preprocessing, then the same bytes", 1, 1)


# A third recipe, for more places to be killed at.
WAVES = """
name = "tiny-mels"
about = "log-mel windows of speech"
[select]
roles = ["clean"]
""" + corpus.CLASSES[corpus.CLASSES.index("[audio]") :].replace('"class"', '"none"').replace(
    '"logmel", "label"', '"logmel"'
)


@pytest.fixture(scope="session")
def wide(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    texts = (corpus.MIX, corpus.CLASSES, WAVES)
    return runs.made(tmp_path_factory.mktemp("wide"), world.data, *texts)


def points(world: World, tmp_path: Path, server: forked.Server) -> list[tuple[str, int]]:
    """Every system call by which a run changes something, counted by watching one.

    A call that fails (a folder that is there already) leaves things as the next point finds them.
    """
    log = tmp_path / "calls.log"
    every = "trace=" + ",".join((*MUTATING, *OTHERS))
    told = world.args(tmp_path / "counted")
    assert server.traced(told, tmp_path / "said", "-o", os.fspath(log), "-e", every) == 0
    calls = re.findall(r"^(\d+) +(\w+)\(.* += (-?\d+)", log.read_text("latin-1"), re.MULTILINE)
    count: Counter[str] = Counter()
    found = []
    for pid, call, result in calls:
        if pid == calls[0][0]:
            count[call] += 1
            found += [(call, count[call])] if int(result) >= 0 else []
    return found


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_kill_at_every_system_call(wide: World, server: forked.Server, tmp_path: Path) -> None:
    """Every point of the whole run."""
    wanted = points(wide, tmp_path, server)
    for index, (call, count) in enumerate(wanted):
        kill_at(wide, server, tmp_path, call, count)
        shutil.rmtree(tmp_path / "artifacts")
        if index % 50 == 0:
            print(f"{index} of {len(wanted)} points", flush=True)
    assert len(wanted) >= 300


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_kill_every_process_at_its_own_call(world: World, tmp_path: Path, call: str) -> None:
    """With workers: the n-th call of each process kills it, until none gets so far."""
    count, struck = 1, True
    while struck:
        artifacts = tmp_path / str(count)
        struck = killed_at(world, artifacts, {}, call, count)
        world.check_names(artifacts)
        world.finish(artifacts)
        shutil.rmtree(artifacts)
        note("kill -9 of every process at its own call, then the same bytes", 1, 1)
        count += 1 if count < 8 else 5


@pytest.mark.parametrize("fault", ["open:4", "write:12", "fsync:3", "rename:3", "syncdir:6"])
def test_kill_at_a_named_point(
    world: World, alone: dict[str, str], tmp_path: Path, fault: str
) -> None:
    """The same without strace: the pipeline's own fault points."""
    artifacts = tmp_path / "artifacts"
    done = corpus.run(world.args(artifacts), {**alone, "MELMILL_FAULT": fault})
    assert done.returncode == -signal.SIGKILL
    world.check_names(artifacts)
    world.finish(artifacts, env=alone)


def test_kill_while_old_shards_are_swept(
    world: World, alone: dict[str, str], tmp_path: Path
) -> None:
    """A changed recipe leaves shards that nothing names: removing them is cut short."""
    artifacts = tmp_path / "artifacts"
    changed = corpus.MIX.replace("0.0, 10.0", "0.0, 12.0")
    told = ["--recipe", corpus.recipes(tmp_path, changed), "--artifacts", artifacts, "--jobs", 1]
    assert corpus.run(["features", "--data", world.data, *told], alone).returncode == 0
    done = corpus.run(world.args(artifacts), {**alone, "MELMILL_FAULT": "unlink:3"})
    assert done.returncode == -signal.SIGKILL
    world.finish(artifacts, env=alone)


def random_chain(world: World, artifacts: Path, seed: int) -> None:
    """Three kills at random times, then a run to the end."""
    dice = random.Random(seed)
    print(f"seed {seed}")
    for _ in range(3):
        run = world.start(artifacts, 2)
        time.sleep(dice.uniform(0.3, max(1.0, world.seconds)))
        target = dice.choice(["group", "group", "parent"])
        if target == "group":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        if dice.random() < 0.5:  # the other half starts again at once
            run.wait()
            assert gone(run.pid, 2.0)
            world.check_names(artifacts)
    world.finish(artifacts, 2)
    note("kill -9 at a random time, in chains of three, then the same bytes", 3, 3)


@pytest.mark.parametrize("seed", [11])
def test_chain_of_kills_at_random_times(world: World, tmp_path: Path, seed: int) -> None:
    random_chain(world, tmp_path / "artifacts", seed)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_200_kills_at_random_times(world: World, tmp_path: Path) -> None:
    for seed in range(1000, 1067):
        random_chain(world, tmp_path / str(seed), seed)
        shutil.rmtree(tmp_path / str(seed))


# The first worker that gets so far kills itself: no busy machine is too late for its end.
STRIKE = """
import itertools, os, signal, sys
def strike():
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:  # another was the first
        return
    os.kill(os.getpid(), signal.SIGKILL)
if "--process-name" in sys.orig_argv:  # as workers are started
    if {writes} == 0:
        strike()
    import pipeline.disk.store
    count = itertools.count(1)
    def write(self, data, write=pipeline.disk.store.Sink.write):
        if next(count) == {writes}:
            strike()
        return write(self, data)
    pipeline.disk.store.Sink.write = write
"""


@pytest.mark.parametrize(("writes", "jobs"), [(0, 2), (1, 1), (4, 2)])
def test_a_killed_worker_does_not_end_the_run(
    world: World, tmp_path: Path, writes: int, jobs: int
) -> None:
    """As it starts, and in the middle of what it writes."""
    mark = tmp_path / "struck"
    env = corpus.hook(tmp_path / "hook", STRIKE.format(writes=writes, mark=os.fspath(mark)))
    done = corpus.run(world.args(tmp_path / "artifacts", jobs), env)
    assert done.returncode == 0, done.stderr
    assert mark.exists()
    assert "a worker process died" in done.stderr
    world.check(tmp_path / "artifacts")


def joined(log: str) -> Iterator[str]:
    """The log's lines; a call that another process' line cuts in two is one, where it ends."""
    begun: dict[str, str] = {}
    for line in log.splitlines():
        process, _, rest = line.partition(" ")
        if line.endswith(" <unfinished ...>"):
            begun[process] = line.removesuffix(" <unfinished ...>")
        elif found := re.match(r" *<\.\.\. \w+ resumed>(.*)", rest):
            yield begun.pop(process, "") + found[1]
        else:
            yield line


def events(log: str, artifacts: Path) -> Iterator[tuple[str, list[str]]]:
    """(call, paths below the artifacts) of each successful call, in the order of time."""
    for line in joined(log):
        found = re.match(r"^\d+ +(\w+)\((.*)\) += (-?\d+)", line)
        if not found or int(found[3]) < 0:
            continue
        quoted = re.findall(rf'[<"]({re.escape(os.fspath(artifacts))}[^">]*)[>"]', found[2])
        if quoted and not (found[1] == "openat" and "O_CREAT" not in found[2]):
            yield found[1], quoted


def order_faults(log: str, artifacts: Path) -> list[str]:
    """What power loss could tear: an unsynced file renamed, a folder not synced before an index."""
    dirty: set[str] = set()  # files with bytes that may not be on the disk
    unsynced: dict[str, list[str]] = {}  # folder -> names in it that may not be
    sealed, faults = 0, []
    free = (f"{artifacts}/.lock", f"{artifacts}/.cache/inside/")
    for call, paths in events(log, artifacts):
        if call == "openat" and "/.tmp-" not in paths[-1] and not paths[-1].startswith(free):
            faults.append(f"opened for writing under its final name: {paths[-1]}")
        elif call in ("write", "pwrite64"):
            dirty.add(paths[0])
        elif call == "fsync" and Path(paths[0]).is_dir():
            unsynced.pop(paths[0], None)
        elif call == "fsync":
            dirty.discard(paths[0])
        elif call.startswith("rename"):
            sealed += 1
            source, final = paths[0], Path(paths[1])
            faults += [f"renamed before fsync: {final}"] if source in dirty else []
            if final.name == "index.json" and unsynced.get(os.fspath(final.parent)):
                faults.append(f"{final} names what is not on disk: {unsynced}")
            unsynced.setdefault(os.fspath(final.parent), []).append(final.name)
    faults += [f"folder not synced after {names}" for names in unsynced.values()]
    return faults or ([] if sealed > 40 else [f"only {sealed} renames seen"])


def test_a_call_that_is_cut_in_two_counts_once() -> None:
    log = "1 fsync(9</a/x> <unfinished ...>\n2 +++ exited with 0 +++\n1 <... fsync resumed>)    = "
    assert list(events(f"{log}0\n", Path("/a"))) == [("fsync", ["/a/x"])]
    assert list(events(f"{log}-1 EIO\n", Path("/a"))) == []


@needs_strace
def test_order_for_power_loss(world: World, server: forked.Server, tmp_path: Path) -> None:
    """For each name: write, fsync of the file, rename, fsync of the folder; an index comes last."""
    log, artifacts = tmp_path / "log", tmp_path / "artifacts"
    calls = "trace=openat,write,pwrite64,fsync,rename,renameat,renameat2"
    options = ("-y", "-o", os.fspath(log), "-e", calls)
    assert server.traced(world.args(artifacts), tmp_path / "said", *options) == 0
    assert order_faults(log.read_text(errors="replace"), artifacts) == []
