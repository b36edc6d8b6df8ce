"""A classifier's profiles: what the shipped ones are for.

Reads and writes nothing. Needs TensorFlow for one test: names stand in two places.
"""

import pytest

from training.classifier.profiles import BACKBONES, PROFILES


def test_classic_is_what_such_classifiers_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.backbone, one.smoothing, one.balance, one.decay) == ("cnn", 0, 0, 0)
    assert set(one.augment or {}) == {"time_masks", "time_width", "mel_masks", "mel_width"}
    s = one.settings
    assert (s.schedule, s.warmup, s.clip, s.ema, s.rate) == ("plateau", 0, 0.0, 0.0, 1e-3)
    assert s.stop > s.patience > 0


def test_names_are_those_of_the_nets() -> None:
    pytest.importorskip("tensorflow")
    from training.classifier import backbones

    assert backbones.BACKBONES == BACKBONES
