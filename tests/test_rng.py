"""Random numbers: a function of their name alone, even, and distinct for distinct names.

Reads and writes nothing.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline import rng

PARTS = st.lists(st.text(alphabet="ab\x1e0", max_size=3) | st.integers(-9, 9), max_size=3)


def test_equal_names_give_equal_draws_whatever_was_drawn_before() -> None:
    first = rng.stream(1, "mix", "abc", 7).random(5)
    rng.stream(1, "other").random(100)
    np.random.default_rng(3).random(3)
    assert np.array_equal(rng.stream(1, "mix", "abc", 7).random(5), first)


@pytest.mark.parametrize(
    "other",
    [(2, "mix", "abc", 7), (1, "mix", "abc", 8), (1, "mix", "ab", "c", 7), (1, "mix", "abc"),
     (1, "mix", "abc7"), (11, "mix", "abc", 7)],
)  # fmt: skip
def test_another_name_gives_another_stream(other: tuple[int, object]) -> None:
    assert rng.stream(1, "mix", "abc", 7).random() != rng.stream(*other).random()
    assert rng.unit(1, "mix", "abc", 7) != rng.unit(*other)


@given(PARTS, PARTS)
def test_parts_are_not_run_together(one: list[object], other: list[object]) -> None:
    same = list(map(str, one)) == list(map(str, other))
    assert (rng.unit(0, *one) == rng.unit(0, *other)) == same


def test_units_are_uniform_and_uncorrelated_between_neighbours() -> None:
    values = np.array([rng.unit(0, "split", i) for i in range(20000)])
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_names_that_are_no_utf8_have_streams() -> None:
    odd = b"\xff.wav".decode("utf-8", "surrogateescape")
    assert rng.unit(0, odd) != rng.unit(0, "?.wav")


def test_a_fixed_value_so_that_no_change_passes_unseen() -> None:
    # blake2b of "0\x1fa", 16 bytes, as coreutils' b2sum prints it: whoever changes the derivation
    # moves every group of every corpus to another split.
    assert rng.unit(0, "a").hex() == float.hex(
        int.from_bytes(bytes.fromhex(DIGEST)[:8], "little") / 2**64
    )


DIGEST = "04b56b10588598450da3cfcbd1acd58e"
