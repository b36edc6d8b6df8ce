"""One example on a page: its spectrum in axes, its sound, who speaks when.

Reads nothing. Does: turns arrays into HTML with pictures and sound inside. Writes nothing.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.dsp import bands, mel
from pipeline.dsp.mel import MelSpec
from pipeline.formats import png
from pipeline.reports import charts
from pipeline.reports.words import hertz, safe

TALL, LANE = 132, 13  # pixels of a spectrum on the page, and of one speaker
ROWS = 128  # pixels of a picture from the bottom to the top, at most
RANGE = 70.0  # dB under the loudest that are told apart where the page makes the spectrum
MARKS = (125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)  # Hz
LEAST = 0.14  # of the height between two marks
# Nine colours of matplotlib's magma (van der Walt and Smith 2015, CC0): even steps to the eye.
_MAGMA = ["000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf"]
SHADES = 64  # colours: more are not told apart, and make the file larger


def _palette() -> list[png.Colour]:
    known = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _MAGMA])
    places = np.linspace(0, len(known) - 1, SHADES)
    mixed = [np.interp(places, np.arange(len(known)), known[:, i]).round() for i in range(3)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*mixed, strict=True)]


PALETTE = _palette()
RAMP = '<i class="ramp" style="background:linear-gradient(90deg,' + (
    ",".join(f"#{c}" for c in _MAGMA) + ')"></i>'
)


@dataclass(frozen=True)
class Spectrum:
    """(frames, rows) with what its two axes are."""

    values: np.ndarray
    seconds: float
    up: tuple[charts.Tick, ...]
    unit: str


def up(low: float, high: float, scale: bands.Scale, rows: int) -> tuple[charts.Tick, ...]:
    """Marks of a mel axis: band m has its centre at (m + 1) / (rows + 1) of the mels."""
    ends = bands.mels_of(low, scale), bands.mels_of(high, scale)
    found: list[charts.Tick] = []
    for mark in MARKS:
        if low <= mark <= high:
            part = (bands.mels_of(mark, scale) - ends[0]) / (ends[1] - ends[0])
            place = (part * (rows + 1) - 0.5) / rows
            if 0 <= place <= 1.02 and (not found or place - found[-1][0] >= LEAST):
                found.append((min(place, 1.0), hertz(mark)))
    return tuple(found)


def of_sound(samples: np.ndarray, rate: int) -> Spectrum:
    """A mel spectrum of what is heard, power in dB."""
    n = 1 << max(8, round(np.log2(0.04 * rate)))  # 40 ms: tells harmonics of a voice apart
    spec = MelSpec(rate, n, n // 4, 96, power=2.0)
    power = mel.mel_power(samples, spec)
    values = mel.decibels(power, ref=1.0, amin=1e-10, top_db=None)
    return Spectrum(values, len(samples) / rate, up(0.0, rate / 2, "slaney", 96), "dB")


def narrow(spectrum: Spectrum, frames: int) -> Spectrum:
    """At most so many frames, and ROWS rows: the mean of those that fall together."""
    values = _fewer(_fewer(spectrum.values, frames).T, ROWS).T
    return replace(spectrum, values=values)


def _fewer(values: np.ndarray, most: int) -> np.ndarray:
    count = len(values)
    if count <= most:
        return values
    edges = np.linspace(0, count, most, endpoint=False).astype(int)
    sums: np.ndarray = np.add.reduceat(values, edges, axis=0)
    return sums / np.diff([*edges, count])[:, None]


def picture(spectrum: Spectrum, low: float, high: float) -> bytes:
    """A PNG: time to the right, the first row of the spectrum below."""
    shades = (spectrum.values - low) / max(high - low, 1e-9) * (SHADES - 1)
    pixels = np.clip(np.nan_to_num(shades), 0, SHADES - 1).round().astype(np.uint8)
    return png.encode(np.ascontiguousarray(pixels.T[::-1]), PALETTE)


def data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def across(seconds: float) -> list[charts.Tick]:
    """Marks of a time axis."""
    return [(mark / seconds, f"{mark:g} s") for mark in charts.nice(seconds)]


def drawn(image: bytes, spectrum: Spectrum, ends: float, lanes: str, told: str) -> str:
    """The picture in its axes; `ends` is where the recording does, as a share; lanes lie below."""
    body = (
        f'<image width="100%" height="{TALL}" preserveAspectRatio="none" '
        f'href="{data("image/png", image)}"/>'
    )
    if ends < 1:
        x = f"{100 * ends:.2f}%"
        body += f'<line class="end" x1="{x}" x2="{x}" y1="0" y2="{TALL}"/>'
    below = lanes.count("<g") * LANE + (6 if lanes else 0)
    whole = TALL + below
    marks = [((place * TALL + below) / whole, text) for place, text in spectrum.up]
    return charts.plot(body + lanes, whole, across(spectrum.seconds), marks, told, lines=False)


def timeline(activity: np.ndarray) -> str:
    """Who speaks when: a lane for each that speaks, (frames, speakers) uint8."""
    lanes: list[str] = []
    for who in np.flatnonzero(activity.any(axis=0)).tolist():
        y = TALL + 6 + LANE * len(lanes)
        steps = np.diff(np.concatenate([[0], activity[:, who], [0]]).astype(int))
        spans = zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True)
        rows = "".join(
            f'<rect class="s{who % 4}" x="{100 * a / len(activity):.2f}%" y="{y}" '
            f'width="{100 * (b - a) / len(activity):.2f}%" height="{LANE - 3}"/>'
            for a, b in spans
        )
        mark = f'<text x="0" dx="-7" y="{y + LANE - 4}" text-anchor="end">{_letter(who)}</text>'
        lanes.append(f"<g>{rows}{mark}</g>")
    return "".join(lanes)


def _letter(who: int) -> str:
    return chr(ord("A") + who) if who < 26 else str(who + 1)


def player(sound: bytes, told: str) -> str:
    return (
        f'<audio controls preload="metadata" aria-label="{safe(told)}" '
        f'src="{data("audio/flac", sound)}"></audio>'
    )


def limits(spectra: Sequence[Spectrum]) -> tuple[float, float]:
    """One range of colours for all: from the 2nd percentile of what is stored to the most."""
    values = np.concatenate([s.values.ravel() for s in spectra])
    return float(np.percentile(values, 2)), float(values.max())
