"""A hybrid's profiles: which variants there are, what the shipped ones are for.

Reads the Makefile. Writes nothing. Needs TensorFlow for one test: names stand in two places.
"""

import re

import pytest

from tests import corpus
from training.hybrid.profiles import NETS, PROFILES, VARIANTS


def test_the_last_variant_is_the_model_and_the_others_lack_one_thing_each() -> None:
    """The one that fused nets are compared with last is the same net on examples as they are."""
    names = list(VARIANTS)
    assert names == ["raw", "features", "unmixed", ""]
    both, mixed = VARIANTS[""]
    assert (set(both), mixed) == ({"wave", "vector"}, True)
    assert VARIANTS["unmixed"] == (both, False)
    alone = [VARIANTS[name] for name in ("raw", "features")]
    assert alone == [((branch,), False) for branch in both]


def test_classic_is_what_such_nets_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.smoothing, one.balance, one.alone, one.augment) == (0, 0, 0, None)
    s = one.settings
    assert (s.schedule, s.warmup, s.clip, s.ema, s.rate) == ("plateau", 0, 0.0, 0.0, 1e-3)
    assert s.stop > s.patience > 0


def test_the_demo_is_for_two_cores() -> None:
    one = PROFILES["demo"]
    assert one.net == "hybrid-small"
    assert one.batch * 2 <= 180  # examples of the demo corpus to learn from


def test_what_make_names_are_these() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    (told,) = re.findall(r"of hybrids: (.*?)   of", text)
    variables = {word.split("=")[0] for word in told.split()}
    assert variables == {"NET", "FOLDS", "AUGMENT", "ABLATION", "MAX_RAM"}
    exported = " ".join(re.findall(r"^ASKED \+?:?= (.*)$", text, re.M)).split()
    assert variables <= set(exported)


def test_names_are_those_of_the_nets() -> None:
    pytest.importorskip("tensorflow")
    from training.hybrid.net import SIZES

    assert set(SIZES) == set(NETS)
