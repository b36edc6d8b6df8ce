"""A tagger's profiles: what the shipped ones are for.

Reads and writes nothing. Needs TensorFlow for one test: names stand in two places.
"""

import pytest

from training.tagger.profiles import NETS, PROFILES


def test_classic_is_how_the_published_weights_were_trained() -> None:
    """Of 600 epochs at most, the rate halved after 75 that are no better, and no changes."""
    one, s = PROFILES["classic"], PROFILES["classic"].settings
    assert (one.net, one.augment) == ("musicnn", None)
    assert (s.epochs, s.schedule, s.patience, s.factor, s.stop) == (600, "plateau", 75, 0.5, 150)
    assert (s.rate, s.warmup, s.clip, s.ema, s.score) == (1e-3, 0, 0.0, 0.0, "-loss")


def test_masks_are_of_so_many_frames_and_bands_at_most() -> None:
    """20 of 187 and 8 of 96."""
    held = PROFILES["best"].augment
    assert held is not None
    assert int(held["time_width"] * 187) == 20
    assert round(held["mel_width"] * 96) == 8


def test_names_are_those_of_the_nets() -> None:
    pytest.importorskip("tensorflow")
    from training.tagger.net import SIZES

    assert tuple(SIZES) == NETS
