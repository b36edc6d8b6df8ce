"""The tagger's nets: what they compute by plain NumPy, size, the same weights every time, one step.

Reads the shipped recipes. Writes nothing.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from pipeline import cookbook  # noqa: E402
from tests import netted  # noqa: E402
from tests.netted import _deterministic, _float32, _no_network  # noqa: E402, F401
from training.errors import Changed  # noqa: E402
from training.tagger.net import SIZES, make_net  # noqa: E402
from training.tagger.profiles import NETS  # noqa: E402

SHAPE = (30, 20)
MEAN, DEVIATION, STEP = 0.5, 0.4, 0.016
FRONT = ("timbral8", "timbral14", "temporal128", "temporal64", "temporal32")  # of 20 bands


def features(batch: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(batch, frames, mels) float32, log10(1 + c power)."""
    rng = np.random.default_rng(1)
    return rng.gamma(1.0, 0.6, (batch, *shape)).astype(np.float32)


def built(
    name: str, shape: tuple[int, int] = SHAPE, tags: int = 5, seed: int = 0, step: float = STEP
) -> Any:
    keras.utils.set_random_seed(seed)
    return make_net(name, shape, tags, MEAN, DEVIATION, step)


@functools.cache
def standing(name: str, shape: tuple[int, int] = SHAPE, tags: int = 5, step: float = STEP) -> Any:
    """A net that no test changes: building one takes a second."""
    return built(name, shape, tags, step=step)


# ---- what it computes --------------------------------------------------------------------------


def moved(net: Any) -> Any:
    """No number as it began, so that each of them counts."""
    rng = np.random.default_rng(2)
    for v in net.variables:
        if v.name in ("gamma", "moving_variance"):
            v.assign(rng.uniform(0.5, 1.5, v.shape))
        elif "float" in v.dtype:
            v.assign(rng.normal(0, v.numpy().std() or 0.2, v.shape))
    return net


Weights = Mapping[str, np.ndarray]


def of(net: Any) -> dict[str, Weights]:
    return {one.name: {v.name: v.numpy().astype(np.float64) for v in one.variables}
            for one in net.layers}  # fmt: skip


def normed(x: np.ndarray, w: Weights) -> np.ndarray:
    return (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-3) * w["gamma"] + w["beta"]


def front(x: np.ndarray, look: Weights, norm: Weights) -> np.ndarray:
    """(frames, bands) -> (frames, filters): each frame with its neighbours, silence past both ends,
    each place of the bands; the largest answer of all places."""
    kernel = look["kernel"][:, :, 0]  # (frames, bands, filters)
    long, wide, _ = kernel.shape
    before = (long - 1) // 2
    padded = np.pad(x, ((before, long - 1 - before), (0, 0)))
    places = []
    for band in range(x.shape[1] - wide + 1):
        seen = np.stack([padded[t : t + long, band : band + wide] for t in range(len(x))])
        found = np.einsum("tlw,lwf->tf", seen, kernel) + look["bias"]
        places.append(normed(np.maximum(found, 0), norm))
    return np.max(places, axis=0)


def inside(x: np.ndarray, look: Weights, norm: Weights) -> np.ndarray:
    padded = np.pad(x, ((3, 3), (0, 0)))
    found = [np.einsum("lc,lcf->f", padded[t : t + 7], look["kernel"]) for t in range(len(x))]
    return normed(np.maximum(np.array(found) + look["bias"], 0), norm)


def by_hand(x: np.ndarray, net: Any) -> dict[str, np.ndarray]:
    """(frames, bands) -> what stands in the net's places, in float64."""
    w = of(net)
    x = (x.astype(np.float64) - MEAN) / DEVIATION
    first = np.concatenate([front(x, w[name], w[f"{name}_norm"]) for name in FRONT], axis=1)
    one = inside(first, w["inside0"], w["inside0_norm"])
    two = one + inside(one, w["inside1"], w["inside1_norm"])
    three = two + inside(two, w["inside2"], w["inside2_norm"])
    every = np.concatenate([first, one, two, three], axis=1)
    pooled = np.concatenate([every.max(0), every.mean(0)])
    hidden = normed(pooled, w["pooled_norm"]) @ w["hidden"]["kernel"] + w["hidden"]["bias"]
    last = normed(np.maximum(hidden, 0), w["hidden_norm"])
    logits = last @ w["logits"]["kernel"] + w["logits"]["bias"]
    return {"front": first, "all": every, "pooled": pooled, "logits": logits}


def test_every_place_of_the_net_is_what_numpy_computes() -> None:
    net, x = moved(built("musicnn-small")), features(2)
    places = ("front", "all", "pooled", "logits")
    seen = keras.Model(net.input, [net.get_layer(name).output for name in places])
    found = seen(x, training=False)
    for k, one in enumerate(x):
        expected = by_hand(one, net)
        for name, value in zip(places, found, strict=True):
            size = np.abs(expected[name]).max()
            np.testing.assert_allclose(value[k], expected[name], atol=1e-5 * size, err_msg=name)


def placed(net: Any, name: str, filters: np.ndarray) -> Any:
    """The front's part `name` with these filters (frames, bands, count), and nothing else."""
    layer = net.get_layer(name)
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[..., 0, : filters.shape[-1]] = filters
    layer.kernel.assign(kernel)
    return keras.Model(net.get_layer("image").output, net.get_layer(f"{name}_flat").output)


@pytest.mark.parametrize(("name", "long"), [("temporal32", 32), ("temporal64", 64)])
def test_a_temporal_filter_hears_a_rhythm_in_any_band_and_says_when(name: str, long: int) -> None:
    """Clicks eight frames apart, in one band: the filter of that rhythm answers where it is."""
    net = built("musicnn-small", (200, 20))
    beat = np.zeros((long, 1, 2))
    beat[::8, 0, 0] = 1
    beat[::11, 0, 1] = 1  # another rhythm
    part = placed(net, name, beat)
    answers = []
    for band in (0, 7, 19):
        x = np.zeros((1, 200, 20, 1), np.float32)
        x[0, 100 : 100 + long : 8, band] = 1  # begins at 100
        answers.append(part(x, training=False).numpy()[0])
    found = answers[0]
    assert all(np.array_equal(found, other) for other in answers)
    assert found[:, 0].argmax() == 100 + (long - 1) // 2
    assert found[:, 0].max() == pytest.approx(long / 8 / np.sqrt(1 + 1e-3), rel=1e-5)
    assert found[:, 1].max() < found[:, 0].max() / 2
    assert (found[[0, 199], 0] == 0).all()


@pytest.mark.parametrize(("name", "wide"), [("timbral8", 8), ("timbral14", 14)])
def test_a_timbral_filter_hears_a_spectrum_at_any_pitch(name: str, wide: int) -> None:
    """Three bands at once: the same answer wherever they lie together, none where they do not."""
    net = built("musicnn-small")
    shape = np.zeros((7, wide, 1))
    shape[3, [0, 3, 7], 0] = 1
    part = placed(net, name, shape)
    heard = []
    for lowest in range(21 - wide):
        x = np.zeros((1, *SHAPE, 1), np.float32)
        x[0, 11, lowest + np.array([0, 3, 7])] = 1
        heard.append(part(x, training=False).numpy()[0, :, 0])
    scale = 1 / np.sqrt(1 + 1e-3)
    assert np.array(heard) == pytest.approx(np.tile(3 * scale * (np.arange(30) == 11),
                                                    (21 - wide, 1)), abs=1e-5)  # fmt: skip
    x[0, 11] = 0
    x[0, [9, 11, 13], lowest + np.array([0, 3, 7])] = 1  # not at once
    assert part(x, training=False).numpy().max() == pytest.approx(scale, abs=1e-5)


# ---- its size ----------------------------------------------------------------------------------


def counted(tags: int, size: tuple[int, int, int, int], looks: list[tuple[int, int]]) -> int:
    """Weights and biases, and four numbers for each channel that is normalised."""
    timbral, temporal, middle, hidden = size
    filters = [timbral, timbral, temporal, temporal, temporal]
    total = sum((a * b + 1 + 4) * n for (a, b), n in zip(looks, filters, strict=True))
    channels = sum(filters)
    total += (7 * channels + 5) * middle + 2 * (7 * middle + 5) * middle
    pooled = 2 * (channels + 3 * middle)
    return total + 4 * pooled + (pooled + 1 + 4) * hidden + (hidden + 1) * tags


def test_the_published_net_has_its_number_of_parameters() -> None:
    net = standing("musicnn", (187, 96), 50)
    seen = [(7, 38), (7, 67), (128, 1), (64, 1), (32, 1)]
    assert net.count_params() == counted(50, (204, 51, 64, 200), seen)
    assert round(net.count_params() / 1e6, 2) == 0.79
    small = standing("musicnn-small", (187, 96), 50)
    assert round(small.count_params() / 1e6, 2) == 0.10


def looks(net: Any) -> list[tuple[int, int]]:
    return [x.kernel_size for x in net.layers if isinstance(x, keras.layers.Conv2D)]


def test_its_filters_are_as_long_and_as_wide_as_published() -> None:
    net = standing("musicnn", (187, 96), 50)
    assert looks(net) == [(7, 38), (7, 67), (128, 1), (64, 1), (32, 1)]
    convs = [x for x in net.layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.filters for x in convs] == [204, 204, 51, 51, 51]
    assert [x.name for x in convs] == [
        "timbral38", "timbral67", "temporal128", "temporal64", "temporal32"
    ]  # fmt: skip
    assert net.get_layer("front").output.shape == (None, 187, 561)
    assert net.get_layer("pooled").output.shape == (None, 2 * (561 + 3 * 64))
    assert (net.input_shape, net.output_shape) == ((None, 187, 96), (None, 50))


def test_with_frames_twice_as_far_apart_filters_have_half_as_many() -> None:
    """They last as long: of the shipped recipe with long windows, and of the published one."""
    found = {}
    for recipe in cookbook.load(["musicnn", "musicnn-2048"]):
        f = recipe.features["logmel"]
        shape = (recipe.window.samples // f.hop, f.mels)
        net = built("musicnn-small", shape, step=f.hop / recipe.audio.rate)
        inner = net.get_layer("inside0").kernel_size
        found[recipe.name] = (shape, [long for long, _ in looks(net)], inner)
        assert [wide for _, wide in looks(net)] == [38, 67, 1, 1, 1]
    assert found == {
        "musicnn": ((187, 96), [7, 7, 128, 64, 32], (7,)),
        "musicnn-2048": ((94, 96), [4, 4, 64, 32, 16], (4,)),
    }


@pytest.mark.parametrize("shape", [(1, 3), (33, 7), (40, 24)])
@pytest.mark.parametrize("step", [0.008, 0.5])
def test_any_shape_and_any_step(shape: tuple[int, int], step: float) -> None:
    """Filters longer than a patch, and of one frame."""
    net = built("musicnn-small", shape, step=step)
    assert net.output_shape == (None, 5)
    assert np.isfinite(net(features(2, shape), training=False)).all()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Changed, match="unknown net; got vgg. Choose one of musicnn, musicnn-small"):
        built("vgg")


# ---- the same every time -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_the_same_seed_gives_the_same_net(name: str) -> None:
    netted.assert_same(standing(name), lambda: built(name))


@pytest.mark.parametrize("name", NETS)
def test_names_of_layers_are_their_own_and_tell_their_place(name: str) -> None:
    """A checkpoint knows variables by their places, and published weights by their layers."""
    net = standing(name)
    names = [x.name for x in net.layers]
    assert len(set(names)) == len(names)
    held = [x.name for x in net.layers if x.trainable_variables]
    rest = ("inside0", "inside1", "inside2", "hidden")
    assert sorted(held) == sorted(
        [*FRONT, *rest, *(f"{x}_norm" for x in (*FRONT, *rest, "pooled")), "logits"]
    )
    paths = [v.path for v in net.trainable_variables]
    assert len(set(paths)) == len(paths)
    assert net.name == name.replace("-", "_")


def test_another_seed_gives_other_weights() -> None:
    one = standing("musicnn-small")
    assert len(netted.kernels(one)) == 10
    netted.assert_others(one, built("musicnn-small", seed=1))


def test_what_it_was_trained_on_normalises_its_input() -> None:
    keras.utils.set_random_seed(0)
    plain = make_net("musicnn-small", SHAPE, 5, 0.0, 1.0, STEP)
    inside, x = standing("musicnn-small"), features(2)
    outside = ((x - MEAN) / DEVIATION).astype(np.float32)
    found = inside(x, training=False)
    np.testing.assert_allclose(found, plain(outside, training=False), atol=1e-5)
    assert np.abs(found - plain(x, training=False)).max() > 1e-2
    keras.utils.set_random_seed(0)
    still = make_net("musicnn-small", SHAPE, 5, MEAN, 0.0, STEP)  # data that never moved
    np.testing.assert_allclose(still(x, training=False), plain(x - MEAN, training=False), atol=1e-5)


# ---- a step ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_deterministic")
def test_every_weight_learns_and_no_op_is_of_its_own_mind() -> None:
    def loss(found: Any) -> Any:
        wanted = np.eye(3, 5, dtype=np.float32)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, found))

    netted.assert_learns(standing("musicnn-small"), features(3), loss)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_and_weights_stay_float32_in_mixed_precision(policy: str) -> None:
    keras.mixed_precision.set_global_policy(policy)
    netted.assert_mixed(built("musicnn-small"), features(2), policy)


def test_batch_statistics_are_taken_over_all_replicas() -> None:
    assert netted.assert_norms_over_all(standing("musicnn-small")) == 10


def test_what_dropout_draws_next_is_a_variable() -> None:
    net = standing("musicnn-small")
    drops = [x for x in net.layers if isinstance(x, keras.layers.Dropout)]
    assert [(x.name, x.rate) for x in drops] == [("pooled_dropout", 0.5), ("dropout", 0.5)]
    assert len({x.seed for x in drops}) == 2
    assert netted.assert_draws_are_kept(net, features(2)) == 2


def test_sizes_are_smaller_in_the_small_net_throughout() -> None:
    small, whole = SIZES["musicnn-small"], SIZES["musicnn"]
    assert all(a < b for a, b in zip(small, whole, strict=True))
    assert whole == (int(1.6 * 128), int(1.6 * 32), 64, 200)  # as published
