"""A room's echo, made of noise.

Reads and writes nothing. Does: an impulse response of the direct sound and a tail of Gaussian noise
that decays exponentially (Polack 1988; the usual model of late reverberation), and its convolution
with a dry wave.
"""

import math

import numpy as np
from scipy import fft

DELAY = 0.003  # s from the direct sound to the first echo: a metre of way more
NEAR, FAR = 10.0, 0.0  # dB of direct over reverberant energy: close to the microphone, and far


def response(seconds: float, rate: int, random: np.random.Generator) -> np.ndarray:
    """(n,) float64: the direct sound is 1 and first, so that echo delays nothing. `seconds` is
    RT60, in which the tail falls by 60 dB."""
    count = math.ceil(seconds * rate)
    delay = round(DELAY * rate)
    tail = random.standard_normal(count) * 10.0 ** (-3.0 * np.arange(count) / (seconds * rate))
    ratio = random.uniform(FAR, NEAR)
    tail *= math.sqrt(10.0 ** (-ratio / 10.0) / np.square(tail).sum())
    made = np.zeros(delay + count)
    made[0] = 1.0
    made[delay:] += tail
    return made


def echoed(dry: np.ndarray, made: np.ndarray) -> np.ndarray:
    """dry (n,) as it is heard in the room: (n,) float64; what rings on after the end is cut."""
    size = fft.next_fast_len(len(dry) + len(made) - 1, real=True)
    heard = fft.irfft(fft.rfft(dry, size) * fft.rfft(made, size), size)
    result: np.ndarray = heard[: len(dry)]
    return result
