"""How fast each stage was when it last had something to do.

Reads and writes: .cache/speeds.json, which no shard depends on: losing it costs the table of a
report. Does: notes files or shards, hours of audio and seconds; a stage without work notes nothing,
so that a run with nothing to do writes nothing.
"""

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.disk import store
from pipeline.errors import MelmillError


@dataclass(frozen=True)
class Speed:
    """One stage of one run."""

    count: int  # files, or shards
    seconds: float  # of audio
    elapsed: float  # s
    jobs: int  # workers
    day: str  # when, UTC

    @property
    def times(self) -> float:
        """How many seconds of audio went through in one second."""
        return self.seconds / max(self.elapsed, 1e-9)


def note(
    artifacts: Path, stage: str, count: int, seconds: float, elapsed: float, jobs: int
) -> None:
    """Keep the speed of a stage: "scan", "decode", or "shards/" and the name of a recipe."""
    if count:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        told = {name: asdict(speed) for name, speed in noted(artifacts).items()}
        told[stage] = asdict(Speed(count, seconds, elapsed, jobs, day))
        store.write_bytes(_file(artifacts), store.dump_json(store.seal({"stages": told})))


def noted(artifacts: Path) -> dict[str, Speed]:
    """What is known; nothing where the file is gone or damaged."""
    with contextlib.suppress(OSError, MelmillError, KeyError, TypeError, AttributeError):
        rows = store.load_sealed(_file(artifacts))["stages"].items()
        return {name: Speed(**row) for name, row in rows}
    return {}


def _file(artifacts: Path) -> Path:
    return artifacts / ".cache" / "speeds.json"
