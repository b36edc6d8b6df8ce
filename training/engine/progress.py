"""How far training is: a bar on a terminal, plain lines elsewhere.

Reads nothing. Does: shows loss, gain, examples per second, share of time spent waiting for data,
time left. Writes: stderr.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

EVERY = 10.0  # seconds between plain lines
MEMORY = 0.98  # weight of the past in the shown averages: about the last 50 steps


class Progress:
    """`with Progress(...) as bar: for batch in bar.waited(batches): ...; bar.step(...)`"""

    def __init__(self, step: int, total: int, steps: int, *, shown: bool = True) -> None:
        self.first = self.now = step
        self.total, self.steps, self.shown = total, steps, shown
        self.begin = self.last = time.monotonic()
        self.waiting = self.examples = 0.0
        self.values: dict[str, float] = {}
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if self.shown and sys.stderr.isatty():
            form = "{percentage:3.0f}% |{bar:20}| {desc}"
            self.bar = tqdm(total=self.total, initial=self.first, bar_format=form, leave=False)
        return self

    def waited(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, with the time spent waiting for them counted."""
        source = iter(batches)
        while True:
            began = time.monotonic()
            batch = next(source, None)
            self.waiting += time.monotonic() - began
            if batch is None:
                return
            yield batch

    def step(self, values: Mapping[str, float], examples: int, total: int) -> None:
        """One more step is done, of `total`."""
        self.now, self.total = self.now + 1, total
        self.examples += examples
        for name, value in values.items():
            self.values[name] = MEMORY * self.values.get(name, value) + (1 - MEMORY) * value
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.set_description_str(self.line(), refresh=False)
            self.bar.update(1)
        elif self.shown and time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            self.say(self.line())

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self.shown:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    @property
    def speed(self) -> float:
        """Examples per second since this process began to train, scoring and saving included."""
        return self.examples / max(time.monotonic() - self.begin, 1e-9)

    @property
    def wait(self) -> float:
        """Share of the time that was spent waiting for data."""
        return self.waiting / max(time.monotonic() - self.begin, 1e-9)

    def line(self) -> str:
        past = time.monotonic() - self.begin
        left = past / max(1, self.now - self.first) * (self.total - self.now)
        values = "  ".join(f"{k} {v:.4g}" for k, v in self.values.items() if k != "grad_norm")
        return (
            f"epoch {(self.now - 1) // self.steps + 1}/{-(-self.total // self.steps)}  "
            f"step {self.now}/{self.total}  {values}  {self.speed:.0f} examples/s  "
            f"waiting {self.wait:.1%}  {_clock(left)} left"
        )

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
