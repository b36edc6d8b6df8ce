"""A room's echo: direct sound first and unchanged, a tail that falls as it is told to.

Reads and writes nothing.
"""

import numpy as np
import pytest

from pipeline.dsp.room import DELAY, FAR, NEAR, echoed, response

RATE = 16000


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_the_tail_falls_by_60_db_in_the_time_told(seconds: float) -> None:
    """Measured as rooms are: Schroeder's backward sum (1965), its slope from -5 to -25 dB."""
    made = response(seconds, RATE, np.random.default_rng(1))[round(DELAY * RATE) :]
    left = 10 * np.log10(np.cumsum(np.square(made)[::-1])[::-1] / np.square(made).sum())
    early, late = np.argmax(left < -5), np.argmax(left < -25)
    assert (late - early) / RATE * 3 == pytest.approx(seconds, rel=0.1)


def test_direct_sound_is_first_and_one() -> None:
    for seed in range(20):
        made = response(0.3, RATE, np.random.default_rng(seed))
        assert made[0] == 1.0
        assert not made[1 : round(DELAY * RATE)].any()
        ratio = -10 * np.log10(np.square(made[1:]).sum())
        assert FAR <= ratio <= NEAR


def test_echo_is_the_convolution_cut_at_the_end() -> None:
    random = np.random.default_rng(0)
    dry, made = random.standard_normal(3000), response(0.05, RATE, random)
    np.testing.assert_allclose(echoed(dry, made), np.convolve(dry, made)[:3000], atol=1e-12)


def test_nothing_rings_before_it_sounds() -> None:
    dry = np.zeros(2000)
    dry[700:900] = 1.0
    heard = echoed(dry, response(0.05, RATE, np.random.default_rng(0)))
    assert np.abs(heard[:700]).max() < 1e-12
    assert np.abs(heard[900:1000]).max() > 1e-3
