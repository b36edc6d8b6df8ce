"""A recording to listen to, with who speaks when beside it.

Reads: the recording, where it is small enough to be put into the page. Does: draws a lane for each
voice, which can be clicked to jump there; a cursor moves along. Writes: one HTML file that needs
nothing else; it plays a larger recording from where that lies.
"""

import base64
import html
import math
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from training import pages
from training.diarizer.plots import FOUND, TRUTH, clock, coloured, line_of
from training.diarizer.rttm import Turn
from training.diarizer.scores import named, speakers
from training.durable import write

EMBEDDED = 2_000_000  # bytes of a recording at most
KINDS = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg",
    ".opus": "audio/ogg", ".oga": "audio/ogg", ".m4a": "audio/mp4", ".aac": "audio/aac",
    ".mp4": "video/mp4", ".webm": "audio/webm",
}  # fmt: skip


def page(
    source: Path, turns: Sequence[Turn], seconds: float, path: Path, truth: Sequence[Turn] = ()
) -> None:
    """Of the recording `source`, so many seconds long."""
    who = named(truth, turns)
    colours = coloured(truth, turns, who)
    seconds = max([seconds, *(turn.end for turn in (*truth, *turns)), 0.1])
    held = {TRUTH: truth, FOUND: turns} if truth else {FOUND: turns}
    count = len(speakers(turns))
    heard = f"{count} speaker{'' if count == 1 else 's'}" if count else "nobody speaks"
    body = "\n".join([
        f'<audio id="sound" controls preload="metadata" src="{_sound(source, path)}"></audio>',
        _legend(held, colours, who),
        *_lines(held, colours, seconds),
    ])  # fmt: skip
    lead = f"{clock(seconds)}, {heard}. Click on a turn to hear it."
    text = pages.laid(source.name, lead, body, _STYLE, _SCRIPT)
    write(path, [text.encode("utf-8", "replace")])


def _sound(source: Path, path: Path) -> str:
    """The recording itself, or the way to it from the page."""
    kind = KINDS.get(source.suffix.lower())
    if kind and source.stat().st_size <= EMBEDDED:
        return f"data:{kind};base64,{base64.b64encode(source.read_bytes()).decode()}"
    way = os.path.relpath(source.absolute(), path.absolute().parent)
    return quote(Path(way).as_posix().encode("utf-8", "surrogateescape"))


def _legend(
    held: dict[str, Sequence[Turn]], colours: dict[tuple[str, str], str], who: dict[str, str]
) -> str:
    """Whose colour is which, and how long they speak."""
    rows = []
    for side, turns in held.items():
        for name in speakers(turns):
            spoken = sum(turn.end - turn.start for turn in turns if turn.speaker == name)
            label = f"{name}, {side}" if TRUTH in held else name
            label += f" (is {who[name]})" if side == FOUND and name in who else ""
            rows.append(
                f'<li><i style="background:{colours[side, name]}"></i>{html.escape(label)} '
                f"<small>{clock(spoken)}</small></li>"
            )
    return f'<ul class="names">{"".join(rows)}</ul>'


def _lines(
    held: dict[str, Sequence[Turn]], colours: dict[tuple[str, str], str], seconds: float
) -> list[str]:
    """The recording broken as in the picture of it; each line knows when it begins and how long it
    is."""
    line = line_of(seconds)
    found = []
    for number in range(math.ceil(round(seconds / line, 6))):
        begin = number * line
        lanes = []
        for side, turns in held.items():
            for name in speakers(turns):
                bars = [
                    _bar(turn, begin, line, colours[side, name])
                    for turn in turns
                    if turn.speaker == name and turn.end > begin and turn.start < begin + line
                ]
                label = html.escape(f"{name}, {side}" if TRUTH in held else name)
                lanes.append(f'<div class="lane {side}" title="{label}">{"".join(bars)}</div>')
        span = f"{clock(begin)} to {clock(min(seconds, begin + line))}"
        found.append(
            f'<section><small>{span}</small><div class="line" data-begin="{begin:g}" '
            f'data-line="{line:g}">{"".join(lanes)}<b></b></div></section>'
        )
    return found


def _bar(turn: Turn, begin: float, line: float, colour: str) -> str:
    start, end = max(turn.start, begin), min(turn.end, begin + line)
    left, wide = 100 * (start - begin) / line, 100 * (end - start) / line
    told = html.escape(f"{turn.speaker}: {clock(turn.start)}, {turn.end - turn.start:.1f} s")
    return (
        f'<a data-at="{turn.start:.3f}" title="{told}" '
        f'style="left:{left:.3f}%;width:{wide:.3f}%;background:{colour}"></a>'
    )


_STYLE = """\
audio { width: 100%; position: sticky; top: 0; z-index: 2; }
.names { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2em 1.5em; }
.names i { display: inline-block; width: 1em; height: 1em; margin-right: .4em; }
.names i { vertical-align: -.1em; border-radius: 2px; }
small { opacity: .7; }
section { margin: .6em 0; }
.line { position: relative; cursor: pointer; border: 1px solid #8888; overflow: hidden; }
.lane { position: relative; height: 1em; border-bottom: 1px solid #8883; }
.truth + .found { border-top: 3px solid #8888; }
.lane a { position: absolute; top: 1px; bottom: 1px; min-width: 1px; border-radius: 2px; }
.lane a:hover { filter: brightness(1.3); }
.line b { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; display: none; }
.line b { background: #d00; pointer-events: none; }
"""

_SCRIPT = """\
const sound = document.getElementById("sound");
const lines = [...document.querySelectorAll(".line")];
function show() {
  for (const line of lines) {
    const part = (sound.currentTime - line.dataset.begin) / line.dataset.line;
    const cursor = line.lastElementChild;
    cursor.style.display = part >= 0 && part < 1 ? "block" : "none";
    cursor.style.left = 100 * part + "%";
  }
  if (!sound.paused) requestAnimationFrame(show);
}
for (const line of lines) {
  line.addEventListener("click", (event) => {
    const box = line.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    const at = event.target.dataset.at;
    sound.currentTime = at ?? +line.dataset.begin + part * line.dataset.line;
    sound.play().catch(() => {});
    show();
  });
}
for (const name of ["play", "seeked", "timeupdate", "loadedmetadata"]) {
  sound.addEventListener(name, show);
}
show();
"""
