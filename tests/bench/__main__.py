"""`python -m tests.bench`: how fast and how large, as ratios of things measured in one run.

Reads nothing. Does: runs every benchmark on synthetic recordings in temporary folders. The things
a row compares take turns (A B A B) and the medians are set against each other, so that what else
the machine does falls on both; a first turn, not counted, starts workers and fills caches. A
ratio is other / ours in time (above 1: ours is faster) and ours / other in memory. Nothing is
asserted. Writes: the table on stdout, artifacts/bench.json, and bench.png where matplotlib is.
"""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipeline.__main__  # noqa: F401  (first: the commands' threads and allocator, here too)
from pipeline.disk import store
from tests.bench import bench_chain, bench_labels, bench_memory, bench_rest, bench_training
from tests.bench.common import Row

LIBRARIES = ("numpy", "scipy", "soundfile", "soxr", "librosa", "h5py", "joblib")
PEERS = ("torch", "tensorflow", "tensorflow-cpu", "webdataset", "lhotse", "kaldi-native-fbank")
PEERS += ("essentia",)  # without them some rows are passed over


def main() -> None:
    began, load = time.monotonic(), os.getloadavg()
    print(_machine())
    parts: dict[str, Callable[[], list[Row]]] = {
        "mel kernel": _mel,
        "chain": bench_chain.run,
        "labels": bench_labels.run,
        "many files, mixtures, start": bench_rest.run,
        "memory": bench_memory.run,
        "training": bench_training.run,
        "TensorFlow, tagger, hybrid": _tensorflow,
    }
    rows = []
    for number, (name, run) in enumerate(parts.items(), 1):
        past = f"{time.monotonic() - began:.0f} s"
        print(f"{number} of {len(parts)}, after {past}: {name}", file=sys.stderr, flush=True)
        rows += run()
    _table(rows)
    after = os.getloadavg()
    print(f"\n{time.monotonic() - began:.0f} s; load average {load[0]:.1f}, then {after[0]:.1f}")
    if max(load[0], after[0] - 2) > (os.cpu_count() or 1) / 2:  # 2: our own two workers
        print("the machine was busy with other work: what needs two cores, or a disk, looks slow")
    folder = Path(os.environ.get("ARTIFACTS") or "artifacts")  # make exports what is not said
    found = {
        "machine": _machine(),
        "load": [load[0], after[0]],
        "rows": [{**vars(row), "met": row.met()} for row in rows],
    }
    store.write_bytes(folder / "bench.json", store.dump_json(found, pretty=True))
    print(f"written: {folder / 'bench.json'}")
    _picture(rows, folder / "bench.png")


def _machine() -> str:
    found = importlib.metadata.distributions()
    there = {each.metadata["Name"].lower().replace("_", "-"): each.version for each in found}
    named = [f"{name} {there[name]}" for name in (*LIBRARIES, *PEERS) if name in there]
    versions = " ".join(named)
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    when = time.strftime("%Y-%m-%d %H:%M")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{when}, {cpu}, {os.cpu_count()} cores, {system}\n{versions}"


def _mel() -> list[Row]:
    try:
        from tests.bench import bench_mel
    except ImportError as missing:
        print(f"skipped: the mel kernel beside librosa ({missing})")
        return []
    return bench_mel.run()


def _tensorflow() -> list[Row]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no word on what it was built for
    try:
        from tests.bench import bench_hybrid, bench_tagger, bench_tf
    except ImportError as missing:
        print(f"skipped: how TensorFlow is fed, taggers and hybrids ({missing})")
        return []
    # bench_tf last: its threads and memory stay
    return [*bench_tagger.run(), *bench_hybrid.run(), *bench_tf.run()]


def _table(rows: list[Row]) -> None:
    cells: list[tuple[Any, ...]] = [("what", "ours", "other", "ratio", "target", "")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.{2 if row.ratio >= 0.1 else 4}f}"
        sign = "<=" if row.at_most else ">="
        target = "" if row.target is None else f"{sign} {row.target:g}"
        cells.append((row.what, row.ours, row.other, ratio, target, VERDICT[row.met()]))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    print()
    for line in cells:
        left, right = f"{line[0]:{widths[0]}}", zip(line[1:], widths[1:], strict=True)
        print("  ".join([left, *(f"{cell:>{width}}" for cell, width in right)]).rstrip())


VERDICT = {True: "met", False: "not met", None: ""}


def _picture(rows: list[Row], path: Path) -> None:
    """Ratios over their targets: a bar past the line is met (memory: a bar short of it)."""
    try:
        import matplotlib
    except ImportError:
        print("skipped: bench.png (matplotlib is not installed: pip install 'melmill[bench]')")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row.ratio is not None and row.target]
    figure, axes = pyplot.subplots(figsize=(10, 0.4 * len(shown) + 1), layout="constrained")
    shares = [(row.ratio or 0.0) / (row.target or 1.0) for row in shown]
    colours = ["tab:green" if row.met() else "tab:red" for row in shown]
    axes.barh([row.what for row in shown], shares, color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("ratio / target")
    figure.savefig(path, dpi=120)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
