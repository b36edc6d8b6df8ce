"""A recording, or a folder of them, through a denoiser.

Reads: a file, or every sound file below a folder. Writes: the cleaned ones, a folder as the same
tree; never over a source. Does: names what it could not clean and goes on, shows how far it is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.index import DataError
from training.denoiser.net import Denoiser
from training.denoiser.stream import denoise_file
from training.durable import write_error
from training.errors import RunError
from training.folders import Bar, clock, seconds_of, sound_files, speed, told
from training.run import say


@dataclass(frozen=True)
class Cleaned:
    """What came of one recording; without a reason, it was cleaned."""

    source: Path
    target: Path
    seconds: float = 0.0  # of sound
    reason: str = ""


def exit_code(done: Sequence[Cleaned]) -> int:
    """0 when every recording was cleaned."""
    return int(any(one.reason for one in done))


def denoise_path(net: Denoiser, net_rate: int, source: Path, target: Path) -> list[Cleaned]:
    """Clean a file, or a folder into a folder of the same tree.

    A recording that cannot be cleaned is named, and the others go on; a disk that cannot be written
    ends the run with a RunError.
    """
    began = time.monotonic()
    if source.is_dir():
        pairs, passed = _pairs(source, target)
    else:
        pairs, passed = [(source, target / source.name if target.is_dir() else target)], 0
    _check_apart(pairs)
    done = []
    with Bar(sum(seconds_of(path) for path, _ in pairs), len(pairs)) as bar:
        for path, place in pairs:
            bar.file(path.name)
            done.append(_cleaned(net, net_rate, path, place, bar))
            if done[-1].reason:
                bar.say(done[-1].reason)
    say(_summary(done, passed, target, time.monotonic() - began))
    return done


def _cleaned(net: Denoiser, net_rate: int, source: Path, target: Path, bar: Bar) -> Cleaned:
    seconds = 0.0

    def tick(more: float) -> None:
        nonlocal seconds
        seconds += more
        bar.add(more)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        denoise_file(net, net_rate, source, target, tick)
    except DataError as error:
        return Cleaned(source, target, reason=str(error))
    except OSError as error:
        raise write_error(target, error) from error
    return Cleaned(source, target, round(seconds, 6))


def _pairs(source: Path, target: Path) -> tuple[list[tuple[Path, Path]], int]:
    """(every sound file and where it goes, how many other files there are)."""
    if target.exists() and not target.is_dir():
        raise RunError("a folder cannot go into a file", target, do="name a folder with OUT=")
    found, passed = sound_files(source, target)
    return [(path, target / path.relative_to(source)) for path in found], passed


def _check_apart(pairs: Sequence[tuple[Path, Path]]) -> None:
    """No target is a source, by whatever name."""
    sources = {(s.st_dev, s.st_ino) for s in (path.stat() for path, _ in pairs if path.exists())}
    for _, target in pairs:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in sources:
            raise RunError("a source would be overwritten", target, do="name another OUT")


def _summary(done: Sequence[Cleaned], passed: int, target: Path, took: float) -> str:
    good = [one for one in done if not one.reason]
    sound = sum(one.seconds for one in good)
    count, others = told(len(good), len(done), passed)
    return (
        f"cleaned {count}, {clock(sound)} of sound in {clock(took)} "
        f"({speed(sound, took)}), into {target}{others}"
    )
