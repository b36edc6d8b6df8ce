"""Examples to look at and to listen to, so many that the page stays small.

Reads: single examples and their sound. Does: takes the spectrum that is stored, or makes one of
what is heard; cuts the sound to its share of the page. Writes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline import schema
from pipeline.errors import MelmillError
from pipeline.reports import figures
from pipeline.reports.figures import Spectrum
from pipeline.reports.sounds import Sounds, Unheard, flac
from pipeline.reports.tally import MOST, Pick, Tally, shown, talking
from pipeline.reports.words import brief, clock, length, name, safe, short

SOUND = 2_400_000  # bytes of sound in one page, 3.2 MB as text
PIXELS = 1_000_000  # of all pictures in one page: at most 1.3 MB as text
LONGEST = 20.0  # s of one example that can be heard
WIDEST = 960  # columns of one picture
TAGS = 8  # named with an example
SHORT = 8.0  # s; longer examples have a row of their own


@dataclass
class Card:
    """One example, ready to be laid out."""

    title: str
    told: list[str]  # HTML
    ends: float  # where the recording ends, as a share of the window
    panels: list[tuple[str, Spectrum | None, bytes]] = field(default_factory=list)
    activity: np.ndarray | None = None
    heard: float = 1.0  # share of the window


class Gallery:
    """The examples of one page."""

    def __init__(self, sounds: Sounds, found: Tally) -> None:
        self.sounds, self.recipe, self.index = sounds, sounds.recipe, sounds.shelf.index
        self.picks = shown(found, self._order(found))
        self.mixed = self.recipe.mix is not None and self.recipe.conversation is None
        named = [n for n in self.recipe.output.fields if n in self.recipe.features]
        drawn = [n for n in named if self.recipe.features[n].kind != "vector"]
        self.stored = drawn[0] if drawn and not self.mixed else ""
        self.seconds = self.recipe.window.samples / self.recipe.audio.rate
        players = max(1, len(self.picks) * (2 if self.mixed else 1))
        share = SOUND / players / (2 * self.recipe.audio.rate)  # 2 bytes a sample, if FLAC gains 0
        self.heard = min(self.seconds, LONGEST, share if share < 2 else float(int(share)))
        self.columns = min(WIDEST, PIXELS // (players * figures.ROWS))

    def _order(self, found: Tally) -> list[int]:
        """The kinds, those with the most examples first."""
        if self.recipe.mix or not (self.index["classes"] or self.index["tags"]):
            return sorted({main for main, _ in found.picks})
        names = self.index["classes"] or self.index["tags"]
        total = {n: sum(v for (what, _), v in found.labels.items() if what == n) for n in names}
        return sorted(range(len(names)), key=lambda i: (-total[names[i]], i))

    def html(self) -> str:
        cards = [self._card(main, pick) for main, pick in self.picks]
        if not cards:
            return "<p>There are no examples to show.</p>"
        stored = [s for card in cards for _, s, _ in card.panels if s is not None]
        low, high = figures.limits(stored) if stored and self.stored else (-figures.RANGE, 0.0)
        body = "".join(self._figure(card, low, high) for card in cards)
        row = self.mixed or self.seconds > SHORT
        return f'{self._lead(low, high)}<div class="cards{" one" if row else ""}">{body}</div>'

    def _lead(self, low: float, high: float) -> str:
        what = f"as stored ({safe(self.stored)})" if self.stored else "of what is heard"
        unit = "dB under the loudest of each example"
        if self.stored:
            unit = next(f.unit for f in self.sounds.shelf.fields if f.name == self.stored)
        told = f"Mel spectra {what}; colours from {brief(low)} {figures.RAMP} to {brief(high)}, "
        notes = [told + safe(unit) + "."]
        kinds = len(self.index["classes"] or self.index["tags"])
        if not self.recipe.mix and kinds > MOST:
            what = "classes" if self.index["classes"] else "tags"
            notes.append(f"Of {kinds} {what}, the {MOST} with the most examples.")
        if self.recipe.labels.kind == "activity":
            notes.append("Under a spectrum: who speaks when; A spoke first in that example.")
        if self.heard < self.seconds:
            notes.append(
                f"To keep the page small, sound is cut to the first {length(self.heard)} of each; "
                "the grey line under a spectrum says how far that is."
            )
        return f'<p class="note">{" ".join(notes)}</p>'

    def _card(self, main: int, pick: Pick) -> Card:
        row = self.sounds.shelf.row(pick.file, pick.row)
        ends = min(1.0, int(row["valid"]) / self.recipe.window.samples)
        title = short(self._title(main, row))
        card = Card(title, [*self._told(row, pick, main)], ends, heard=self.heard / self.seconds)
        if "activity" in row:
            card.activity = row["activity"]
        heard: dict[str, np.ndarray] = {}
        try:
            heard = self.sounds.of(row, main)
        except Unheard as why:
            card.told.append(f"cannot be heard: {safe(why)}")
        except (MelmillError, OSError) as err:
            card.told.append("cannot be heard: damaged")
            self.sounds.shelf.faults.append(str(err))
        if self.stored:
            s = figures.narrow(self._stored(row), self.columns)
            card.panels = [("", s, self._sound(heard.get(""), card))]
        else:
            card.panels = list(self._panels(heard, card))
        return card

    def _panels(
        self, heard: Mapping[str, np.ndarray], card: Card
    ) -> Iterator[tuple[str, Spectrum, bytes]]:
        """Clean and noisy with one range of colours, so that they compare."""
        rate = self.recipe.audio.rate
        spectra = {
            what: figures.narrow(figures.of_sound(wave, rate), self.columns)
            for what, wave in heard.items()
        }
        peak = max((float(s.values.max()) for s in spectra.values()), default=0.0)
        for what, s in spectra.items():
            yield what, replace(s, values=s.values - peak), self._sound(heard[what], card)

    def _sound(self, wave: np.ndarray | None, card: Card) -> bytes:
        if wave is None:
            return b""
        rate = self.recipe.audio.rate
        content, down = flac(wave[: round(self.heard * rate)], rate)
        if down > 0:
            card.told.append(f"played {down:.1f} dB softer, so that it does not clip")
        return content

    def _stored(self, row: Mapping[str, Any]) -> Spectrum:
        f = self.recipe.features[self.stored]
        values = row[self.stored]
        if f.kind == "mfcc":
            rows = values.shape[1]
            marks = [((i + 0.5) / rows, f"no. {i}") for i in (0, rows // 2, rows - 1)]
            return Spectrum(values, self.seconds, tuple(marks), "dB")
        spec = schema.mel_spec(f, self.recipe)
        high = spec.fmax or self.recipe.audio.rate / 2
        marks = list(figures.up(spec.fmin, high, spec.scale, spec.mels))
        return Spectrum(values, self.seconds, tuple(marks), "")

    def _title(self, main: int, row: Mapping[str, Any]) -> str:
        if self.recipe.mix:
            value = self.recipe.mix.values[main]
            snr = self.recipe.mix.kind == "snr"
            return f"{value:g} dB SNR" if snr else f"noise level {value:g}"
        if self.index["classes"] or self.index["tags"]:
            return str((self.index["classes"] or self.index["tags"])[main])
        if "activity" in row:
            return f"{main} speaker{'' if main == 1 else 's'}"
        return "an example"

    def _told(self, row: Mapping[str, Any], pick: Pick, main: int) -> Iterator[str]:
        """What stands under the title."""
        record = self.sounds.record(row)
        begin = clock(int(row["start"]) / self.recipe.audio.rate)
        if record is not None:
            yield f"<code>{name(record.path)}</code> from {begin}"
        facts = [pick.file["split"]]
        if "noise_kind" in row:
            kinds = np.atleast_1d(row["noise_kind"])
            facts.append(self.index["noises"][int(kinds[main if len(kinds) > 1 else 0])] + " noise")
        if self.recipe.conversation:
            facts.append(f"{int(talking(row['activity'][None])[0])} speakers")
        if "tags" in row:
            tags = [tag for tag, on in zip(self.index["tags"], row["tags"], strict=False) if on]
            facts.append(
                "tags: " + ", ".join(map(short, tags[:8])) + (" ..." if len(tags) > 8 else "")
            )
        if row.get("generated"):
            facts.append("labels guessed")
        if int(row["valid"]) < self.recipe.window.samples:
            after = "repeated" if self.recipe.window.pad == "repeat" else "followed by silence"
            facts.append(f"{after} from {length(int(row['valid']) / self.recipe.audio.rate)} on")
        yield safe(", ".join(facts))

    def _figure(self, card: Card, low: float, high: float) -> str:
        lanes = figures.timeline(card.activity) if card.activity is not None else ""
        if card.heard < 1:
            lanes += (
                f'<rect class="heard" x="0" y="{figures.TALL + 1}" '
                f'width="{100 * card.heard:.2f}%" height="3"/>'
            )
        parts = []
        for what, s, sound in card.panels:
            part = f"<h4>{safe(what)}</h4>" if what else ""
            told = f"spectrum of {card.title} {what}: time in seconds to the right, frequency in Hz"
            if s is not None:
                image = figures.picture(s, low, high)
                part += figures.drawn(image, s, card.ends, lanes, told)
            if sound:
                part += figures.player(sound, f"{card.title} {what}")
            parts.append(f"<div>{part}</div>")
        caption = "".join(f"<p>{line}</p>" for line in card.told)
        body = f'<div class="pair">{"".join(parts)}</div>' if len(parts) > 1 else "".join(parts)
        return f"<figure><figcaption><b>{name(card.title)}</b>{caption}</figcaption>{body}</figure>"
