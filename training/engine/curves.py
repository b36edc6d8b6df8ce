"""TensorBoard's curves of a run: the numbers of metrics.jsonl, no more and no fewer.

Reads: metrics.jsonl. Does: draws it anew when a process begins to add to it, as a killed process
takes with it what TensorBoard had not written yet, and leaves behind what is to be done again.
Writes: the run's tensorboard/, where TensorBoard is installed.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from training.run import Run, say


class Curves:
    """Begun at the first row: a finished run that is looked at again is left as it is."""

    def __init__(self, run: Run | None) -> None:
        self.run, self.kind = run, _tensorboard() if run else None
        self.writer: Any = None
        self.began = 0.0  # by the clock, if the run had never paused

    def add(self, row: Mapping[str, Any]) -> None:
        """A row that metrics.jsonl holds by now."""
        if self.run is None or self.kind is None:
            return
        rows: Sequence[Mapping[str, Any]] = [row]
        if self.writer is None:
            self.began, rows = time.time() - row["seconds"], self.run.metrics()
            folder = self.run.folder / "tensorboard"
            for path in folder.glob("events.out.tfevents.*"):
                path.unlink()
            self.writer = self.kind(str(folder), purge_step=0)  # of what a viewer read before, too
        for row in rows:
            self._draw(row)

    def _draw(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name not in ("kind", "step", "seconds") and value is not None:
                when = self.began + row["seconds"]
                self.writer.add_scalar(f"{row['kind']}/{name}", value, row["step"], when)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def _tensorboard() -> Any:
    # Its own stub for file names, or it loads all of TensorFlow where that is installed: seconds,
    # and 500 MB, to write a few numbers.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("TensorBoard is not installed: the curves are in metrics.jsonl alone")
        return None
    return SummaryWriter
