"""A recipe: every number of one data set, typed and frozen.

Reads and writes nothing. Does: says which keys a recipe has, of which type, and what they are when
nobody says; cookbook.py reads recipes from files.
"""

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any

Need = typing.Literal["none", "label", "tags", "speakers"]
Role = typing.Literal["clean", "noise", "music", "labelled"]
Noise = typing.Literal["white", "pink", "brown", "ambient", "babble"]


@dataclass(frozen=True)
class Select:
    """Which recordings feed the recipe."""

    roles: tuple[Role, ...]
    needs: Need = "none"


@dataclass(frozen=True)
class Audio:
    """What every recording becomes before it is cut. Channels are averaged."""

    rate: int  # Hz
    resample: typing.Literal["MQ", "HQ", "VHQ"] = "HQ"  # soxr quality


@dataclass(frozen=True)
class Window:
    """How recordings are cut into examples."""

    samples: int  # samples at audio.rate
    hop: int  # samples from one window to the next
    pad: typing.Literal["zero", "repeat"] = "zero"  # what fills a window that ends early
    min_fill: float = 0.5  # a last window filled less than this is dropped (a first one never is)
    edges: typing.Literal["window", "recording"] = "window"  # where spectral frames see neighbours
    most: int = 0  # windows per recording; 0 is all


@dataclass(frozen=True)
class Mix:
    """Clean windows mixed with noise: one mixture per window and value."""

    kind: typing.Literal["level", "snr"]
    values: tuple[float, ...]  # standard deviations (level) or dB (snr)
    noises: tuple[Noise, ...]
    speech_level: typing.Literal["p56", "rms"] = "rms"  # what SNR is measured over
    materialise: bool = True  # false: store clean windows, noise and the plan; the loader mixes
    track: float = 10.0  # seconds in one stored noise track
    tracks: int = 12  # stored tracks of each synthetic kind (and of babble) per split
    seed: int = 0


@dataclass(frozen=True)
class Conversation:
    """Conversations made of recordings in which one speaker each is heard."""

    speakers: tuple[int, ...]  # how many talk, in turn: the first conversation has the first number
    pause: float  # s, mean silence between two utterances in one turn
    offset: float  # s, mean from the end of a turn to the start of the next; negative is overlap
    spread: float  # s, deviation of that
    interject: float  # part of the turns in which another says something short at the same time
    train: int = 0  # conversations of this split
    valid: int = 0
    test: int = 0
    echo: tuple[float, ...] = (0.0, 0.0)  # s, reverberation time (RT60), from and to; 0 0 is none
    voices: tuple[float, ...] = (1.0,)  # speeds that make new voices of the train split's speakers
    seed: int = 0


@dataclass(frozen=True)
class Feature:
    """One stored feature, all of them from one STFT of the stored input."""

    kind: typing.Literal["mel", "mfcc", "vector"]
    n_fft: int  # samples
    hop: int  # samples
    mels: int
    win: int = 0  # samples; 0 is n_fft
    fmin: float = 0.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the rate
    scale: typing.Literal["slaney", "htk"] = "slaney"
    norm: typing.Literal["slaney", "none"] = "slaney"
    log: typing.Literal["none", "db", "log10_1p", "ln"] = "none"
    ref: float = 1.0  # power that is 0 dB; 0 is the window's own peak
    amin: float = 1e-10  # smallest power told apart
    top_db: float = 0.0  # dB under the peak where values are held; 0 is off
    c: float = 10000.0  # log10(1 + c x)
    eps: float = 1e-6  # ln(x + eps)
    count: int = 20  # MFCCs


@dataclass(frozen=True)
class Labels:
    """What an example is labelled with."""

    kind: typing.Literal["none", "class", "tags", "activity"] = "none"
    top: int = 50  # tags: the most frequent ones
    speakers: int = 4  # activity: most speakers in one window, in order of appearance
    frame: int = 0  # activity: samples per label frame
    generate: bool = False  # activity: guess who speaks in labelled recordings without any label


@dataclass(frozen=True)
class Output:
    """What is stored, and how."""

    fields: tuple[str, ...]
    formats: tuple[typing.Literal["hdf5", "tfrecord"], ...]
    shard_mb: int = 32  # MiB of examples in one shard, about


@dataclass(frozen=True)
class Recipe:
    name: str
    about: str
    select: Select
    audio: Audio
    window: Window
    output: Output
    mix: Mix | None = None
    conversation: Conversation | None = None
    labels: Labels = field(default_factory=Labels)
    features: dict[str, Feature] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """What decides an example's bytes, given its input: goes into every task's key."""
        table = dataclasses.asdict(self)
        used = {name: table["features"][name] for name in self.features if name in self.stored()}
        keep = {name: table[name] for name in ("audio", "window", "mix", "labels")}
        del keep["labels"]["generate"]  # what was guessed stands in the items
        if self.conversation:  # how many there are, and of whom, stands in the items
            planned = {"train", "valid", "test", "speakers", "voices"}
            keep["conversation"] = {
                key: value for key, value in table["conversation"].items() if key not in planned
            }
        return {**keep, "features": used, "fields": list(self.stored())}

    def stored(self) -> tuple[str, ...]:
        return self.output.fields

    def resolved(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
