"""What the demo corpus consists of.

Reads and writes nothing. Does: names every file with its row of the list and a function that
makes its bytes; a file's sound depends on the seed and its own name only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.demo.files import Kind, encode
from pipeline.demo.music import Clip, Levels, make_artist, make_clip, play, worn
from pipeline.demo.sounds import CLASSES, NOISES, sound
from pipeline.demo.voices import Voice, conversation, make_voice, utterance
from pipeline.rng import stream

Floats = NDArray[np.float64]
VOICES = 20
LENGTHS = ((3.0, 3.6), (3.2, 4.4), (3.6, 8.4))  # seconds, of a voice's files
TAKES = (1, 2, 1, 1, 3, 1, 1)  # files of each source of a class, in noise/
SOURCES, ALONE = 30, 40  # of a class, in sounds/, one file each; of one that is no noise
ARTISTS, CLIPS = 8, 4
BANDS, SONGS = 80, 4  # in songs/, which nothing is mixed with
GLIDES = (-5, 0, 5)  # semitones
POOLS, PER_POOL, TALKS = ("pool-a", "pool-b", "pool-c"), 3, 2

PCM = Kind("wav", "WAV", "PCM_16", 16000)
SPEECH = [
    PCM, Kind("flac", "FLAC", "PCM_16", 22050), Kind("wav", "WAV", "FLOAT", 44100),
    Kind("ogg", "OGG", "VORBIS", 32000), Kind("wav", "WAV", "PCM_24", 48000, 2),
    Kind("mp3", "MP3", "MPEG_LAYER_III", 44100), Kind("opus", "OGG", "OPUS", 48000),
    Kind("aiff", "AIFF", "PCM_16", 22050), Kind("flac", "FLAC", "PCM_24", 32000, 2),
    Kind("wav", "WAV", "PCM_16", 8000),
]  # fmt: skip
MUSIC = [
    Kind("wav", "WAV", "PCM_16", 44100, 2), Kind("flac", "FLAC", "PCM_16", 48000, 2),
    Kind("mp3", "MP3", "MPEG_LAYER_III", 44100, 2), Kind("ogg", "OGG", "VORBIS", 44100, 2),
    Kind("flac", "FLAC", "PCM_24", 44100), Kind("opus", "OGG", "OPUS", 48000, 2),
    Kind("wav", "WAV", "PCM_24", 48000, 2), Kind("aiff", "AIFF", "PCM_16", 32000),
]  # fmt: skip
TALK = [PCM, SPEECH[1], SPEECH[5]]


@dataclass(frozen=True)
class Item:
    """One file: its place, its row in the list, its bytes, and annotations to lie beside it."""

    path: str
    row: dict[str, str]
    seconds: float
    make: Callable[[], bytes]
    beside: dict[str, Callable[[], str]] = field(default_factory=dict)


def plan(seed: int) -> list[Item]:
    """Every file of the corpus in the list's order."""
    items = [*_voices(seed), *_noise(seed), *_music(seed), *_talks(seed), *_sounds(seed)]
    items += _songs(seed)
    return items + list(_broken(items))


def voices(seed: int) -> list[Voice]:
    """The speakers of voices/, lowest pitch first."""
    names = [f"voice-{k + 1:02d}" for k in range(VOICES)]
    return [make_voice(seed, name, (k + 0.5) / VOICES) for k, name in enumerate(names)]


def pools(seed: int) -> dict[str, list[Voice]]:
    """The speakers of conversations/: none is in two pools, none in voices/."""
    return {
        pool: [
            make_voice(seed, f"{pool}-speaker-{k + 1}", (k + (p + 0.5) / len(POOLS)) / PER_POOL)
            for k in range(PER_POOL)
        ]
        for p, pool in enumerate(POOLS)
    }


def clips(seed: int) -> list[Clip]:
    """The plans of music/."""
    return [make_clip(seed, f"artist-{k // CLIPS + 1}", k % CLIPS) for k in range(ARTISTS * CLIPS)]


def talk(seed: int, pool: str, number: int) -> tuple[Floats, list[tuple[str, float, float]], Kind]:
    """One conversation, three voices or two: (samples,), (name, start, end) rows, how stored."""
    rng = stream(seed, "demo talk", pool, number)
    kind = TALK[(POOLS.index(pool) + number) % len(TALK)]
    people = pools(seed)[pool][: 3 - number % 2]
    sound, rows = conversation(people, kind.rate, _talk_seconds(seed, pool, number), rng)
    return sound + 0.002 * rng.standard_normal(len(sound)), rows, kind


def _voices(seed: int) -> Iterator[Item]:
    for v, voice in enumerate(voices(seed)):
        for k in range(len(LENGTHS)):
            name = f"{voice.name}-{k + 1}"
            kind = SPEECH[(3 * v + k) % len(SPEECH)]
            seconds = float(stream(seed, "demo length", name).uniform(*LENGTHS[k]))

            def make(
                voice: Voice = voice, name: str = name, kind: Kind = kind, seconds: float = seconds
            ) -> bytes:
                rng = stream(seed, "demo utterance", name)
                sound, _ = utterance(voice, kind.rate, seconds, rng)
                return _stored(sound, kind, rng.uniform(-27, -18), rng)

            row = {"group": voice.name, "role": "clean"}
            yield Item(f"voices/{voice.name}/{name}.{kind.ending}", row, seconds, make)


def _noise(seed: int) -> Iterator[Item]:
    for label in NOISES:
        for s, takes in enumerate(TAKES):
            group = f"{label}-{s + 1}"
            for k in range(takes):
                name = f"{group}-{k + 1}"
                seconds = 2 + 3 * stream(seed, "demo length", name).random() ** 3
                yield _heard(seed, "noise", label, group, name, seconds)


def _sounds(seed: int) -> Iterator[Item]:
    """More sources of the same classes, and of two more: to tell apart, not to mix with speech."""
    for label in CLASSES:
        for s in range(SOURCES if label in NOISES else ALONE):
            name = f"{label}-s{s + 1:02d}"
            seconds = float(stream(seed, "demo length", name).uniform(3, 4.5))
            yield _heard(seed, "labelled", label, name, name, seconds)


def _heard(seed: int, role: str, label: str, group: str, name: str, seconds: float) -> Item:
    """One take of a class' source: a group is a source, a name a take."""
    kind = SPEECH[stream(seed, "demo kind", group).integers(len(SPEECH))]

    def make() -> bytes:
        take, source = stream(seed, "demo take", name), stream(seed, "demo source", group)
        level = source.uniform(-34, -16)
        samples = sound(label, source, take, round(seconds * kind.rate), kind.rate)
        return _stored(samples, kind, level, take)

    row = {"label": label, "group": group, "role": role}
    top = "noise" if role == "noise" else "sounds"
    return Item(f"{top}/{label}/{name}.{kind.ending}", row, seconds, make)


def _music(seed: int) -> Iterator[Item]:
    for k, clip in enumerate(clips(seed)):
        name = f"{clip.artist}-clip-{k % CLIPS + 1}"
        kind, rng = MUSIC[(k + k // CLIPS) % len(MUSIC)], stream(seed, "demo music", name)
        row = {"group": clip.artist, "role": "music", "tags": "|".join(clip.tags)}
        make = partial(_played, seed, clip, name, kind, seconds := rng.uniform(4, 5.6))
        yield Item(f"music/{name}.{kind.ending}", row, seconds, make)


def _songs(seed: int) -> Iterator[Item]:
    """More music to tell apart by its tags, long enough for two patches of a tagger."""
    for k in range(BANDS * SONGS):
        clip = make_clip(seed, f"band-{k // SONGS + 1:02d}", k % SONGS)
        name = f"{clip.artist}-song-{k % SONGS + 1}"
        kind, rng = MUSIC[(k + k // SONGS) % len(MUSIC)], stream(seed, "demo song", name)
        seconds = float(rng.uniform(6, 6.6))
        clip = replace(clip, backwards=bool(rng.random() < 0.5), glide=int(rng.choice(GLIDES)))
        row = {"group": clip.artist, "role": "labelled", "tags": "|".join(clip.tags)}
        make = partial(_played, seed, clip, name, kind, seconds, old=True)
        yield Item(f"songs/{name}.{kind.ending}", row, seconds, make)


def _played(
    seed: int, clip: Clip, name: str, kind: Kind, seconds: float, old: bool = False
) -> bytes:
    """An old recording has bass and drums at any level, hiss, and colours of its own."""
    rng, levels = stream(seed, "demo playing", name), Levels()
    if old:
        levels = Levels(*(level * 10 ** (rng.uniform(-18, 0) / 20) for level in (0.35, 0.5)))
    sound = play(clip, make_artist(seed, clip.artist), kind.rate, seconds, rng, levels)
    sound = worn(sound, kind.rate, rng) if old else sound
    sound = sound if kind.channels == 2 else sound.mean(axis=1)
    return encode(rng.uniform(0.3, 0.8) * sound, kind)


def _talk_seconds(seed: int, pool: str, number: int) -> float:
    return float(stream(seed, "demo talk length", pool, number).uniform(17, 23))


def _talks(seed: int) -> Iterator[Item]:
    for p, pool in enumerate(POOLS):
        for k in range(TALKS):
            name = f"{pool}-talk-{k + 1}"
            kind, stem = TALK[(p + k) % len(TALK)], f"conversations/{name}"

            def make(pool: str = pool, k: int = k) -> bytes:
                sound, _, kind = talk(seed, pool, k)
                return _stored(sound, kind, -24, stream(seed, "demo talk", pool, k))

            def rttm(pool: str = pool, k: int = k, name: str = name) -> str:
                return "".join(
                    f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {who} <NA> <NA>\n"
                    for who, start, end in talk(seed, pool, k)[1]
                )

            row = {"group": pool, "role": "labelled", "rttm": f"{stem}.rttm"}
            length = _talk_seconds(seed, pool, k)
            yield Item(f"{stem}.{kind.ending}", row, length, make, {f"{stem}.rttm": rttm})


def _broken(items: list[Item]) -> Iterator[Item]:
    """Five files that must be rejected, listed like the others."""
    speech, sound = items[0], next(item for item in items if item.row["role"] == "noise")
    assert speech.path.endswith(".wav"), "the first file is cut, so its header must state a size"
    hole = 0.1 * np.sin(np.arange(32000) / 10)
    hole[16000:16010] = np.nan
    page = b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n"
    yield Item("broken/cut.wav", speech.row, 0, lambda: speech.make()[: 16000 * 2])
    yield Item("broken/page.wav", sound.row, 0, lambda: page)
    yield Item("broken/empty.flac", sound.row, 0, lambda: b"")
    nan = Kind("wav", "WAV", "FLOAT", 16000)
    yield Item("broken/nan.wav", sound.row, 0, lambda: encode(hole, nan))
    again = speech.path.replace(".wav", "_copy.wav")  # sorts after the file that it repeats
    yield Item(again, speech.row, 0, speech.make)


def _stored(sound: Floats, kind: Kind, level: float, rng: np.random.Generator) -> bytes:
    """Scale to `level` (dBFS RMS of a sound of unit RMS), peak at most 0.9, and encode."""
    sound = sound * min(10 ** (level / 20), 0.9 / float(np.max(np.abs(sound))))
    if kind.channels == 2:
        pan = rng.uniform(-0.3, 0.3)
        sound = np.stack([sound * (1 - max(pan, 0)), sound * (1 + min(pan, 0))], axis=1)
    return encode(sound, kind)
