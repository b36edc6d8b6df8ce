"""The classifier's nets: size, what goes in and comes out, same weights every time, one step."""

import functools
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests import netted  # noqa: E402
from tests.netted import _deterministic, _float32, _no_network  # noqa: E402, F401
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


@pytest.mark.parametrize("name", BACKBONES)
def test_the_same_seed_gives_the_same_net(name: str) -> None:
    netted.assert_same(standing(name), lambda: built(name))


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_learns_and_no_op_is_of_its_own_mind(name: str) -> None:
    def loss(found: Any) -> Any:
        losses = keras.losses.sparse_categorical_crossentropy(np.arange(3), found, from_logits=True)
        return tf.reduce_mean(losses)

    x, net = features(3), standing(name)
    given = net(x, training=False)
    assert given.shape == (3, 5)
    assert given.dtype == tf.float32
    assert np.isfinite(given).all()
    # A narrow relu may rest; no layer hangs loose.
    netted.assert_learns(net, x, loss, rest=0.02, again=name in AGAIN)


def test_another_seed_gives_other_weights() -> None:
    netted.assert_others(standing("mn-small"), built("mn-small", seed=1))


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
    netted.assert_mixed(built(name), features(2), policy)


@pytest.mark.parametrize("name", BACKBONES)
def test_batch_statistics_are_taken_over_all_replicas(name: str) -> None:
    assert netted.assert_norms_over_all(standing(name))


@pytest.mark.parametrize("name", ["mn-small", "efficientnetv2-b0"])
def test_what_dropout_draws_next_is_a_variable(name: str) -> None:
    net = standing(name)
    drops = [x for x in net.layers if isinstance(x, keras.layers.Dropout) and x.rate]
    assert netted.assert_draws_are_kept(net, features(2)) >= len(drops) >= 1


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
