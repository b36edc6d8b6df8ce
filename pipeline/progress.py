"""How far a stage is: a bar on a terminal, plain lines elsewhere, silence when it is quick.

Reads nothing. Does: shows files, hours of audio, rate and time left. Writes: stderr.
"""

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

PATIENCE = 2.0  # seconds before anything is shown: a quick stage needs no bar
EVERY = 10.0  # seconds between plain lines
TICK = 1.0  # seconds between looks at a clock that runs while nothing ends


class Progress:
    """`with Progress("decode", total) as bar: bar.step(...)`; the total counts files or shards."""

    def __init__(self, stage: str, total: int, unit: str = "file") -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.done, self.hours = 0, 0.0
        self.start = self.last = time.monotonic()
        self.bar: tqdm | None = None
        self.over = threading.Event()

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=self.total, desc=self.stage, unit=self.unit, delay=PATIENCE, leave=False
            )
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def _tick(self) -> None:
        """A bar that stands still for a minute looks dead: show it, and its clock, before the
        first shard is done."""
        pause = PATIENCE
        while self.bar is not None and not self.over.wait(pause):
            with self.bar.get_lock():
                if not self.over.is_set():
                    self.bar.refresh()
            pause = TICK

    def step(self, count: int = 1, seconds: float = 0.0) -> None:
        """`count` more are done, holding `seconds` of audio."""
        self.done += count
        self.hours += seconds / 3600
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.set_postfix_str(f"{self.hours:.2f} h of audio" if self.hours else "", False)
            self.bar.update(count)
        elif time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        past = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / past
        left = (self.total - self.done) / rate if rate else 0.0
        hours = f", {self.hours:.2f} h of audio" if self.hours else ""
        return (
            f"{self.stage}: {self.done} of {self.total} {self.unit}s{hours}, "
            f"{rate:.1f} {self.unit}s/s, {left:.0f} s left"
        )

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self.bar is not None:
            with self.bar.get_lock():  # no tick may paint after it
                self.bar.close()
