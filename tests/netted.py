"""What every net of Keras is held to: the same weights from the same seed and no other ones, every
weight learns, float32 where it counts, whatever chance draws next is kept.

Reads and writes nothing. Does: keeps nets from the network and leaves Keras as it was, as fixtures
that a test file imports.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from training.graph import blocks


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a net asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture(autouse=True)
def _float32() -> Any:
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def _deterministic() -> Any:
    tf.config.experimental.enable_op_determinism()  # an op that has no such way of working raises
    yield
    config.disable_op_determinism()


@contextlib.contextmanager
def left_as_it_was(net: Any) -> Iterator[None]:
    before = [v.numpy() for v in net.variables]
    yield
    for variable, value in zip(net.variables, before, strict=True):
        variable.assign(value)


def kernels(net: Any) -> list[Any]:
    return [v for v in net.trainable_variables if v.path.endswith("kernel")]


def gradients(net: Any, given: Any, loss: Callable[[Any], Any]) -> list[np.ndarray]:
    """Of the loss that its answers have."""
    with tf.GradientTape() as tape:
        value = loss(net(given, training=True))
    return [np.asarray(g) for g in tape.gradient(value, [v.value for v in net.trainable_variables])]


def assert_same(one: Any, again: Callable[[], Any]) -> None:
    """Made again, whatever random numbers were drawn before; no two weights have one path."""
    np.random.seed(3)  # noqa: NPY002  (what went before counts for nothing)
    tf.random.set_seed(4)
    other = again()
    for a, b in zip(one.variables, other.variables, strict=True):
        assert np.array_equal(a, b), a.path
    paths = [v.path for v in one.trainable_variables]
    assert paths == [v.path for v in other.trainable_variables]
    assert len(set(paths)) == len(paths)


def assert_others(one: Any, other: Any) -> None:
    """None of the kernels is the same."""
    pairs = list(zip(kernels(one), kernels(other), strict=True))
    assert pairs
    assert not any(np.array_equal(a, b) for a, b in pairs)


def assert_learns(
    net: Any, given: Any, loss: Callable[[Any], Any], *, rest: float = 0.0, again: bool = True
) -> None:
    """All weights but a part of `rest` at most; and the same way a second time."""
    with left_as_it_was(net):
        found = gradients(net, given, loss)
    assert all(np.isfinite(g).all() for g in found)
    silent = [v.path for v, g in zip(net.trainable_variables, found, strict=True) if not np.any(g)]
    assert len(silent) <= rest * len(found), silent
    if again:
        with left_as_it_was(net):
            second = gradients(net, given, loss)
        assert all(np.array_equal(a, b) for a, b in zip(found, second, strict=True))


def assert_mixed(net: Any, x: np.ndarray, policy: str) -> None:
    """Logits and weights are float32, and what is between is not."""
    given = net(x, training=False)
    assert given.dtype == tf.float32
    assert np.isfinite(given).all()
    assert {v.dtype for v in net.trainable_variables} == {"float32"}
    assert {x.compute_dtype for x in net.layers if x.name in ("normalised", "logits")} == {
        "float32"
    }
    convs = [x for x in net.layers if isinstance(x, keras.layers.Conv2D)]
    assert {x.compute_dtype for x in convs} == {policy.removeprefix("mixed_")}


def assert_norms_over_all(net: Any) -> int:
    """Batch statistics are taken over all replicas; of how many layers."""
    norms = [x for x in net.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms
    assert all(x.synchronized and x.momentum == blocks.MOMENTUM for x in norms)
    return len(norms)


def assert_draws_are_kept(net: Any, x: Any) -> int:
    """What dropout draws next is a variable; of how many such states."""
    states = [v for v in net.non_trainable_variables if "seed_generator_state" in v.path]
    with left_as_it_was(net):
        first = np.asarray(net(x, training=True))
        assert not np.array_equal(net(x, training=True), first)
    with left_as_it_was(net):
        assert np.array_equal(net(x, training=True), first)
    return len(states)
