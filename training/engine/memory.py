"""How much memory a TensorFlow run takes: told before it begins, held against a ceiling after.

Reads: what the system says of this process, of its control groups and of its GPU. Does: adds up
what a step keeps for its gradient, and finds into how few parts a batch must be cut to stay below
the ceiling. Writes nothing.

A step keeps every layer's output until its gradient is taken. SPARE of that was seen to come on
top, and FIXED for graphs and libraries, whatever the net (nets of 0.2 to 0.6 M parameters, batches
of 16 to 64, TensorFlow 2.21 on two cores).
"""

import math
import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import psutil
import tensorflow as tf

from training.errors import Changed

DEFAULT = 15 << 30  # bytes: what a free GPU machine in the cloud has
FIXED = 300 << 20  # bytes
SPARE = 1.3
COPIES = 7  # of each weight: itself, gradient, sum of gradients, two moments, average, checkpoint
FLOAT = 4  # bytes
MOST = 64  # parts of a batch
SMALL = 10 << 20  # bytes, which are no hundredth of a GB
GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Control groups by version: where they are mounted, a group's limit, what it holds besides files.
MOUNTS = {
    "": ("", "memory.max", "anon"),
    "memory": ("memory", "memory.limit_in_bytes", "total_rss"),
}


@dataclass(frozen=True)
class Plan:
    """What a run is expected to take at most."""

    ceiling: int  # bytes
    expected: int
    parts: int  # that a device's share of a batch is worked in

    def line(self, batch: int) -> str:
        how = f"batches of {batch} in {self.parts} parts" if self.parts > 1 else f"batch {batch}"
        return f"memory: {shown(self.expected)} expected, ceiling {shown(self.ceiling)} ({how})"


def planned(net: keras.Model, batch: int, data: int, ceiling: int) -> Plan:
    """For steps of `batch` examples of this device with `net`, whose inputs have fixed lengths, and
    `data` bytes of examples in memory at once."""
    each = kept(net)
    weights = COPIES * FLOAT * net.count_params()
    for parts in (n for n in range(1, min(batch, MOST) + 1) if batch % n == 0):
        expected = now() + FIXED + weights + data + int(SPARE * each * (batch // parts))
        if expected <= ceiling:
            return Plan(ceiling, expected, parts)
    do = "allow more, or choose a smaller net or batch"
    raise Changed("does not fit", "MAX_RAM", shown(expected), shown(ceiling), do)


def kept(net: keras.Model) -> int:
    """Bytes of one example's outputs of all layers."""
    outputs = [layer.output for layer in net.layers]
    return sum(FLOAT * math.prod(out.shape[1:]) for out in outputs if hasattr(out, "shape"))


def allowed(asked: int) -> int:
    """What may be used: as asked, and no more than there is beside what others use."""
    there = psutil.virtual_memory().available + now()
    return min(asked or DEFAULT, there, grouped())


def grouped() -> int:
    """What control groups, such as a container's, leave to this process; what they hold of files
    gives way."""
    told = OWN.read_text() if OWN.exists() else ""
    found = [sys.maxsize]
    for line in told.splitlines():
        _, kinds, own = line.split(":", 2)
        if kinds in MOUNTS:
            mount, limit, held = MOUNTS[kinds]
            place = GROUPS / mount / own.lstrip("/")
            for folder in (place, *place.parents):  # a container may see its own as the first
                found += _left(folder / limit, folder / "memory.stat", held)
    return min(found)


def _left(limit: Path, stat: Path, held: str) -> list[int]:
    """A group's limit, less what its other processes hold; none where it has no limit."""
    text = limit.read_text().strip() if limit.exists() else ""
    if not text.isdigit():  # such as max
        return []
    info = psutil.Process().memory_info()
    (used,) = re.findall(rf"^{held} (\d+)$", stat.read_text(), re.M) or [0]
    return [int(text) - max(0, int(used) - (info.rss - info.shared))]


def now() -> int:
    """Bytes that this process takes."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most that it has taken so far."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM"):  # getrusage's counts the process that started this one
            return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most << 10)


def gpu_peak() -> int:
    """The most that TensorFlow has taken of the first GPU; 0 where there is none."""
    if not tf.config.list_physical_devices("GPU"):
        return 0
    told: dict[str, Any] = tf.config.experimental.get_memory_info("GPU:0")
    return int(told["peak"])


def shown(size: float) -> str:
    if size < SMALL:
        return f"{size / 2**20:.2g} MB" if size >= 1 << 20 else f"{size:.0f} bytes"
    return f"{size / 2**30:.2f} GB"
