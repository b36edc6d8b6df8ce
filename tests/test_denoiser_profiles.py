"""A denoiser's profiles: what the shipped ones are for, and names of its own.

Reads and writes nothing.
"""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from training.denoiser.loss import LOSSES  # noqa: E402
from training.denoiser.profiles import PROFILES  # noqa: E402
from training.errors import Changed  # noqa: E402


def test_classic_is_what_such_networks_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.arch, one.loss, one.optimizer, one.batch) == ("unet", "mse", "adam", 16)
    assert one.online is None
    s = one.settings
    assert (s.rate, s.epochs, s.score) == (1e-4, 40, "-loss")
    assert (s.schedule, s.patience, s.stop) == ("plateau", 3, 6)
    assert (s.warmup, s.clip, s.ema, s.precision) == (0, 0.0, 0.0, "float32")


def test_an_unknown_loss_is_told_the_known_ones() -> None:
    with pytest.raises(Changed) as said:
        replace(PROFILES["best"], loss="mae")
    assert all(name in str(said.value) for name in (*LOSSES, "loss", "mae"))
