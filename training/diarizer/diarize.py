"""A recording, or a folder of them, through a diarizer.

Reads: a file, or every sound file below a folder. Writes, of each: `<name>.rttm`, who speaks from
when to when; `<name>.png`, the same as a timeline; `<name>.html`, a page to listen to. A folder
becomes the same tree. Does: names what it could not hear and goes on, shows how far it is.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.data.index import DataError
from training.diarizer import plots, rttm
from training.diarizer.infer import Account, Listener, diarized
from training.diarizer.page import page
from training.durable import write_error
from training.errors import RunError, plain
from training.folders import Bar, asked_for, clock, seconds_of, sound_files, speed, told
from training.run import say

SUFFIX, PAGE = ".rttm", ".html"
LONG_NAME = 220  # bytes: file systems take 255, and unfinished files have longer names


def diarize_path(listener: Listener, source: Path, target: Path, most: int = 0) -> int:
    """Diarize a file into one, or a folder into a folder; 0 when each could be heard.

    A recording that cannot be heard is named, and the others go on; a disk that cannot be written
    ends it with a RunError. `most` is how many speakers there are at most, 0 for any number.
    """
    began, done, sound = time.monotonic(), 0, 0.0
    pairs, passed = _pairs(source, target)
    _check_free(place for _, place in pairs)
    with Bar(sum(seconds_of(path) for path, _ in pairs), len(pairs)) as bar:
        for path, place in pairs:
            bar.file(plain(path.name))
            try:
                account = diarized(listener, path, bar.add, most)
                _written(path, account, place)
            except DataError as error:
                bar.say(plain(str(error)))
                continue
            done, sound = done + 1, sound + account.seconds
            bar.say(_line(path, account))
    took = time.monotonic() - began
    count, others = told(done, len(pairs), passed)
    say(f"diarized {count}, {clock(sound)} of sound in {clock(took)} ({speed(sound, took)}), "
        f"into {target}{others}")  # fmt: skip
    return int(done < len(pairs))


def _pairs(source: Path, target: Path) -> tuple[list[tuple[Path, Path]], int]:
    """(every recording and its RTTM, how many other files there are)."""
    file = not target.is_dir() and (target.exists() or bool(target.suffix))
    if not source.is_dir():
        if file and target.suffix != SUFFIX:
            do = "name one with OUT="
            raise RunError("no place for turns", target, f"an {SUFFIX} file or a folder", do=do)
        asked_for(source)
        return [(source, target if file else target / f"{source.stem}{SUFFIX}")], 0
    if file and (target.exists() or target.suffix == SUFFIX):
        raise RunError("a folder cannot go into a file", target, do="name a folder with OUT=")
    found, passed = sound_files(source, target)
    places = [target / path.relative_to(source).with_suffix(SUFFIX) for path in found]
    while max((count := Counter(places)).values()) > 1:  # a.wav and a.mp3
        places = [
            place.with_name(path.name + SUFFIX) if count[place] > 1 else place
            for path, place in zip(found, places, strict=True)
        ]
    return list(zip(found, places, strict=True)), passed


def _check_free(places: Iterable[Path]) -> None:
    """Somebody's own RTTM is not replaced: beside each of ours stands its page, written first."""
    for place in places:
        if place.is_file() and not place.with_suffix(PAGE).exists():
            what = "an RTTM file that this did not write stands where turns would go"
            raise RunError(what, place, do="name another OUT=, or move it away")


def _written(path: Path, account: Account, place: Path) -> None:
    if len(os.fsencode(place.name)) > LONG_NAME:
        raise DataError("its name is too long for files about it", path, do="shorten it")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        name = plain(path.name)
        page(path, account.turns, account.seconds, place.with_suffix(PAGE))
        plots.timeline({"found": account.turns}, account.seconds, name, place.with_suffix(".png"))
        rttm.write(place, plain(path.stem), account.turns)
    except OSError as error:
        raise write_error(place, error) from error


def _line(path: Path, account: Account) -> str:
    """`talk.wav  1:02  2 speakers: speaker1 31.0 s, speaker2 24.5 s`"""
    spoken: dict[str, float] = {}
    for turn in account.turns:
        spoken[turn.speaker] = spoken.get(turn.speaker, 0.0) + turn.end - turn.start
    count = len(spoken)
    whom = ", ".join(f"{name} {clock(seconds)}" for name, seconds in sorted(spoken.items()))
    told = (
        f"{count} {'speaker' if count == 1 else 'speakers'}: {whom}" if count else "nobody speaks"
    )
    return f"{plain(str(path))}  {clock(account.seconds)}  {told}"
