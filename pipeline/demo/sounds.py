"""Sounds for the demo corpus: classes that resemble one another on purpose.

Eight are noise too, that speech is mixed with. Two are there to be told apart alone: one is the
other backwards, so that no mean or deviation over frames knows which is which.

Reads and writes nothing. Does: draws a source's parameters from `source` (the same for every
take of it) and the take itself from `take`, then adds a bed of another texture, hiss and a gentle
equaliser, so that no class is told apart by its level or its average spectrum alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve

from pipeline.demo.voices import make_voice, series, utterance

Floats = NDArray[np.float64]
Rng = np.random.Generator


def unit_rms(x: Floats) -> Floats:
    return x / max(float(np.sqrt(np.mean(x**2))), 1e-9)


def coloured(take: Rng, n: int, rate: int, low: float, high: float, slope: float = 0.0) -> Floats:
    """Gaussian noise between low and high (Hz), `slope` dB per octave, soft edges, unit RMS."""
    size = next_fast_len(n, real=True)
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0)
    gain = hertz ** (slope / 6.02)
    gain /= np.sqrt((1 + (low / hertz) ** 4) * (1 + (hertz / high) ** 4))
    return unit_rms(np.fft.irfft(np.fft.rfft(take.standard_normal(size)) * gain, size)[:n])


def swell(take: Rng, n: int, rate: int, per_second: float, decibels: float) -> Floats:
    """A gain that wanders: one random level per 1/per_second, standard deviation in dB."""
    points = int(np.ceil(n / rate * per_second)) + 2
    levels = decibels * take.standard_normal(points)
    return 10 ** (np.interp(np.arange(n) / rate * per_second, np.arange(points), levels) / 20)


def grains(
    take: Rng, n: int, rate: int, per_second: float, hertz: tuple[float, float], decay: float
) -> Floats:
    """Damped sinusoids (`decay` in seconds) at random times, eight pitches in a range."""
    out = np.zeros(n)
    t = np.arange(max(8, round(6 * decay * rate))) / rate
    for pitch in np.exp(take.uniform(np.log(hertz[0]), np.log(hertz[1]), size=8)):
        hits = np.zeros(n)
        count = take.poisson(per_second * n / rate / 8)
        np.add.at(hits, take.integers(0, n, count), take.lognormal(0, 0.8, count))
        shape = np.exp(-t / decay) * np.sin(2 * np.pi * min(pitch, 0.45 * rate) * t)
        out += fftconvolve(hits, shape)[:n]
    return unit_rms(out)


def harmonics(phase: Floats, rate: int, pitch: float, slope: float, odd: float = 1.0) -> Floats:
    """Harmonics of a phase track (in cycles), `slope` dB per octave, even ones times `odd`."""
    ks = range(1, min(40, int(0.45 * rate / pitch)) + 1)
    levels = [k ** (slope / 6.02) * (odd if k % 2 == 0 else 1.0) for k in ks]
    return unit_rms(series(phase, levels))


def rain(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    low, slope, drops = source.uniform(200, 900), source.uniform(-6, 0), source.uniform(30, 250)
    mix, decay = source.uniform(0.15, 0.8), source.uniform(0.001, 0.004)
    wash = coloured(take, n, rate, low, source.uniform(4000, 9000), slope)
    return wash + mix * grains(take, n, rate, drops, (1200, 6000), decay)


def stream_of_water(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    low, slope, bubbles = source.uniform(150, 600), source.uniform(-8, -1), source.uniform(20, 120)
    mix, decay = source.uniform(0.3, 1.0), source.uniform(0.004, 0.02)
    wash = coloured(take, n, rate, low, source.uniform(2000, 7000), slope)
    wash *= swell(take, n, rate, source.uniform(2, 8), 1.5)
    return wash + mix * grains(take, n, rate, bubbles, (350, 2500), decay)


def wind(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    high, slope, speed = source.uniform(300, 2500), source.uniform(-9, -3), source.uniform(0.6, 2.5)
    body = coloured(take, n, rate, 50, high, slope) * swell(take, n, rate, speed, 5)
    centre, mix = source.uniform(400, 1500), source.uniform(0, 0.5)
    whistle = coloured(take, n, rate, centre, 1.15 * centre) * swell(take, n, rate, 2 * speed, 6)
    return unit_rms(body) + mix * unit_rms(whistle)


def engine(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    pitch, slope, odd = source.uniform(28, 95), source.uniform(-9, -3), source.uniform(0.3, 1)
    phase = np.cumsum(pitch * swell(take, n, rate, 1.5, source.uniform(0.1, 0.6))) / rate
    puff = (1 + np.sin(2 * np.pi * phase)) ** 2
    air = coloured(take, n, rate, 150, source.uniform(1500, 5000), source.uniform(-6, -2)) * puff
    return harmonics(phase, rate, pitch, slope, odd) + source.uniform(0.2, 0.9) * unit_rms(air)


def machinery(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    pitch, every = source.uniform(60, 130), source.uniform(0.12, 0.45)
    ring = source.uniform(500, 2200)
    phase = pitch * np.arange(n) / rate + take.random()
    hum = harmonics(phase, rate, pitch, source.uniform(-9, -4), source.uniform(0.2, 1))
    times = np.arange(take.uniform(0, every), n / rate, every) * rate
    hits = np.zeros(n)
    hits[np.minimum(times.astype(int), n - 1)] = take.uniform(0.7, 1.2, len(times))
    t = np.arange(round(0.15 * rate)) / rate
    knock = np.exp(-t / source.uniform(0.01, 0.04)) * np.sin(2 * np.pi * ring * t)
    knocks = unit_rms(fftconvolve(hits, knock)[:n])
    air = coloured(take, n, rate, 200, source.uniform(1500, 6000), source.uniform(-6, -1))
    return hum + source.uniform(0.6, 1.4) * knocks + source.uniform(0.2, 0.9) * air


def murmur(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    out, people = np.zeros(n), int(source.integers(4, 8))
    for k in range(people):
        voice = make_voice(int(source.integers(2**31)), f"passer-by {k}", source.random())
        out += source.uniform(0.3, 1) * utterance(voice, rate, n / rate, take)[0]
    far = coloured(take, n, rate, 150, source.uniform(800, 2500), -3)  # the rest of the crowd
    return unit_rms(out) + source.uniform(0.4, 1.2) * far * swell(take, n, rate, 4, 2)


def birds(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    centre, bend = source.uniform(1800, 4500), source.uniform(-0.5, 0.5)
    length, gap = source.uniform(0.05, 0.2), source.uniform(0.05, 0.5)
    out, at = np.zeros(n), take.uniform(0, 0.3)
    while at < n / rate - length:
        t = np.arange(round(length * rate)) / rate / length
        pitch = np.minimum(centre * take.uniform(0.85, 1.2) * 2 ** (bend * t), 0.45 * rate)
        chirp = np.sin(np.pi * t) * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
        out[round(at * rate) :][: len(t)] += take.uniform(0.4, 1) * chirp[: n - round(at * rate)]
        at += length + gap * take.uniform(0.5, 2.0)
    return unit_rms(out)


def alarm(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    pitch, ratio = source.uniform(700, 2300), source.choice((1.0, 1.0, 1.25, 1.5))
    speed, duty = source.uniform(2, 6), source.uniform(0.4, 0.85)
    turn = (np.arange(n) / rate * speed + take.random()) % 1
    track = np.where(turn < duty / 2, pitch, pitch * ratio)
    tone = harmonics(np.cumsum(track) / rate, rate, pitch * ratio, source.uniform(-12, -6), 0.4)
    edge = round(0.004 * rate)
    gate = np.convolve(turn < duty, np.ones(edge) / edge, "same")
    return unit_rms(tone * gate)


def rising(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    """A siren that sweeps up again and again, with a silence after each sweep."""
    low, octaves = source.uniform(350, 900), source.uniform(0.8, 1.6)
    length, gap = source.uniform(0.25, 0.7), source.uniform(0.02, 0.2)
    at = (np.arange(n) / rate + take.uniform(0, length + gap)) % (length + gap)
    done = np.minimum(at / length, 1.0)
    high = low * 2**octaves
    tone = harmonics(
        np.cumsum(low * 2 ** (octaves * done)) / rate, rate, high, source.uniform(-12, -5)
    )
    return unit_rms(tone * np.sin(np.pi * done) ** source.uniform(0.3, 1.0))


def falling(source: Rng, take: Rng, n: int, rate: int) -> Floats:
    return rising(source, take, n, rate)[::-1]


Make = Callable[[Rng, Rng, int, int], Floats]

NOISES: dict[str, Make] = {
    "rain": rain, "water": stream_of_water, "wind": wind, "engine": engine,
    "machinery": machinery, "murmur": murmur, "birds": birds, "alarm": alarm,
}  # fmt: skip
CLASSES: dict[str, Make] = {**NOISES, "siren-rising": rising, "siren-falling": falling}
BEDS = ("rain", "water", "wind", "engine")


def sound(label: str, source: Rng, take: Rng, n: int, rate: int) -> Floats:
    """(n,) of one class with its bed, hiss and equaliser; unit RMS."""
    bed = CLASSES[str(source.choice([b for b in BEDS if b != label]))]
    bed_level, hiss_level = source.uniform(-30, -10), source.uniform(-45, -20)  # dB under the sound
    size = next_fast_len(n, real=True)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    bands = np.log2(np.maximum(hertz, 40.0))
    decibels = np.interp(bands, np.log2([60, 250, 1000, 4000, 12000]), source.normal(0, 3, 5))
    out = unit_rms(CLASSES[label](source, take, n, rate))
    out = out + 10 ** (bed_level / 20) * unit_rms(bed(source, take, n, rate))
    out += 10 ** (hiss_level / 20) * take.standard_normal(n)
    return unit_rms(np.fft.irfft(np.fft.rfft(out, size) * 10 ** (decibels / 20), size)[:n])
