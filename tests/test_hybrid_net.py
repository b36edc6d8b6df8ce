"""The hybrid's nets: shapes for sound of any length, whose answer each one is, what the vector is
measured in, size, the same weights every time, one step.

Writes shards of a tiny corpus into pytest's folder.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from tests import hybrids, netted  # noqa: E402
from tests.netted import _deterministic, _float32, _no_network  # noqa: E402, F401
from training.data.index import SPLITS, load_index  # noqa: E402
from training.data.tf_data import narrow  # noqa: E402
from training.errors import Changed  # noqa: E402
from training.graph.saved import load_saved, saved_files  # noqa: E402
from training.hybrid import net as nets  # noqa: E402
from training.hybrid import train  # noqa: E402
from training.hybrid.net import answering, make_net  # noqa: E402
from training.hybrid.profiles import NETS, VARIANTS  # noqa: E402

BOTH = ("wave", "vector")
NUMBERS, CLASSES = 12, 5
MEAN = np.linspace(-40, 4000, NUMBERS)
DEVIATION = np.geomspace(1e-3, 900, NUMBERS)
LENGTHS = [1, 7, 63, 64, 65, 1000, 4097, 22050]  # samples


@pytest.fixture
def shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hybrids.shrunk().items():
        monkeypatch.setattr(nets, name, value)


def waves(batch: int, samples: int = 4000) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, (batch, samples)).astype(np.float32)


def vectors(batch: int) -> np.ndarray:
    far = np.random.default_rng(2).normal(size=(batch, NUMBERS))
    return (MEAN + far * DEVIATION).astype(np.float32)


def built(name: str, branches: Any = BOTH, seed: int = 0, **more: Any) -> Any:
    keras.utils.set_random_seed(seed)
    told = {"mean": MEAN, "deviation": DEVIATION} | more
    return make_net(name, branches, CLASSES, **told)


@functools.cache
def standing(name: str, branches: Any = BOTH) -> Any:
    """A net that no test changes: building one takes a second."""
    return built(name, branches)


def asked(net: Any, *given: np.ndarray) -> list[np.ndarray]:
    """All its answers."""
    found = net([tf.constant(x) for x in given], training=False)
    return [np.asarray(x) for x in (found if isinstance(found, list) else [found])]


# ---- its answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_three_answers_for_sound_of_any_length(name: str) -> None:
    net = standing(name)
    assert [x.name for x in net.inputs] == ["wave", "vector"]
    assert [tuple(x.shape) for x in net.inputs] == [(None, None), (None, NUMBERS)]
    assert [tuple(x.shape) for x in net.outputs] == [(None, CLASSES)] * 3
    for samples in LENGTHS:
        found = asked(net, waves(3, samples), vectors(3))
        assert [x.shape for x in found] == [(3, CLASSES)] * 3
        assert [x.dtype for x in found] == [np.float32] * 3
        assert np.isfinite(found).all()


@pytest.mark.parametrize(("branch", "x"), [("wave", waves(2)), ("vector", vectors(2))])
def test_one_branch_alone_has_one_input_and_one_answer(branch: str, x: np.ndarray) -> None:
    net = standing("hybrid-small", (branch,))
    assert [given.name for given in net.inputs] == [branch]
    (found,) = asked(net, x)
    assert found.shape == (2, CLASSES)


def test_a_fixed_length_has_the_same_weights() -> None:
    net, fixed = standing("hybrid-small"), built("hybrid-small", samples=4000)
    assert fixed.inputs[0].shape == (None, 4000)
    fixed.set_weights(net.get_weights())
    given = waves(2), vectors(2)
    for one, other in zip(asked(net, *given), asked(fixed, *given), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_the_first_answer_is_of_both_and_each_of_the_others_is_of_one(name: str) -> None:
    net = standing(name)
    wave, vector = waves(4), vectors(4)
    first = asked(net, wave, vector)
    for changed, left in ((asked(net, wave[::-1], vector), 2), (asked(net, wave, vector[::-1]), 1)):
        moved = [not np.allclose(a, b, atol=1e-5) for a, b in zip(first, changed, strict=True)]
        assert moved == [k != left for k in range(3)]


def test_in_use_the_first_answer_is_all_of_it() -> None:
    net = standing("hybrid-small")
    one, given = answering(net), (waves(2), vectors(2))
    (found,) = asked(one, *given)
    np.testing.assert_allclose(found, asked(net, *given)[0], atol=1e-6)
    assert {id(v) for v in one.variables} <= {id(v) for v in net.variables}
    alone = standing("hybrid-small", ("wave",))
    assert np.array_equal(asked(answering(alone), waves(2)), asked(alone, waves(2)))


def test_examples_do_not_see_each_other() -> None:
    net, wave, vector = standing("hybrid-small"), waves(5), vectors(5)
    together = asked(net, wave, vector)
    for k in range(5):
        alone = asked(net, wave[k : k + 1], vector[k : k + 1])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[k : k + 1], other, atol=1e-5)


def test_the_raw_branch_hears_the_first_sample_and_the_last() -> None:
    net, wave = standing("hybrid-small", ("wave",)), tf.constant(waves(1, 5003))
    with tf.GradientTape() as tape:
        tape.watch(wave)
        loss = tf.reduce_sum(net(wave, training=False) ** 2)
    found = np.abs(tape.gradient(loss, wave)[0])
    assert found[[0, -1]].min() > 0
    assert (found > 0).mean() > 0.99


# ---- the vector --------------------------------------------------------------------------------


@pytest.mark.usefixtures("shrunk")
def test_the_training_data_s_own_statistics_are_in_a_file_of_the_net(tmp_path: Path) -> None:
    """A net that knows nothing of them is given vectors that NumPy has standardised."""
    index = load_index(hybrids.build(tmp_path) / hybrids.NAME)
    told = train.configuration(index, hybrids.small())
    learnt = narrow(index, ["train"], ["vector"])["vector"].astype(np.float64)
    assert len(learnt) == index.examples("train")
    whole = narrow(index, SPLITS, ["vector"])["vector"]
    assert not np.allclose(whole.mean(0), learnt.mean(0), rtol=1e-3)
    keras.utils.set_random_seed(0)
    net = train.net_of({**told, "variant": "features"})
    files = saved_files(
        lambda x: net(x, training=False), net.variables, {"vector": (hybrids.NUMBERS,)}
    )
    served = load_saved(files, ["vector"])
    keras.utils.set_random_seed(0)
    flat = make_net(
        "hybrid-small", ("vector",), 2, [0.0] * hybrids.NUMBERS, [1.0] * hybrids.NUMBERS
    )
    outside = ((whole - learnt.mean(0)) / learnt.std(0)).astype(np.float32)
    wanted = flat(tf.constant(outside), training=False)
    np.testing.assert_allclose(served(whole), wanted, atol=2e-3)
    assert np.abs(served(whole) - flat(tf.constant(whole), training=False)).max() > 0.1


def test_statistics_are_no_weights_and_stay_where_weights_are_put_back() -> None:
    net, other = standing("hybrid-small"), built("hybrid-small", mean=MEAN + 1, seed=1)
    other.set_weights(net.get_weights())
    one, two = (asked(net, waves(2), vectors(2))[2] for net in (net, other))
    assert np.abs(one - two).max() > 1e-3
    moved = asked(other, waves(2), vectors(2) + 1)[2]
    np.testing.assert_allclose(moved, one, atol=5e-2 * np.abs(one).max())


@pytest.mark.parametrize("still", [0.0, 3.0, -4e6])
def test_a_number_that_never_varied_is_no_nan(still: float) -> None:
    """Nor does it count where it is as it always was; where it is not, nothing blows up."""
    deviation, mean = DEVIATION.copy(), MEAN.copy()
    deviation[4], mean[4] = 0.0, still
    net = built("hybrid-small", ("vector",), mean=mean, deviation=deviation)
    kernel = net.get_layer("vector_in").kernel
    x = vectors(6)
    x[:, 4] = still
    (known,) = asked(net, x)
    held = kernel.numpy()
    held[4] = 7.0
    kernel.assign(held)
    np.testing.assert_allclose(asked(net, x)[0], known, atol=1e-4)
    x[:, 4] = still * (1 + 1e-5)  # as when it is computed on another machine
    np.testing.assert_allclose(asked(net, x)[0], known, atol=1e-2)
    x[:, 4] = [still - 1e9, still - 1e-3, still, np.nextafter(np.float32(still), 9e9), 1e9, 3e38]
    with tf.GradientTape() as tape:
        answer = net(tf.constant(x), training=True)
        loss = tf.reduce_sum(answer**2)
    assert np.isfinite(answer).all()
    found = tape.gradient(loss, [v.value for v in net.trainable_variables])
    assert all(np.isfinite(g).all() for g in found)


def test_what_lies_far_off_is_as_good_as_eight_deviations_off() -> None:
    net = standing("hybrid-small", ("vector",))

    def at(deviations: float) -> np.ndarray:
        return asked(net, (MEAN + deviations * DEVIATION).astype(np.float32)[None])[0]

    np.testing.assert_allclose(at(1000), at(8.5), atol=1e-4)
    np.testing.assert_allclose(at(-1000), at(-8.5), atol=1e-4)
    assert np.abs(at(8.5) - at(7)).max() > 1e-2
    assert np.abs(at(8.5) - at(-8.5)).max() > 1e-2


# ---- its size ----------------------------------------------------------------------------------


def test_sizes_are_those_that_are_told() -> None:
    """Of the ten classes and the vector of the shipped recipe."""
    told = nets.__doc__ or ""
    for name in NETS:
        (line,) = [row.split("|") for row in told.splitlines() if row.startswith(f"| {name} ")]
        size = float(line[2].split()[0]) * 1e6
        net = make_net(name, BOTH, 10, [0.0] * 92, [1.0] * 92)
        assert net.count_params() == pytest.approx(size, rel=0.15), name


@pytest.mark.usefixtures("shrunk")
def test_a_net_for_tests_is_small() -> None:
    assert built("hybrid").count_params() < 60_000


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Changed, match="unknown net; got vgg. Choose one of hybrid, hybrid-small"):
        built("vgg")


# ---- the same every time -----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_net(variant: str) -> None:
    branches, _ = VARIANTS[variant]
    one = standing("hybrid-small", branches)
    netted.assert_same(one, lambda: built("hybrid-small", branches))


def test_another_seed_gives_other_weights() -> None:
    one = standing("hybrid-small")
    assert len(netted.kernels(one)) > 20
    netted.assert_others(one, built("hybrid-small", seed=1))


def test_a_net_has_the_name_it_was_asked_by() -> None:
    assert [standing(name).name for name in NETS] == ["hybrid", "hybrid_small"]


# ---- a step ------------------------------------------------------------------------------------


def given() -> list[np.ndarray]:
    return [waves(4), vectors(4)]


def loss(found: list[Any]) -> Any:
    wanted = np.eye(4, CLASSES, dtype=np.float32)
    losses = [tf.nn.softmax_cross_entropy_with_logits(wanted, x) for x in found]
    return tf.reduce_mean(tf.add_n(losses))


@pytest.mark.usefixtures("_deterministic")
def test_every_weight_learns_and_no_op_is_of_its_own_mind() -> None:
    netted.assert_learns(standing("hybrid-small"), given(), loss)


@pytest.mark.parametrize("name", NETS)
def test_batch_statistics_are_taken_over_all_replicas(name: str) -> None:
    assert netted.assert_norms_over_all(standing(name)) > 5


def test_what_dropout_draws_next_is_a_variable() -> None:
    net = standing("hybrid-small")
    drops = [x for x in net.layers if isinstance(x, keras.layers.Dropout)]
    assert netted.assert_draws_are_kept(net, given()) == len(drops) >= 1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.usefixtures("shrunk")
def test_in_half_precision_answers_are_whole_and_numbers_are_told_apart(policy: str) -> None:
    """4000 Hz and 4001 Hz are one number in half precision, here a deviation apart."""
    keras.mixed_precision.set_global_policy(policy)
    net = built("hybrid-small", mean=np.full(NUMBERS, 4000.0), deviation=np.ones(NUMBERS))
    assert net.get_layer("vector_in").compute_dtype == policy.removeprefix("mixed_")
    found = asked(net, waves(1), np.full((1, NUMBERS), 4000, np.float32))
    assert [x.dtype for x in found] == [np.float32] * 3
    other = asked(net, waves(1), np.full((1, NUMBERS), 4001, np.float32))
    assert np.abs(found[2] - other[2]).max() > 1e-2
    with netted.left_as_it_was(net):
        assert all(np.isfinite(g).all() for g in netted.gradients(net, given(), loss))
