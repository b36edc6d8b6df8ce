"""Changes of waveforms: what each promises, measured; the same seed, the same batch."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

tf = pytest.importorskip("tensorflow")

from tensorflow.python.framework import config  # noqa: E402

from training.errors import Changed  # noqa: E402
from training.graph import augment, waves  # noqa: E402
from training.graph.augment import named  # noqa: E402
from training.graph.waves import (  # noqa: E402
    Changes,
    changed,
    crop,
    flip,
    gain,
    masks,
    mix,
    noise,
)

SEED = tf.constant([7, 3], tf.int32)
RATE, SAMPLES, CLASSES = 8000, 4000, 5  # half a second
EDGE = round(0.005 * RATE)  # samples of a fade
ALL = Changes(
    crop=0.8, gain=12, flip=0.5, masks=2, mask_width=0.2, noise=0.5, noise_snr=(10, 30), mix=0.8
)


def sounds(batch: int, samples: int = SAMPLES) -> np.ndarray:
    """(batch, samples) float32: noise, no two alike, from -60 to 0 dB of 0.2, nowhere 0."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, samples)) * 0.2 * 10 ** (-3 * rng.random((batch, 1)))
    return x.astype(np.float32)


def labels(batch: int) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[np.arange(batch) % CLASSES]


def rms(x: np.ndarray) -> np.ndarray:
    """Of the last axis."""
    return np.sqrt(np.square(x.astype(np.float64)).mean(axis=-1))


def uniform(found: Any, low: float, high: float) -> bool:
    return bool(stats.kstest(found, stats.uniform(low, high - low).cdf).pvalue > 1e-3)


def alike(one: Any, other: Any) -> bool:
    """Bit for bit: -0 is not 0."""
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize(("part", "kept"), [(0.9, 90), (0.55, 54), (0.5, 50)])
def test_crop_is_an_unbroken_piece_from_anywhere(part: float, kept: int) -> None:
    x = np.arange(100 * 3000, dtype=np.float32).reshape(3000, 100)
    pieces = np.asarray(crop(x, SEED, part))
    starts = (pieces[:, 0] - x[:, 0]).astype(int)
    assert np.array_equal(pieces, x[:, :1] + starts[:, None] + np.arange(kept, dtype=np.float32))
    count = np.bincount(starts, minlength=101 - kept)
    assert len(count) == 101 - kept  # the last place that it fits in, and none past it
    assert stats.chisquare(count).pvalue > 1e-3


def test_crop_of_an_odd_window_is_even() -> None:
    assert crop(sounds(2, 101), SEED, 0.999).shape == (2, 100)


def test_flip_gives_the_very_example_or_its_mirror() -> None:
    x = sounds(1000, 20)
    flipped = np.asarray(flip(x, SEED, 0.3))
    mirrored = (flipped == -x).all(axis=1)
    assert np.array_equal(flipped[~mirrored], x[~mirrored])
    assert abs(mirrored.mean() - 0.3) < 0.05
    assert np.array_equal(flip(x, SEED, 0.0), x)
    assert np.array_equal(flip(x, SEED, 1.0), -x)


def test_gain_changes_the_level_of_an_example_by_one_number_within_bounds() -> None:
    x = sounds(1000, 50)
    louder = np.asarray(gain(x, SEED, 12.0))
    change = 20 * np.log10(rms(louder) / rms(x))
    assert uniform(change, -12, 12)
    np.testing.assert_allclose(louder, x * 10 ** (change[:, None] / 20), rtol=1e-5)


def test_one_mask_is_one_silent_span_with_fades_inside_it() -> None:
    x = sounds(3000, 500)
    masked = np.asarray(masks(x, SEED, 1.0, 1, 0.4, RATE))
    kept = masked / x
    wide = (kept < 1).sum(axis=1)
    first = np.where(wide > 0, (kept < 1).argmax(axis=1), 0)
    place = np.arange(500) - first[:, None]
    inside = np.minimum(place + 0.5, wide[:, None] - place - 0.5)  # samples from the nearer edge
    np.testing.assert_allclose(kept, 1 - np.clip(inside / EDGE, 0, 1), atol=1e-5)
    outside = inside < 0
    assert np.array_equal(masked[outside], x[outside])
    silent = (masked == 0).sum(axis=1)
    assert (abs(silent - np.maximum(wide - 2 * EDGE, 0)) <= 1).all()
    count = np.bincount(wide, minlength=201)
    assert len(count) == 201  # none is wider than 0.4 of 500
    assert count[0] * count[200]
    assert (first[wide > 0] == 0).any()
    assert (first + wide == 500).any()
    assert stats.chisquare(count.reshape(-1, 3).sum(axis=1)).pvalue > 1e-3
    assert uniform((first + np.random.default_rng(1).random(3000)) / (501 - wide), 0, 1)
    assert abs(np.corrcoef(wide, first / (501 - wide))[0, 1]) < 0.1


def test_some_examples_alone_are_masked() -> None:
    x = np.ones((400, 1000), np.float32)
    masked = np.asarray(masks(x, SEED, 0.3, 1, 0.4, RATE))
    whole = np.asarray(masks(x, SEED, 1.0, 1, 0.4, RATE))
    same = (masked == x).all(axis=1)
    assert 0.6 < same.mean() < 0.8
    np.testing.assert_array_equal(masked[~same], whole[~same])
    np.testing.assert_array_equal(masks(x, SEED, 0.0, 1, 0.4, RATE), x)


def test_masks_are_at_most_as_many_as_asked_and_make_no_click() -> None:
    x = np.ones((500, 2000), np.float32)
    masked = np.asarray(masks(x, SEED, 1.0, 3, 0.1, RATE))
    edges = np.diff(np.pad(masked < 1, ((0, 0), (1, 1))).astype(int), axis=1)
    assert (edges == 1).sum(axis=1).max() == 3
    touched = (masked < 1).sum(axis=1)
    assert 400 < touched.max() <= 600
    assert len(np.unique(touched)) > 200
    assert abs(np.diff(masked, axis=1)).max() < 1.01 / EDGE


def added_to(x: np.ndarray, chance: float, snr: tuple[float, float]) -> np.ndarray:
    """(batch, samples) float64, the noise alone."""
    return np.asarray(noise(x, SEED, chance, snr, RATE), np.float64) - x


def test_noise_has_the_promised_distance_to_its_example() -> None:
    x = sounds(1000)
    added = added_to(x, 0.5, (5.0, 40.0))
    noisy = added.any(axis=1)
    assert abs(noisy.mean() - 0.5) < 0.07
    assert uniform(20 * np.log10(rms(x[noisy]) / rms(added[noisy])), 5, 40)
    few = added[noisy][:50] / rms(added[noisy][:50])[:, None]
    assert abs(few @ few.T / SAMPLES - np.eye(50)).max() < 0.7  # each has noise of its own


def test_noise_falls_by_0_to_6_db_per_octave_and_ends_at_20_hz() -> None:
    added = added_to(np.full((400, SAMPLES), 0.1, np.float32), 1.0, (0.0, 0.0))
    spectrum, hertz = np.fft.rfft(added), np.fft.rfftfreq(SAMPLES, 1 / RATE)
    power = np.square(abs(spectrum))
    bounds = 125 * 2.0 ** np.arange(6)  # Hz: five octaves up to half the rate
    density = [
        power[:, (low <= hertz) & (hertz < high)].mean(axis=1)
        for low, high in zip(bounds, bounds[1:], strict=False)
    ]
    slope = np.polyfit(np.arange(5), 10 * np.log10(density), 1)[0]
    assert uniform(slope, -6, 0)
    assert slope.min() < -5.5
    assert slope.max() > -0.5
    assert (power[:, (hertz > 0) & (hertz < 20)].max(axis=1) < 1e-5 * power.max(axis=1)).all()
    assert uniform(np.angle(spectrum[:, hertz == 100]).ravel(), -np.pi, np.pi)
    assert (power[:, hertz == 20] > 1e-5 * power.max(axis=1, keepdims=True)).mean() > 0.95


def test_noise_is_gaussian_and_fits_any_length() -> None:
    added = added_to(np.full((50, 2 * 11 * 47), 0.1, np.float32), 1.0, (0.0, 0.0))
    assert abs(stats.kurtosis(added, axis=None)) < 0.3
    np.testing.assert_allclose(rms(added), 0.1, rtol=1e-4)


def test_noise_leaves_silence_and_whom_it_does_not_choose() -> None:
    silent = np.zeros((8, SAMPLES), np.float32)
    assert np.array_equal(noise(silent, SEED, 1.0, (0.0, 10.0), RATE), silent)
    assert np.array_equal(noise(sounds(8), SEED, 0.0, (0.0, 10.0), RATE), sounds(8))
    assert added_to(sounds(8), 1.0, (0.0, 10.0)).any(axis=1).all()


def told(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part and partner of each example, where each is a class of its own; itself if unmixed."""
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    own = np.diag(targets)
    rest = targets - np.diag(own)
    assert ((rest > 0).sum(axis=1) <= 1).all()
    return own, np.where(rest.any(axis=1), rest.argmax(axis=1), np.arange(len(own)))


def loudest(x: np.ndarray) -> float:
    """dB, of 0.1 s, wherever it lies within a hundredth of a second."""
    return max(20 * np.log10(rms(x[n : n + 800])) for n in range(0, len(x) - 799, 80))


def test_mix_is_the_formula_of_its_paper() -> None:
    envelope = np.repeat(np.random.default_rng(2).uniform(0.01, 1, (32, 10)), 400, axis=1)
    x = (sounds(32) * envelope).astype(np.float32)
    mixed, targets = map(np.asarray, mix(x, np.eye(32, dtype=np.float32), SEED, 1.0, RATE))
    part, partner = told(targets)
    assert (partner != np.arange(32)).mean() > 0.8
    for n, (p, a, b) in enumerate(zip(part, x, x[partner], strict=True)):
        if partner[n] != n:
            r = 1 / (1 + 10 ** ((loudest(a) - loudest(b)) / 20) * (1 - p) / p)
            expected = (r * a + (1 - r) * b) / np.sqrt(r**2 + (1 - r) ** 2)
            np.testing.assert_allclose(mixed[n], expected, atol=0.02 * abs(expected).max())


def test_two_sounds_are_as_loud_as_their_parts_of_the_target() -> None:
    x = sounds(64)  # as loud from begin to end, up to 60 dB apart
    mixed, targets = map(np.asarray, mix(x, np.eye(64, dtype=np.float32), SEED, 1.0, RATE))
    part, partner = told(targets)
    for n in np.flatnonzero(partner != np.arange(64)):
        two = np.stack([x[n], x[partner[n]]]).astype(np.float64)
        factors = np.linalg.lstsq(two.T, mixed[n].astype(np.float64), rcond=None)[0]
        np.testing.assert_allclose(factors @ two, mixed[n], atol=1e-6)
        heard = factors * [10 ** (loudest(each) / 20) for each in two]
        assert abs(heard[0] / heard.sum() - part[n]) < 0.02
        assert np.square(factors).sum() == pytest.approx(1, rel=1e-3)  # nobody is boosted


def test_of_equal_levels_the_part_is_the_weight_and_parts_are_uniform() -> None:
    x = np.sign(sounds(1500, 800))  # the same level for all, exactly
    y = np.eye(1500, dtype=np.float32)
    mixed, targets = map(np.asarray, mix(x, y, SEED, 0.5, RATE))
    part, partner = told(targets)
    met = partner != np.arange(1500)
    assert abs(met.mean() - 0.5) < 0.05
    assert uniform(part[met], 0, 1)
    p = part[:, None]
    expected = (p * x + (1 - p) * x[partner]) / np.sqrt(p**2 + (1 - p) ** 2)
    np.testing.assert_allclose(mixed[met], expected[met], atol=1e-5)
    assert alike(mixed[~met], x[~met])


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_a_part_of_nought_is_the_partner_and_of_one_the_example(
    part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = waves._uniform

    def fixed(x: Any, seed: Any, name: str) -> Any:
        return tf.fill((16, 1), part) if name == "part" else drawn(x, seed, name)

    monkeypatch.setattr(waves, "_uniform", fixed)
    x, y = sounds(16), np.arange(16, dtype=np.float32)
    mixed, targets = map(np.asarray, mix(x, y, SEED, 1.0, RATE))
    from_whom = targets.astype(int)
    assert sorted(from_whom) == list(range(16))
    assert np.array_equal(from_whom, y) == (part == 1)
    np.testing.assert_allclose(mixed, x[from_whom], rtol=1e-6)


def test_nothing_is_mixed_with_silence() -> None:
    x = sounds(64)
    x[::2] = 0
    x[::4] = 2e-5 * np.sign(sounds(16))  # the last bit of 16
    y = np.eye(64, dtype=np.float32)
    mixed, targets = map(np.asarray, mix(x, y, SEED, 1.0, RATE))
    assert np.isfinite(mixed).all()
    _, partner = told(targets)
    met = partner != np.arange(64)
    assert met.any()
    assert not met[::2].any()
    assert not (partner[met] % 2 == 0).any()
    assert alike(mixed[~met], x[~met])
    assert alike(targets[~met], y[~met])


def test_mix_leaves_whom_it_does_not_choose_bit_for_bit() -> None:
    x, y = sounds(9), np.eye(9, dtype=np.float32)
    x[:, ::7], y[:, 0] = -0.0, -0.0
    for count, chance in ((9, 0.0), (1, 1.0)):  # nobody is chosen; nobody else is there
        mixed, targets = mix(x[:count], y[:count], SEED, chance, RATE)
        assert alike(mixed, x[:count])
        assert alike(targets, y[:count])


def test_a_sound_at_the_very_end_counts() -> None:
    x = np.zeros((8, SAMPLES + 3), np.float32)
    x[:, -3:] = np.linspace(0.2, 0.9, 8, dtype=np.float32)[:, None]
    targets = np.asarray(mix(x, np.eye(8, dtype=np.float32), SEED, 1.0, RATE)[1])
    assert (np.diag(targets) < 1).any()


def test_mix_mixes_all_targets_alike_and_refuses_whole_numbers() -> None:
    x, y = sounds(8), labels(8)
    given = {"label": y, "teacher": 3 * y, "weight": np.arange(8, dtype=np.float32)}
    _, found = mix(x, given, SEED, 1.0, RATE)
    np.testing.assert_allclose(found["teacher"], 3 * found["label"], rtol=1e-5)
    part = np.asarray(mix(x, np.eye(8, dtype=np.float32), SEED, 1.0, RATE)[1])
    np.testing.assert_allclose(found["weight"], part @ given["weight"], rtol=1e-5)
    with pytest.raises(TypeError, match="int32: one-hot first"):
        mix(x, tf.range(8), SEED, 1.0, RATE)


def batch(count: int = 6) -> dict[str, Any]:
    given = {"wave": sounds(count), "label": labels(count), "position": np.arange(count)}
    return {name: tf.constant(value) for name, value in given.items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(alike(one[n], other[n]) for n in one.keys() | other.keys())


def test_nought_changes_nothing() -> None:
    given = batch() | {"wave": batch()["wave"][:, 1:]}  # an odd number of samples
    assert same(changed(given, SEED, Changes(), RATE), given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop", 0.5), ("gain", 12.0), ("flip", 1.0), ("masks", 2), ("noise", 1.0), ("mix", 1.0)],
)
def test_each_works_alone_and_leaves_the_rest_of_the_batch(name: str, value: float) -> None:
    found = changed(batch(), SEED, Changes(**{name: value}), RATE)  # type: ignore[arg-type]
    assert not np.array_equal(found["wave"], batch()["wave"])
    assert found["wave"].shape == (6, SAMPLES // 2 if name == "crop" else SAMPLES)
    assert found["wave"].dtype == tf.float32
    assert alike(found["position"], batch()["position"])
    assert alike(found["label"], batch()["label"]) == (name != "mix")


def test_a_batch_names_its_own_field_and_targets() -> None:
    given = {"sound": batch()["wave"], "tags": batch()["label"], "label": tf.range(6)}
    found = changed(given, SEED, Changes(mix=1.0), RATE, "sound", ("tags",))
    expected = changed(batch(), SEED, Changes(mix=1.0), RATE)
    assert alike(found["sound"], expected["wave"])
    assert alike(found["tags"], expected["label"])
    assert alike(found["label"], given["label"])


def test_what_one_draws_does_not_move_what_another_does() -> None:
    x = batch()["wave"]
    cut = crop(x, SEED, 0.8)
    mixed, label = mix(flip(cut, SEED, 0.5), batch()["label"], SEED, 0.8, RATE)
    expected = gain(noise(mixed, SEED, 0.5, (10, 30), RATE), SEED, 12)
    found = changed(batch(), SEED, ALL, RATE)
    np.testing.assert_allclose(found["wave"], masks(expected, SEED, 1.0, 2, 0.2, RATE), atol=1e-6)
    np.testing.assert_allclose(found["label"], label, atol=1e-6)


def test_changes_are_drawn_apart_from_each_other_and_from_those_of_a_spectrogram() -> None:
    x = np.tile(np.linspace(0.1, 0.2, 1000, dtype=np.float32), (2000, 1))
    added = added_to(x, 0.5, (5.0, 40.0))
    spectrum = np.zeros((2000, 1, 1), np.float32)
    numbers = [
        np.asarray(crop(x, SEED, 0.5))[:, 0],
        np.asarray(flip(x, SEED, 0.5))[:, 0],
        np.asarray(gain(x, SEED, 12.0))[:, 0],
        np.asarray(masks(x, SEED, 1.0, 1, 0.5, RATE)).mean(axis=1),
        added.any(axis=1),
        np.log10(rms(added) + 1e-9),
        np.asarray(mix(x, np.arange(2000, dtype=np.float32), SEED, 0.5, RATE)[1]) % 1 > 0,
        np.asarray(augment.gain(spectrum, SEED, 12.0))[:, 0, 0],
    ]
    matrix = abs(np.corrcoef(np.array(numbers, np.float64))) - np.eye(len(numbers))
    matrix[4, 5] = matrix[5, 4] = 0  # who has noise, and how much
    assert matrix.max() < 0.1


def test_the_same_seed_gives_the_same_batch_and_another_another() -> None:
    first = changed(batch(), SEED, ALL, RATE)
    assert same(changed(batch(), SEED, ALL, RATE), first)
    for seed in (named(SEED, 1), named(SEED, "1"), tf.constant([7, 4]), tf.constant([8, 3])):
        other = changed(batch(), seed, ALL, RATE)
        assert not np.isclose(other["wave"], first["wave"], atol=0).all(axis=1).any()


@pytest.fixture
def _deterministic() -> Any:
    tf.config.experimental.enable_op_determinism()  # an op that has no such way of working raises
    yield
    config.disable_op_determinism()


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("size", [None, 6])
def test_a_graph_gives_what_eager_gives_whether_it_knows_the_batch_or_not(size: int | None) -> None:
    kinds = {n: tf.TensorSpec((size, *v.shape[1:]), v.dtype) for n, v in batch().items()}

    @tf.function(input_signature=[kinds, tf.TensorSpec((2,), tf.int32)], jit_compile=False)
    def graph(given: Any, seed: Any) -> Any:
        found = changed(given, seed, ALL, RATE)
        assert found["wave"].shape == (size, 3200)  # what a net is built for
        return found

    found = graph(batch(), SEED)
    assert same(found, graph(batch(), SEED))
    for name, eager in changed(batch(), SEED, ALL, RATE).items():
        np.testing.assert_allclose(found[name], eager, rtol=1e-5, atol=1e-5)
    if size is None:
        assert graph(batch(3), SEED)["wave"].shape == (3, 3200)


def test_replicas_with_seeds_of_their_own_draw_apart() -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    @tf.function(jit_compile=False)
    def step(given: Any) -> Any:
        def replica(part: Any) -> Any:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return changed(part, named(SEED, number), ALL, RATE)

        return strategy.run(replica, args=(given,))

    found = step(batch())
    expected = changed(batch(), named(SEED, 0), ALL, RATE)
    np.testing.assert_allclose(found["wave"], expected["wave"], rtol=1e-5, atol=1e-5)
    other = changed(batch(), named(SEED, 1), ALL, RATE)
    assert not np.allclose(other["wave"], expected["wave"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", 0.0),
        ("crop", 1.1),
        ("gain", -1.0),
        ("flip", 1.5),
        ("masks", -1),
        ("mask_width", float("nan")),
        ("noise", -0.1),
        ("noise_snr", (30.0, 20.0)),
        ("noise_snr", (float("nan"), 20.0)),
        ("mix", 2.0),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(name: str, value: Any) -> None:
    with pytest.raises(Changed, match=f"{name}: "):
        Changes(**{name: value})


@pytest.mark.parametrize("what", [Changes(crop=0.5), Changes(masks=1), Changes(noise=1.0)])
def test_a_waveform_of_unknown_length_is_refused(what: Changes) -> None:
    @tf.function
    def graph(x: Any) -> Any:
        return changed({"wave": x}, SEED, what, RATE)

    with pytest.raises(ValueError, match="a waveform must have a known number of samples"):
        graph.get_concrete_function(tf.TensorSpec((None, None)))
