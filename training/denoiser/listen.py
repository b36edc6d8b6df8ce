"""What a denoiser sounds like: a page to listen to, before, after and clean side by side.

Reads: the test mixtures that an index names. Does: cleans a few of each level, takes the one of
median gain and the worst. Writes into a folder: three WAVs and a spectrogram of each, and
``index.html``, which needs nothing but its neighbours.
"""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile

from training import pages
from training.data.index import Index
from training.data.torch_data import pairs
from training.denoiser.metrics import Wave, si_sdr
from training.denoiser.systems import System
from training.durable import write
from training.errors import RunError
from training.pictures import spectrograms

BATCH = 4  # mixtures cleaned at once
PEAK = 0.95  # of full scale, at most
PARTS = {"noisy": "before", "cleaned": "after", "clean": "clean"}  # in a file's name, on the page
WHAT = {"typical": "typical (median gain)", "worst": "worst"}


@dataclass(frozen=True)
class Heard:
    """A mixture and what became of it."""

    level: float  # as asked for: dB or standard deviation
    kind: str  # of noise
    source: str
    start: int  # sample of the recording
    before: float  # SI-SDR, dB
    after: float
    waves: tuple[Wave, Wave, Wave]  # noisy, cleaned, clean

    @property
    def gain(self) -> float:
        return self.after - self.before


def listen(system: System, index: Index, folder: Path, count: int = 12) -> Path:
    """Let `system` clean `count` test mixtures of each level, and write the typical and the worst
    one of them into `folder`. Returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    rate, decibels = int(index.recipe["audio"]["rate"]), index.recipe["mix"]["kind"] == "snr"
    held = _cleaned(system, index, rate, count)
    if not held:
        raise RunError("no test mixture to listen to", index.folder, do="add recordings")
    parts = []
    for level in sorted({one.level for one in held}):
        name, title = (f"snr{level:g}dB", f"SNR {level:g} dB") if decibels else _deviation(level)
        parts.append(f"<h2>{html.escape(title)}</h2>")
        for which, one in picked([one for one in held if one.level == level]).items():
            told = f"{title}, {one.kind}, {which}: {_told(one)}"
            save(one, folder, f"{name}-{which}", rate, told)
            parts.append(_section(one, f"{name}-{which}", which))
    page = folder / "index.html"
    title = f"{index.name}: before, after, clean"
    lead = (
        f"Picked from {len(held)} mixtures of the test split, {rate} Hz. The three beside each "
        "other are played with one gain, so that they compare."
    )
    text = pages.laid(title, lead, "\n".join(parts), _STYLE)
    write(page, [text.encode()])
    return page


def picked(held: Sequence[Heard]) -> dict[str, Heard]:
    """Which of one level are worth hearing; of even numbers the lower middle one."""
    known = [one for one in held if np.isfinite(one.gain)] or list(held)
    ranked = sorted(known, key=lambda one: one.gain)
    found = {"typical": ranked[(len(ranked) - 1) // 2]}
    return {**found, "worst": ranked[0]} if len(ranked) > 2 else found


def save(one: Heard, folder: Path, name: str, rate: int, title: str) -> None:
    """Three WAVs, played softer together where one of them would clip, and a spectrogram."""
    factor = min(1.0, PEAK / max(float(np.abs(wave).max()) for wave in (*one.waves, [PEAK])))
    for part, wave in zip(PARTS, one.waves, strict=True):
        data = io.BytesIO()
        soundfile.write(data, wave * factor, rate, "PCM_16", format="WAV")
        write(folder / f"{name}-{part}.wav", [data.getvalue()])
    spectrograms(*one.waves, rate, title, folder / f"{name}.png")


def _cleaned(system: System, index: Index, rate: int, count: int) -> list[Heard]:
    """Of each level `count` mixtures, evenly over the split."""
    asked = [batch["requested"] for batch in pairs(index, "test")]
    levels = np.concatenate(asked) if asked else np.zeros(0)
    wanted = np.zeros(len(levels), bool)
    for level in np.unique(levels):
        where = np.flatnonzero(levels == level)
        wanted[where[np.linspace(0, len(where) - 1, min(count, len(where))).astype(int)]] = True
    held: list[Heard] = []
    at = 0
    for batch in pairs(index, "test", BATCH):
        rows = np.flatnonzero(wanted[at : at + len(batch["source"])])
        at += len(batch["source"])
        if not len(rows):
            continue
        noisy, clean = batch["noisy"][rows], batch["clean"][rows]
        cleaned = system(noisy, rate)
        if cleaned.shape != noisy.shape:
            raise RunError("a system changes the length", "", noisy.shape, cleaned.shape)
        if not np.isfinite(cleaned).all():
            names = ", ".join(batch["source"][row].decode() for row in rows)
            raise RunError("a system gives numbers that are none", names)
        before, after = si_sdr(noisy, clean), si_sdr(cleaned, clean)
        for i, row in enumerate(rows):
            held.append(
                Heard(
                    float(f"{batch['requested'][row]:.6g}"),
                    index.noises[int(batch["noise_kind"][row])],
                    batch["source"][row].decode(),
                    int(batch["start"][row]),
                    float(before[i]),
                    float(after[i]),
                    (noisy[i], cleaned[i], clean[i]),
                )
            )
    return held


def _deviation(level: float) -> tuple[str, str]:
    return f"noise{level:g}", f"noise of standard deviation {level:g}"


def _told(one: Heard) -> str:
    return f"SI-SDR {one.before:.1f} to {one.after:.1f} dB, gain {one.gain:+.1f} dB"


def _section(one: Heard, name: str, which: str) -> str:
    told = f"{WHAT[which]}: {one.kind}, {_told(one)}; {one.source[:16]} from sample {one.start}"
    players = "\n".join(
        f'<figure><figcaption>{label}</figcaption><audio controls preload="none" '
        f'src="{quote(f"{name}-{part}.wav")}"></audio></figure>'
        for part, label in PARTS.items()
    )
    return (
        f'<p>{html.escape(told)}</p>\n<div class="row">\n{players}\n</div>\n'
        f'<img src="{quote(name)}.png" alt="spectrograms before, after and clean">'
    )


_STYLE = """\
h2 { margin: 2em 0 0; border-top: 1px solid #888; padding-top: .5em; }
.row { display: flex; flex-wrap: wrap; gap: 1em; }
figure { flex: 1 1 15em; margin: 0; }
audio, img { width: 100%; }
img { margin-top: .5em; background: white; }
"""
