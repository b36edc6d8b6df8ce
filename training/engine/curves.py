"""TensorBoard's curves of a run: the numbers of metrics.jsonl, no more and no fewer.

Reads: metrics.jsonl. Does: draws it anew when a process begins to add to it, as a killed process
takes with it what TensorBoard had not written yet, and leaves behind what is to be done again.
Writes: the run's tensorboard/, where TensorBoard is installed.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from training.run import Run, say


class Curves:
    """Begun at the first row: a finished run that is looked at again is left as it is."""

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.writer: _Events | None = None
        self.absent = False
        self.began = 0.0  # by the clock, if the run had never paused

    def add(self, row: Mapping[str, Any]) -> None:
        """A row that metrics.jsonl holds by now."""
        if self.run is None or self.absent:
            return
        rows: Sequence[Mapping[str, Any]] = [row]
        if self.writer is None:
            rows = self.run.metrics()
            folder = self.run.folder / "tensorboard"
            for path in folder.glob("events.out.tfevents.*"):
                path.unlink()
            try:
                self.writer = _Events(folder)
            except ImportError:
                say("TensorBoard is not installed: the curves are in metrics.jsonl alone")
                self.absent = True
                return
            self.began = time.time() - row["seconds"]
        for row in rows:
            self._draw(self.writer, row)

    def _draw(self, writer: "_Events", row: Mapping[str, Any]) -> None:
        when = self.began + row["seconds"]
        for name, value in row.items():
            if name not in ("kind", "step", "seconds") and value is not None:
                writer.add(f"{row['kind']}/{name}", value, row["step"], when)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


class _Events:
    """A folder's event file, written with TensorBoard alone: no framework is loaded for it."""

    def __init__(self, folder: Path) -> None:
        # Its own stub for file names, or it loads all of TensorFlow where that is installed:
        # seconds, and 500 MB, to write a few numbers.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.file, self.event, self.summary = EventFileWriter(str(folder)), Event, Summary
        start = SessionLog(status=SessionLog.START)  # a viewer forgets what it read before
        self.file.add_event(Event(wall_time=time.time(), step=0, session_log=start))

    def add(self, tag: str, value: float, step: int, when: float) -> None:
        told = self.summary(value=[self.summary.Value(tag=tag, simple_value=value)])
        self.file.add_event(self.event(wall_time=when, step=step, summary=told))

    def close(self) -> None:
        self.file.close()
