"""Nets cut in two: where nothing passes by the cut, on the same weights, as late as allowed.

Reads and writes nothing.
"""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras  # noqa: E402
from keras import layers  # noqa: E402

from training.graph.seam import halves  # noqa: E402

CLIPS = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)


def residual() -> Any:
    """Weights 72, 72 with a way around both of the second's layers, then 27."""
    inputs = keras.Input((8,))
    x = layers.Activation("tanh", name="first_act")(layers.Dense(8, name="first")(inputs))
    y = layers.Activation("tanh", name="second_act")(layers.Dense(8, name="second")(x))
    x = layers.Add(name="sum")([x, y])
    return keras.Model(inputs, layers.Dense(3, name="last")(x))


@pytest.mark.parametrize(
    ("part", "last"),
    [(0.0, None), (0.4, None), (0.43, "first_act"), (0.8, "first_act"), (0.85, "sum"), (1, "sum")],
)
def test_it_is_cut_where_nothing_passes_by(part: float, last: str | None) -> None:
    net = residual()  # 171 weights
    found = halves(net, part)
    if last is None:
        assert found is None
        return
    assert found is not None
    first, rest = found
    assert first.layers[-1].name == last
    assert first.count_params() + rest.count_params() == net.count_params()
    expected = net(CLIPS).numpy()
    assert np.array_equal(rest(first(CLIPS)).numpy(), expected)
    net.get_layer("first").kernel.assign(np.zeros((8, 8)))  # the weights are the net's own
    assert np.array_equal(rest(first(CLIPS)).numpy(), net(CLIPS).numpy())
    assert not np.array_equal(net(CLIPS).numpy(), expected)


def test_nothing_before_a_way_around_ends_is_a_cut() -> None:
    """Here the input is read once more at the end."""
    inputs = keras.Input((8,))
    x = layers.Activation("tanh")(inputs)
    net = keras.Model(inputs, layers.Dense(3)(layers.Concatenate()([x, inputs])))
    found = halves(net, 0.5)
    assert found is not None
    assert found[0].output.shape == (None, 16)
    straight = keras.Model(inputs, layers.Add()([layers.Activation("tanh")(inputs), inputs]))
    assert halves(straight, 1.0) is None
