"""How far a stage is: a bar on a terminal, plain lines elsewhere, silence when it is quick.

Reads nothing. Does: shows files, hours of audio, rate and time left. Writes: stderr.
"""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

PATIENCE = 2.0  # seconds before anything is shown: a quick stage needs no bar
EVERY = 10.0  # seconds between plain lines
TICK = 1.0  # seconds between looks at a clock that runs while nothing ends


class Progress:
    """`with Progress("decode", total) as bar: bar.step(...)`; the total counts files or shards.

    `working` says how many seconds of audio are done of what is not done yet: one file of ten hours
    moves too.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        unit: str = "file",
        working: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stage, self.total, self.unit, self.working = stage, total, unit, working
        self.units = unit if unit.isupper() else f"{unit}s"  # 3 files, 3 MB
        self.done, self.hours = 0, 0.0
        self.start = self.last = time.monotonic()
        self.bar: tqdm | None = None
        self.over, self.turn = threading.Event(), threading.Lock()

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=self.total, desc=self.stage, unit=self.unit, delay=PATIENCE, leave=False
            )
        threading.Thread(target=self._tick, daemon=True).start()
        return self

    def _tick(self) -> None:
        """What stands still for a minute looks dead: show it, and its clock, before the first shard
        is done."""
        pause = PATIENCE
        while not self.over.wait(pause):
            self._show()
            pause = TICK

    def step(self, count: int = 1, seconds: float = 0.0) -> None:
        """`count` more are done, holding `seconds` of audio."""
        with self.turn:
            self.done += count
            self.hours += seconds / 3600
            if self.bar is not None:
                self.bar.total = self.total
                self._tell()
                self.bar.update(count)  # paints now and then
            elif time.monotonic() - self.last >= EVERY:
                self._print()

    def _show(self) -> None:
        with self.turn:  # __exit__ may have come first
            if self.bar is not None and not self.over.is_set():
                self._tell()
                self.bar.refresh()
            elif time.monotonic() - self.last >= EVERY and not self.over.is_set():
                self._print()

    def _tell(self) -> None:
        assert self.bar is not None
        hours = self.heard()
        self.bar.set_postfix_str(f"{hours:.2f} h of audio" if hours else "", False)

    def _print(self) -> None:
        self.last = time.monotonic()
        print(self.line(), file=sys.stderr, flush=True)

    def heard(self) -> float:
        """Hours."""
        return self.hours + self.working() / 3600

    def line(self) -> str:
        past = max(time.monotonic() - self.start, 1e-9)
        heard = self.heard()
        hours = f", {heard:.2f} h of audio" if heard else ""
        if not self.done:
            return f"{self.stage}: 0 of {self.total} {self.units}{hours}, {past:.0f} s so far"
        rate = self.done / past
        left = (self.total - self.done) / rate
        return (
            f"{self.stage}: {self.done} of {self.total} {self.units}{hours}, "
            f"{rate:.1f} {self.units}/s, {left:.0f} s left"
        )

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.turn:  # no tick may paint after it
            self.over.set()
            if self.bar is not None:
                self.bar.close()
