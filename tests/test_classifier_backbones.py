"""The classifier's nets: size, what goes in and comes out, same weights every time, one step."""

import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402
from tensorflow.python.framework import config  # noqa: E402

from training.classifier import backbones  # noqa: E402
from training.classifier.backbones import BACKBONES, make_net  # noqa: E402
from training.errors import Changed  # noqa: E402
from training.graph import blocks  # noqa: E402

OURS = ("cnn", "mn", "mn-small")
AGAIN = ("cnn", "mn-small")  # stand for all where a second net would take long
SHAPE = (63, 64)
RNG = np.random.default_rng(0)
MEAN = RNG.uniform(-60, -20, SHAPE[1])
DEVIATION = RNG.uniform(5, 15, SHAPE[1])


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


def features(batch: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(batch, frames, mels) float32, dB."""
    rng = np.random.default_rng(1)
    return rng.normal(-40, 12, (batch, *shape)).astype(np.float32)


def built(name: str, shape: tuple[int, int] = SHAPE, classes: int = 5, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    mels = shape[1]
    return make_net(name, shape, classes, MEAN[:1].repeat(mels), DEVIATION[:1].repeat(mels))


@functools.cache
def standing(name: str, classes: int = 5) -> Any:
    """A net that no test changes: building one takes a second."""
    return built(name, classes=classes)


@contextlib.contextmanager
def left_as_it_was(net: Any) -> Iterator[None]:
    before = [v.numpy() for v in net.variables]
    yield
    for variable, value in zip(net.variables, before, strict=True):
        variable.assign(value)


def gradients(net: Any, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        given = net(x, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(y, given, from_logits=True)
        loss = tf.reduce_mean(losses)
    return [np.asarray(g) for g in tape.gradient(loss, [v.value for v in net.trainable_variables])]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_same_seed_gives_the_same_net(name: str) -> None:
    one, other = standing(name), built(name)
    for a, b in zip(one.variables, other.variables, strict=True):
        assert np.array_equal(a, b), a.path
    paths = [v.path for v in one.trainable_variables]
    assert paths == [v.path for v in other.trainable_variables]
    assert len(set(paths)) == len(paths)


@pytest.fixture
def _deterministic() -> Any:
    tf.config.experimental.enable_op_determinism()  # an op that has no such way of working raises
    yield
    config.disable_op_determinism()


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_learns_and_no_op_is_of_its_own_mind(name: str) -> None:
    x, y = features(3), np.arange(3)
    net = standing(name)
    given = net(x, training=False)
    assert given.shape == (3, 5)
    assert given.dtype == tf.float32
    assert np.isfinite(given).all()
    with left_as_it_was(net):
        found = gradients(net, x, y)
    assert all(np.isfinite(g).all() for g in found)
    silent = [v.path for v, g in zip(net.trainable_variables, found, strict=True) if not np.any(g)]
    assert len(silent) <= 0.02 * len(found), silent  # a narrow relu may rest; no layer hangs loose
    if name in AGAIN:
        with left_as_it_was(net):
            again = gradients(net, x, y)
        assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_another_seed_gives_other_weights() -> None:
    one, other = standing("mn-small"), built("mn-small", seed=1)
    kernels = [v for v in one.trainable_variables if v.path.endswith("kernel")]
    others = [v for v in other.trainable_variables if v.path.endswith("kernel")]
    assert not any(np.array_equal(a, b) for a, b in zip(kernels, others, strict=True))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("cnn", 0.1e6, 0.31e6), ("mn", 0.9e6, 1.05e6), ("mn-small", 0.2e6, 0.31e6)],
)
def test_sizes_at_fifty_classes(name: str, low: float, high: float) -> None:
    assert low < standing(name, 50).count_params() < high


def test_a_student_has_at_most_a_third_of_its_teacher() -> None:
    student, teacher = (standing(n, 50).count_params() for n in ("mn-small", "mn"))
    assert 3 * student <= teacher


@pytest.mark.parametrize("name", AGAIN)
@pytest.mark.parametrize("shape", [(1, 1), (33, 7)])
def test_any_shape(name: str, shape: tuple[int, int]) -> None:
    assert built(name, shape).output_shape == (None, 5)


@pytest.mark.parametrize("name", ["mobilenetv3", "efficientnetv2-b0"])
def test_keras_nets_say_when_a_spectrogram_is_too_small(name: str) -> None:
    with pytest.raises(Changed, match="at least 32 frames and mels; got \\(31, 64\\)"):
        built(name, (31, 64))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Changed, match="resnet.*cnn, cnn-small, mn, mn-small"):
        built("resnet")


@pytest.mark.parametrize("name", ["cnn"])
def test_what_is_normalised_inside_is_what_numpy_normalises_outside(name: str) -> None:
    keras.utils.set_random_seed(0)
    inside = make_net(name, SHAPE, 4, MEAN, DEVIATION)
    keras.utils.set_random_seed(0)
    plain = make_net(name, SHAPE, 4, np.zeros(64), np.ones(64))
    x = features(2)
    outside = ((x - MEAN) / DEVIATION).astype(np.float32)
    np.testing.assert_allclose(inside(x), plain(outside), atol=2e-4)
    assert np.abs(inside(x) - plain(x)).max() > 1e-2


def test_a_band_that_never_moved_is_not_blown_up() -> None:
    x = keras.Input((4, 3))
    spread = [10.0, 0.0, 1e-9]
    net = keras.Model(x, blocks.normalised(x, [0.0, -80.0, 0.0], spread))
    given = np.asarray(net(np.full((1, 4, 3), 5.0, np.float32)))[0, 0]
    np.testing.assert_allclose(given, [0.5, 85 / 0.5, 5 / 0.5], rtol=1e-5)  # floor: 5 % of 10
    still = keras.Model(x, blocks.normalised(x, [1.0] * 3, [0.0] * 3))
    np.testing.assert_allclose(still(np.full((1, 4, 3), 3.0, np.float32)), 2.0)


@pytest.mark.parametrize(
    ("name", "policy"), [("mn-small", "mixed_float16"), ("cnn", "mixed_bfloat16")]
)
def test_logits_and_weights_stay_float32_in_mixed_precision(name: str, policy: str) -> None:
    keras.mixed_precision.set_global_policy(policy)
    net = built(name)
    given = net(features(2), training=False)
    assert given.dtype == tf.float32
    assert np.isfinite(given).all()
    assert {v.dtype for v in net.trainable_variables} == {"float32"}
    assert {x.compute_dtype for x in net.layers if x.name in ("normalised", "logits")} == {
        "float32"
    }
    convs = [x for x in net.layers if isinstance(x, keras.layers.Conv2D)]
    assert {x.compute_dtype for x in convs} == {policy.removeprefix("mixed_")}


@pytest.mark.parametrize("name", BACKBONES)
def test_batch_statistics_are_taken_over_all_replicas(name: str) -> None:
    norms = [x for x in standing(name).layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms
    assert all(x.synchronized and x.momentum == blocks.MOMENTUM for x in norms)


@pytest.mark.parametrize("name", ["mn-small", "efficientnetv2-b0"])
def test_what_dropout_draws_next_is_a_variable(name: str) -> None:
    net = standing(name)
    drops = [x for x in net.layers if isinstance(x, keras.layers.Dropout) and x.rate]
    states = [v for v in net.non_trainable_variables if "seed_generator_state" in v.path]
    assert len(states) >= len(drops) >= 1
    x = features(2)
    with left_as_it_was(net):
        first = np.asarray(net(x, training=True))
        assert not np.array_equal(net(x, training=True), first)
    with left_as_it_was(net):
        assert np.array_equal(net(x, training=True), first)


def test_depthwise_kernels_start_as_large_as_their_inputs_need() -> None:
    net = standing("mn")
    for layer in net.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            side = layer.kernel_size[0]
            kernel = layer.kernel.numpy()
            inputs = side * side  # of one output
            assert kernel.std() == pytest.approx(np.sqrt(2 / inputs), rel=0.25)


@pytest.mark.parametrize("name", sorted(backbones._KERAS))
def test_weights_of_a_net_of_keras_come_from_nowhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        pass

    def asked(*, weights: object, include_preprocessing: bool, **_: object) -> None:
        raise Asked(weights, include_preprocessing)

    monkeypatch.setitem(backbones._KERAS, name, asked)
    with pytest.raises(Asked, match="None, False"):
        built(name)
