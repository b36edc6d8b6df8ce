"""Augmentation: what each change promises, by counting; the same seed, the same batch."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

tf = pytest.importorskip("tensorflow")

from training.errors import Changed  # noqa: E402
from training.graph.augment import (  # noqa: E402
    Augment,
    augment,
    gain,
    mixup,
    named,
    roll,
    spec_masks,
)

SEED = tf.constant([7, 3], tf.int32)
FRAMES, MELS, CLASSES = 50, 40, 5
ALL = Augment(roll=0.5, gain=12, mixup=0.3, time_masks=2, mel_masks=2)


def spectra(batch: int, frames: int = FRAMES, mels: int = MELS) -> np.ndarray:
    """(batch, frames, mels) float32, dB; no two numbers of an example are equal, each has a mean
    of its own."""
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(frames * mels) for _ in range(batch)])
    level = rng.uniform(-90, -50, (batch, 1, 1))
    return (order.reshape(batch, frames, mels) * 0.04 + level).astype(np.float32)


def labels(batch: int) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[np.arange(batch) % CLASSES]


def spans(hidden: np.ndarray) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return list(edges[1::2] - edges[::2])


@pytest.mark.parametrize("axis", [1, 2])
def test_one_mask_is_one_span_of_at_most_its_share_filled_with_the_mean(axis: int) -> None:
    x = spectra(2000)
    one, none = (1, 0.2), (0, 0.2)
    masked = np.asarray(spec_masks(x, SEED, *((one, none) if axis == 1 else (none, one))))
    other = (2,) if axis == 1 else (1,)
    hidden = (masked != x).mean(axis=other) > 0.5
    length = x.shape[axis]
    most = length // 5
    widths = []
    for before, after, row in zip(x, masked, hidden, strict=True):
        found = spans(row)
        assert len(found) <= 1
        widths += found or [0]
        picked = np.moveaxis(after, axis - 1, 0)[row]
        np.testing.assert_allclose(picked, before.mean(), rtol=1e-5)
        kept = np.moveaxis(after, axis - 1, 0)[~row]
        assert np.array_equal(kept, np.moveaxis(before, axis - 1, 0)[~row])
    count = np.bincount(widths, minlength=most + 1)
    assert len(count) == most + 1  # none is wider
    assert stats.chisquare(count).pvalue > 1e-3  # each width from 0 on as often as another
    assert hidden[:, 0].any()
    assert hidden[:, -1].any()  # spans reach both ends
    assert abs(hidden[:, : length // 2].mean() - hidden[:, length // 2 :].mean()) < 0.01


def test_masks_are_at_most_as_many_as_asked_and_each_example_has_its_own() -> None:
    x = spectra(300)
    masked = np.asarray(spec_masks(x, SEED, (3, 0.06), (2, 0.1)))
    frames = (masked != x).mean(axis=2) > 0.5
    bands = (masked != x).mean(axis=1) > 0.5
    for hidden, count, most in ((frames, 3, 3), (bands, 2, 4)):
        found = [spans(row) for row in hidden]
        assert max(map(len, found)) == count
        assert max(map(sum, found)) <= count * most
        assert max(map(sum, found)) > (count - 1) * most
        assert len(np.unique(hidden, axis=0)) > 100
    np.testing.assert_allclose(masked[0][masked[0] != x[0]], x[0].mean(), rtol=1e-5)


def test_time_and_mel_masks_are_drawn_apart() -> None:
    x = spectra(200, 40, 40)
    masked = np.asarray(spec_masks(x, SEED, (1, 0.5), (1, 0.5)))
    frames = ((masked != x).mean(axis=2) > 0.6).sum(axis=1)
    bands = ((masked != x).mean(axis=1) > 0.6).sum(axis=1)
    assert abs(np.corrcoef(frames, bands)[0, 1]) < 0.25


def test_roll_keeps_every_frame_in_its_circle() -> None:
    x = spectra(400)
    rolled = np.asarray(roll(x, SEED, 0.1))
    shifts = []
    for before, after in zip(x, rolled, strict=True):
        (shift,) = np.flatnonzero((after == before[0]).all(axis=1))
        assert np.array_equal(after, np.roll(before, shift, axis=0))
        shifts.append((shift + FRAMES // 2) % FRAMES - FRAMES // 2)
    assert set(shifts) == set(range(-5, 6))  # a tenth of 50 to both sides, each of them


def test_gain_moves_all_of_an_example_by_one_number_within_bounds() -> None:
    x = spectra(1000)
    change = np.asarray(gain(x, SEED, 12.0)) - x
    np.testing.assert_allclose(change - change[:, :1, :1], 0, atol=2e-5)
    assert stats.kstest(change[:, 0, 0], stats.uniform(-12, 24).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("log", "constant", "of"),
    [
        ("none", 0.0, lambda p: p),
        ("db", 0.0, lambda p: 10 * np.log10(p)),
        ("ln", 1e-6, lambda p: np.log(p + 1e-6)),
        ("log10_1p", 10000.0, lambda p: np.log10(1 + 10000 * p)),
    ],
)
def test_gain_gives_the_features_of_a_louder_sound(log: str, constant: float, of: Any) -> None:
    power = np.random.default_rng(1).uniform(1e-3, 10, (30, FRAMES, MELS))
    found = np.asarray(gain(of(power).astype(np.float32), SEED, 12.0, log, constant))
    change = np.asarray(gain(np.zeros((30, 1, 1), np.float32), SEED, 12.0))  # dB: the same draws
    np.testing.assert_allclose(found, of(power * 10 ** (change / 10)), rtol=1e-3, atol=1e-4)


def test_gain_leaves_silence_finite_and_refuses_an_unknown_log() -> None:
    silent = np.full((8, 2, 3), np.log(1e-6), np.float32)
    np.testing.assert_allclose(gain(silent, SEED, 12.0, "ln", 1e-6), silent, rtol=1e-4)
    with pytest.raises(ValueError, match="unknown log 'pcen': expected one of db, ln"):
        gain(silent, SEED, 12.0, "pcen")


def test_mixup_is_the_example_and_one_partner_and_so_is_the_label() -> None:
    x, y = spectra(64), np.eye(64, dtype=np.float32)  # every example a class: who is mixed shows
    mixed, targets = map(np.asarray, mixup(x, y, SEED, 1.0))
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    own = np.diag(targets)
    rest = targets - np.diag(own)
    assert ((rest > 0).sum(axis=1) <= 1).all()
    partner = np.where(rest.any(axis=1), rest.argmax(axis=1), np.arange(64))
    assert sorted(partner) == list(range(64))  # everybody is once somebody's partner
    assert (partner != np.arange(64)).mean() > 0.8
    part = own[:, None, None]
    np.testing.assert_allclose(mixed, part * x + (1 - part) * x[partner], atol=1e-4)


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_parts_of_a_mixture_follow_beta(alpha: float) -> None:
    count = 4000
    x = np.stack([np.zeros(count), np.ones(count)]).reshape(2 * count, 1, 1).astype(np.float32)
    y = np.arange(2 * count, dtype=np.float32)[:, None]
    mixed = np.asarray(mixup(x, y, SEED, alpha)[0])[:, 0, 0]
    inside = mixed[(mixed > 0) & (mixed < 1)]  # a 0 that met a 1
    assert abs(len(inside) / (2 * count) - 0.5) < 0.1
    assert stats.kstest(inside, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_mixes_all_targets_alike_and_refuses_whole_numbers() -> None:
    x, y = spectra(8), labels(8)
    _, both = mixup(x, {"label": y, "teacher": 3 * y}, SEED, 0.3)
    np.testing.assert_allclose(both["teacher"], 3 * both["label"], rtol=1e-5)
    with pytest.raises(TypeError, match="int32: one-hot first"):
        mixup(x, tf.range(8), SEED, 0.3)


def batch(count: int = 6) -> dict[str, Any]:
    given = {"logmel": spectra(count), "label": labels(count), "position": np.arange(count)}
    return {name: tf.constant(value) for name, value in given.items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[n], other[n]) for n in one.keys() | other.keys())


def test_none_and_nought_change_nothing() -> None:
    assert same(augment(batch(), SEED, None), batch())
    assert same(augment(batch(), SEED, Augment()), batch())


@pytest.mark.parametrize(
    "one", ["roll=0.5", "gain=12.0", "mixup=0.3", "time_masks=2", "mel_masks=2"]
)
def test_each_works_alone_and_leaves_the_rest_of_the_batch(one: str) -> None:
    name, value = one.split("=")
    what = Augment(**{name: int(value) if "masks" in name else float(value)})  # type: ignore[arg-type]
    found = augment(batch(), SEED, what)
    assert not np.array_equal(found["logmel"], batch()["logmel"])
    assert np.array_equal(found["position"], batch()["position"])
    assert np.array_equal(found["label"], batch()["label"]) == (name != "mixup")
    assert found["logmel"].dtype == tf.float32


def test_what_one_draws_does_not_move_what_another_does() -> None:
    given = batch()["logmel"]
    rolled = augment(batch(), SEED, Augment(roll=0.5))["logmel"]
    louder = augment(batch(), SEED, Augment(gain=12.0))["logmel"]
    both = augment(batch(), SEED, Augment(gain=12.0, roll=0.5))["logmel"]
    np.testing.assert_allclose(both - rolled, louder - given, atol=1e-4)


def test_the_same_seed_gives_the_same_batch_and_another_another() -> None:
    first = augment(batch(), SEED, ALL)
    assert same(augment(batch(), SEED, ALL), first)
    for seed in (named(SEED, 1), named(SEED, "1"), tf.constant([7, 4]), tf.constant([8, 3])):
        assert (
            not np.isclose(augment(batch(), seed, ALL)["logmel"], first["logmel"]).all((1, 2)).any()
        )


@pytest.mark.parametrize("size", [None, 6])
def test_a_graph_gives_what_eager_gives_whether_it_knows_the_batch_or_not(size: int | None) -> None:
    kinds = {n: tf.TensorSpec((size, *v.shape[1:]), v.dtype) for n, v in batch().items()}

    @tf.function(input_signature=[kinds, tf.TensorSpec((2,), tf.int32)], jit_compile=False)
    def graph(given: Any, seed: Any) -> Any:
        return augment(given, seed, ALL)

    eager = augment(batch(), SEED, ALL)
    found = graph(batch(), SEED)
    assert found["logmel"].shape == eager["logmel"].shape
    for name in eager:
        np.testing.assert_allclose(found[name], eager[name], rtol=1e-5, atol=1e-5)


def test_replicas_with_seeds_of_their_own_draw_apart() -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    @tf.function(jit_compile=False)
    def step(given: Any) -> Any:
        def replica(part: Any) -> Any:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return augment(part, named(SEED, number), ALL)

        return strategy.run(replica, args=(given,))

    found = step(batch())
    expected = augment(batch(), named(SEED, 0), ALL)
    np.testing.assert_allclose(found["logmel"], expected["logmel"], rtol=1e-5, atol=1e-5)
    other = augment(batch(), named(SEED, 1), ALL)
    assert not np.allclose(other["logmel"], expected["logmel"])


def test_a_tf_data_map_can_do_it_too() -> None:
    steps = tf.data.Dataset.range(3).map(
        lambda step: augment(batch(), named(SEED, tf.cast(step, tf.int32)), ALL)["logmel"]
    )
    found = [x.numpy() for x in steps]
    assert not np.array_equal(found[0], found[1])
    expected = augment(batch(), named(SEED, 2), ALL)["logmel"]
    np.testing.assert_allclose(found[2], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("roll", 1.5), ("gain", -1.0), ("mixup", float("nan")), ("time_masks", -1), ("log", "pcen")],
)
def test_numbers_that_cannot_be_meant_are_refused(name: str, value: Any) -> None:
    with pytest.raises(Changed, match=f"{name}: "):
        Augment(**{name: value})


def test_a_spectrogram_of_unknown_length_is_refused() -> None:
    kind = tf.TensorSpec((None, None, MELS))
    with pytest.raises(ValueError, match="axis 1 of a spectrogram must have a known length"):
        tf.function(roll).get_concrete_function(kind, SEED, 0.5)
